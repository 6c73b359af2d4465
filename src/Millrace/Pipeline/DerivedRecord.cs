using Millrace.Delivery;
using Millrace.Log;
using Millrace.Protocols.Compression;

namespace Millrace.Pipeline;

/// <summary>A record of <see cref="DerivedRecord"/>, to be appended.</summary>
internal readonly record struct DerivedPayload(DerivedPart Part, byte[] Bytes);

/// <summary>
/// The payload of a derived record: what a rule wrote in one window, for the rules that take it. It stands in the input
/// log, behind the close record of the window and before any close that it could be too late for, and names the takers
/// by their keys, so that it means the same under any later configuration. Little-endian:
/// <code>
/// u8 version | u128 rule key | i64 window end ms | i32 part | u32 n, n bytes: the body, by Snappy
/// body: sections, each   u128 taker key | i32 samples | samples
///       sample           u32 n, n bytes label block | i64 time ms | f64 value | i64 start ms (0: not known)
///                        u32 n, n bytes histogram (0: none)
/// </code>
/// </summary>
internal static class DerivedRecord
{
    public const byte FormatVersion = 1;

    /// <summary>
    /// A part ends with the sample that passes this, uncompressed: small beside the bound of a record, and fixed, since
    /// a part that is made again after a crash must be the same one.
    /// </summary>
    public const int PartBytes = 4 << 20;

    /// <summary>What a part claims is not believed beyond this.</summary>
    private const int MaxBodyBytes = 256 << 20;

    public static RecordHeader Header(long arrivalMs) =>
        new() { Type = RecordType.Derived, FormatVersion = FormatVersion, ArrivalMs = arrivalMs };

    /// <summary>Reads the head; the body is left compressed.</summary>
    public static bool TryReadHead(ReadOnlyMemory<byte> payload, out DerivedPart part, out ReadOnlyMemory<byte> body)
    {
        var reader = new PayloadReader(payload);
        var version = reader.Byte();
        var rule = new UInt128((ulong)reader.Int64(), (ulong)reader.Int64());
        part = new DerivedPart(rule, reader.Int64(), reader.Int32());
        body = reader.Bytes();
        return !reader.Failed && version == FormatVersion && reader.RemainingBytes == 0;
    }

    public static byte[] Write(DerivedPart part, ReadOnlySpan<byte> body)
    {
        var compressed = new byte[Snappy.MaxEncodedLength(body.Length)];
        var length = Snappy.Encode(body, compressed);
        using var writer = new PayloadWriter(length + 64);
        writer.Byte(FormatVersion);
        WriteKey(writer, part.Rule);
        writer.Int64(part.WindowEndMs);
        writer.Int32(part.Part);
        writer.Bytes(compressed.AsSpan(0, length));
        return writer.Written.ToArray();
    }

    public static bool TryDecompress(ReadOnlySpan<byte> compressed, ref byte[] buffer, out int sizeBytes)
    {
        // A copy of three bytes makes at most 64: a longer claim is damage.
        if (!Snappy.TryGetDecodedLength(compressed, out sizeBytes) || sizeBytes > compressed.Length * 32L
            || sizeBytes > MaxBodyBytes)
        {
            return false;
        }
        if (buffer.Length < sizeBytes)
        {
            buffer = new byte[sizeBytes];
        }
        return Snappy.TryDecode(compressed, buffer.AsSpan(0, sizeBytes));
    }

    /// <summary>
    /// Tells samples in plain form, without histograms; for tools. A damaged record tells what it can.
    /// </summary>
    public static void Tell(ReadOnlyMemory<byte> payload, ref byte[] buffer, DerivedSample tell)
    {
        if (!TryReadHead(payload, out _, out var body) || !TryDecompress(body.Span, ref buffer, out var sizeBytes))
        {
            return;
        }
        var reader = new PayloadReader(buffer.AsMemory(0, sizeBytes));
        while (reader.RemainingBytes > 0 && !reader.Failed)
        {
            var taker = new UInt128((ulong)reader.Int64(), (ulong)reader.Int64());
            for (var left = reader.Int32(); left > 0 && !reader.Failed; left--)
            {
                var labels = reader.Bytes();
                var timeMs = reader.Int64();
                var value = BitConverter.Int64BitsToDouble(reader.Int64());
                reader.Int64();
                if (reader.Bytes().Length == 0 && !reader.Failed)
                {
                    tell(taker, labels.Span, timeMs, value);
                }
            }
        }
    }

    public static void WriteKey(PayloadWriter writer, UInt128 key)
    {
        writer.Int64((long)(ulong)(key >> 64));
        writer.Int64((long)(ulong)key);
    }
}

/// <summary>A sample of a derived record, for the rule that takes it.</summary>
internal delegate void DerivedSample(UInt128 taker, ReadOnlySpan<byte> labels, long timeMs, double value);
