using Millrace.Protocols.Compression;

namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// From the form in which blocks are kept (a snappy-compressed remote write 1.0 request, with start timestamps where
/// they are known) to what a backend wants. Pure functions of the block: a block that is sent again is the same bytes.
/// Everything answers false for a block that is malformed or larger than allowed.
///
/// Holds buffers for the largest block seen, so one of them serves many lanes; used by one caller at a time. Bodies go
/// into a buffer of the caller's, which is replaced by a larger one where it is too small.
/// </summary>
internal sealed class RemoteWriteTranscoder(int maxDecodedBytes = RemoteWriteTranscoder.DefaultMaxDecodedBytes)
{
    /// <summary>Four times what the block builder allows by default.</summary>
    public const int DefaultMaxDecodedBytes = 64 << 20;

    private readonly CanonicalBlock _block = new(maxDecodedBytes);
    private readonly RemoteWriteV2Writer _v2 = new();
    private byte[] _rewritten = [];

    /// <summary>The same request in zstd; false also when there is no zstd on this machine.</summary>
    public bool TryToVictoriaMetrics(ReadOnlySpan<byte> block, ref byte[] body, out int length)
    {
        length = 0;
        if (!Zstd.IsAvailable || !_block.TryDecompress(block))
        {
            return false;
        }
        OutputBuffer.Ensure(ref body, Zstd.MaxCompressedLength(_block.Bytes.Length));
        return Zstd.TryCompress(_block.Bytes, body, out length);
    }

    /// <summary>Remote write 2.0 (rc.4) in snappy.</summary>
    /// <param name="block">A block.</param>
    /// <param name="metadataOf">Metadata by family, null where it is not known.</param>
    /// <param name="body">The caller's buffer.</param>
    /// <param name="length">How much of the body is filled.</param>
    /// <param name="counts">
    /// What the receiver must say it has written. Without a sample or histogram there is nothing to send.
    /// </param>
    public bool TryToV2(
        ReadOnlySpan<byte> block, Func<string, MetricMetadata?>? metadataOf,
        ref byte[] body, out int length, out BlockCounts counts)
    {
        length = 0;
        counts = BlockCounts.None;
        if (!_block.TryRead(block) || !_v2.TryWrite(_block, metadataOf, out var request, out counts))
        {
            return false;
        }
        OutputBuffer.Ensure(ref body, Snappy.MaxEncodedLength(request.Length));
        length = Snappy.Encode(request, body);
        return true;
    }

    /// <summary>
    /// Remote write 1.0 as published: without start timestamps. A block that has none is copied unchanged.
    /// </summary>
    public bool TryToPlainV1(ReadOnlySpan<byte> block, ref byte[] body, out int length)
    {
        length = 0;
        if (!_block.TryRead(block))
        {
            return false;
        }
        var rewritten = WithoutStartTimestamps();
        if (rewritten.SequenceEqual(_block.Bytes))
        {
            OutputBuffer.Ensure(ref body, block.Length);
            block.CopyTo(body);
            length = block.Length;
            return true;
        }
        OutputBuffer.Ensure(ref body, Snappy.MaxEncodedLength(rewritten.Length));
        length = Snappy.Encode(rewritten, body);
        return true;
    }

    public bool TryCount(ReadOnlySpan<byte> block, out BlockCounts counts)
    {
        counts = BlockCounts.None;
        if (!_block.TryRead(block))
        {
            return false;
        }
        counts = _block.Count();
        return true;
    }

    /// <summary>The request again, valid until the next call.</summary>
    private ReadOnlySpan<byte> WithoutStartTimestamps()
    {
        // A message only gets shorter, so its length takes no more bytes than before.
        OutputBuffer.Ensure(ref _rewritten, _block.Bytes.Length);
        var used = 0;
        foreach (ref readonly var entry in _block.Entries)
        {
            if (!entry.IsSeries)
            {
                _block.Bytes[entry.Start..entry.End].CopyTo(_rewritten.AsSpan(used));
                used += entry.End - entry.Start;
                continue;
            }
            // The message goes where it would be with the longest head, then back to behind its real one.
            var roomForHead = entry.LabelsStart - entry.Start;
            var message = new WireWriter(_rewritten.AsSpan(used + roomForHead));
            message.WriteRaw(_block.LabelsOf(entry));
            foreach (ref readonly var field in _block.FieldsOf(entry))
            {
                WriteField(ref message, field);
            }
            var head = new WireWriter(_rewritten.AsSpan(used));
            head.WriteHead(V1Wire.RequestSeries, message.Position);
            _rewritten.AsSpan(used + roomForHead, message.Position).CopyTo(_rewritten.AsSpan(used + head.Position));
            used += head.Position + message.Position;
        }
        return _rewritten.AsSpan(0, used);
    }

    private void WriteField(ref WireWriter writer, in BlockField field)
    {
        var message = _block.Bytes[field.Start..field.End];
        if (field.Kind == BlockFieldKind.Exemplar)
        {
            writer.WriteBytes(V1Wire.SeriesExemplar, message);
            return;
        }
        var (tag, startTag) = field.Kind == BlockFieldKind.Sample
            ? (V1Wire.SeriesSample, V1Wire.SampleStartTimestamp)
            : (V1Wire.SeriesHistogram, V1Wire.HistogramStartTimestamp);
        writer.WriteHead(tag, CopyWithout(message, startTag, default));
        writer.Advance(CopyWithout(message, startTag, writer.Rest));
    }

    /// <summary>Copies a message without one of its fields, or only measures it for want of a target.</summary>
    private static int CopyWithout(ReadOnlySpan<byte> message, uint unwantedTag, Span<byte> target)
    {
        var copied = 0;
        var reader = new FieldReader(message);
        for (var start = 0; reader.NextField(out var tag); start = reader.Position)
        {
            reader.Skip(tag);
            if (tag != unwantedTag && !reader.IsFaulty)
            {
                var field = message[start..reader.Position];
                if (!target.IsEmpty)
                {
                    field.CopyTo(target[copied..]);
                }
                copied += field.Length;
            }
        }
        return copied;
    }
}
