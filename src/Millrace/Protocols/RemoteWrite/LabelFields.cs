namespace Millrace.Protocols.RemoteWrite;

/// <summary>
/// Finds the label block in a message of remote write 1.0 whose labels are field 1: a TimeSeries or an Exemplar. The
/// block is the bytes of the body when the labels stand together and each is written name first, as every known sender
/// does; otherwise it is copied together, in canonical form, so that the two forms of a series do not become two.
/// </summary>
internal ref struct LabelFields
{
    private int _start = -1;
    private int _end = -1;

    public LabelFields()
    {
    }

    /// <summary>The labels are one run of bytes in the body.</summary>
    public bool AreContiguous { get; private set; } = true;

    /// <summary>Notes a label field that reaches from its tag to the reader's place.</summary>
    public void Add(int fieldStart, int fieldEnd)
    {
        AreContiguous &= _start < 0 || _end == fieldStart;
        _start = _start < 0 ? fieldStart : _start;
        _end = fieldEnd;
    }

    /// <summary>The bytes from the first label to the end of the last; the block itself only when contiguous.</summary>
    public readonly ReadOnlySpan<byte> Within(ReadOnlySpan<byte> body) =>
        _start < 0 ? default : body[_start.._end];

    /// <summary>
    /// Checks every label and returns the block, valid until <paramref name="scratch"/> is used again. A malformed
    /// label is a fault of <paramref name="reader"/>.
    /// </summary>
    public readonly ReadOnlySpan<byte> Normalize(
        ReadOnlySpan<byte> body, ref LabelBlockWriter scratch, ref FieldReader reader)
    {
        if (_start < 0)
        {
            return default;
        }
        var isCanonical = AreContiguous;
        var labels = new FieldReader(body, _start, _end);
        while (isCanonical && labels.NextField(out _))
        {
            isCanonical = labels.ReadDelimited(out var start, out var end) && IsCanonical(body[start..end]);
        }
        return isCanonical ? Within(body) : Copy(body, ref scratch, ref reader);
    }

    private readonly ReadOnlySpan<byte> Copy(
        ReadOnlySpan<byte> body, ref LabelBlockWriter scratch, ref FieldReader reader)
    {
        scratch.Clear();
        var fields = new FieldReader(body, _start, _end);
        while (fields.NextField(out var tag))
        {
            if (tag != LabelBlockWriter.LabelTag)
            {
                fields.Skip(tag);
                continue;
            }
            var at = fields.Position;
            var label = fields.ReadMessage();
            ReadOnlySpan<byte> name = default;
            ReadOnlySpan<byte> value = default;
            while (label.NextField(out var labelTag))
            {
                switch (labelTag)
                {
                    case LabelBlockWriter.NameTag:
                        name = label.ReadBytes();
                        break;
                    case LabelBlockWriter.ValueTag:
                        value = label.ReadBytes();
                        break;
                    default:
                        label.SkipUnknown(labelTag, 2);
                        break;
                }
            }
            if (!fields.Adopt(label) && !scratch.TryAppend(name, value))
            {
                fields.Fail("the labels of a series are longer than allowed", at);
            }
        }
        return reader.Adopt(fields) ? default : scratch.Written;
    }

    /// <summary>Name, then value, nothing else; an empty one may be missing.</summary>
    private static bool IsCanonical(ReadOnlySpan<byte> label)
    {
        var reader = new FieldReader(label);
        var lastTag = 0U;
        while (reader.NextField(out var tag))
        {
            if (tag is not (LabelBlockWriter.NameTag or LabelBlockWriter.ValueTag) || tag <= lastTag)
            {
                return false;
            }
            lastTag = tag;
            reader.ReadDelimited(out _, out _);
        }
        return !reader.IsFaulty;
    }
}
