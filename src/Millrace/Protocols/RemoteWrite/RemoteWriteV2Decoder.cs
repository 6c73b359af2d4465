using System.Buffers;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// Decodes io.prometheus.write.v2.Request in its two wire forms: 2.0-rc.3 (Prometheus up to 3.7: a created timestamp
/// per series, field 6) and rc.4 (a start timestamp per sample and histogram).
/// <para>
/// A malformed message fails the body. What is wrong with one series only (a reference that leads nowhere, samples and
/// histograms in one) is told to the sink as refused, and the rest goes on, as the specification's partial write
/// demands. Every series arrives as a label block of 1.0, so that its identity does not depend on the protocol.
/// </para>
/// </summary>
internal static class RemoteWriteV2Decoder
{
    private const uint TimeSeriesTagOfV1 = 0x0A;
    private const uint MetadataTagOfV1 = 0x1A;
    private const uint SymbolsTag = 0x22;
    internal const uint TimeSeriesTag = 0x2A;

    /// <inheritdoc cref="RemoteWriteV1Decoder.TryDecode"/>
    public static bool TryDecode<TSink>(
        ReadOnlySpan<byte> body, ref TSink sink, in DecodeLimits limits, out string error)
        where TSink : struct, IWriteSink
    {
        var symbols = default(SymbolTable);
        var scratch = new LabelBlockWriter(limits.MaxLabelBlockBytes);
        try
        {
            var reader = new FieldReader(body);
            var (fault, offset) = symbols.TryRead(body, ref reader, limits)
                ? new V2SeriesDecoder<TSink>(ref sink, ref scratch, in symbols, body, limits).Decode()
                : (reader.Fault, reader.FaultOffset);
            error = fault is null ? "" : $"The remote write 2.0 body is malformed at byte {offset}: {fault}.";
            return fault is null;
        }
        finally
        {
            scratch.Dispose();
            symbols.Dispose();
        }
    }

    /// <summary>Where each symbol lies in the body; rented for one body.</summary>
    internal struct SymbolTable : IDisposable
    {
        private (int Start, int End)[]? _symbols;

        public int Count { get; private set; }

        /// <summary>Walks the top level of the body. False when it faults there.</summary>
        public bool TryRead(ReadOnlySpan<byte> body, ref FieldReader reader, in DecodeLimits limits)
        {
            var seriesLeft = limits.MaxSeries;
            while (reader.NextField(out var tag))
            {
                var at = reader.Position;
                switch (tag)
                {
                    case SymbolsTag:
                        if (reader.ReadDelimited(out var start, out var end) && !TryAdd(start, end, limits))
                        {
                            reader.Fail("it holds more symbols than one request may", at);
                        }
                        break;
                    case TimeSeriesTag:
                        if (--seriesLeft < 0)
                        {
                            reader.Fail("it holds more series than one request may", at);
                        }
                        reader.ReadDelimited(out _, out _);
                        break;
                    case TimeSeriesTagOfV1 or MetadataTagOfV1:
                        // The numbers of 1.0 are reserved in 2.0, so that the wrong Content-Type can be told.
                        reader.Fail("this is a remote write 1.0 body, but its Content-Type says 2.0", at);
                        break;
                    default:
                        reader.SkipUnknown(tag, 0);
                        if (tag >> 3 is 4 or 5)
                        {
                            reader.Fail("a known field has the wrong wire type", at);
                        }
                        break;
                }
            }
            if (!reader.IsFaulty && (seriesLeft < limits.MaxSeries || Count > 0) && !StartsEmpty(body))
            {
                reader.Fail("the symbol table does not begin with the empty string", 0);
            }
            return !reader.IsFaulty;
        }

        public readonly bool TryGet(ReadOnlySpan<byte> body, uint reference, out ReadOnlySpan<byte> symbol)
        {
            if (reference >= (uint)Count)
            {
                symbol = default;
                return false;
            }
            var (start, end) = _symbols![reference];
            symbol = body[start..end];
            return true;
        }

        public void Dispose()
        {
            if (_symbols is not null)
            {
                ArrayPool<(int Start, int End)>.Shared.Return(_symbols);
                _symbols = null;
            }
        }

        private readonly bool StartsEmpty(ReadOnlySpan<byte> body) =>
            TryGet(body, 0, out var first) && first.IsEmpty;

        private bool TryAdd(int start, int end, in DecodeLimits limits)
        {
            if (Count == limits.MaxSymbols)
            {
                return false;
            }
            if (_symbols is null || Count == _symbols.Length)
            {
                Grow();
            }
            _symbols![Count++] = (start, end);
            return true;
        }

        private void Grow()
        {
            var larger = ArrayPool<(int Start, int End)>.Shared.Rent(Math.Max(1024, Count * 2));
            _symbols.AsSpan(0, Count).CopyTo(larger);
            Dispose();
            _symbols = larger;
        }
    }
}
