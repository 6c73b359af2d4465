namespace Millrace.Protocols.Text;

/// <summary>
/// One line of the text format after the other:
/// <code>
/// sample   = [name] ["{" pairs "}"] value [timestamp] ["#" "{" pairs "}" value [timestamp]]
/// pairs    = [pair {"," pair} [","]]       pair = label "=" string | string   (a string alone is the metric's name)
/// name     = any bytes but blanks and {}",=#, not beginning with a digit or sign; or a string
/// comment  = "#" [("HELP" | "UNIT") name text | "TYPE" name type | anything]
/// </code>
/// </summary>
internal ref struct TextLineDecoder<TSink> : IDisposable
    where TSink : struct, IWriteSink
{
    private readonly ref TSink _sink;
    private LabelBlockWriter _labels;
    private LabelBlockWriter _exemplarLabels;
    private Unescaper _valueText;
    private Unescaper _nameText;
    private int _seriesLeft;
    private long _expandableBytes;

    // The metadata of the family whose comments are being read; spans of the body.
    private ReadOnlySpan<byte> _family;
    private ReadOnlySpan<byte> _help;
    private ReadOnlySpan<byte> _unit;
    private MetricType _type;

    public TextLineDecoder(ref TSink sink, in DecodeLimits limits)
    {
        _sink = ref sink;
        _labels = new LabelBlockWriter(limits.MaxLabelBlockBytes);
        _exemplarLabels = new LabelBlockWriter(limits.MaxLabelBlockBytes);
        _seriesLeft = limits.MaxSeries;
        _expandableBytes = limits.MaxExpandedBytes;
    }

    /// <summary>Null when the line is good, else what is wrong with it.</summary>
    public string? DecodeLine(ReadOnlySpan<byte> line)
    {
        var cursor = new TextCursor(line);
        cursor.SkipBlanks();
        if (cursor.AtEnd)
        {
            return null;
        }
        if (cursor.TryTake((byte)'#'))
        {
            return DecodeComment(ref cursor);
        }
        TellMetadata();
        return DecodeSample(ref cursor);
    }

    /// <summary>Tells what the comments said of a family, once all of them were read.</summary>
    public void TellMetadata()
    {
        if (!_family.IsEmpty)
        {
            _sink.Metadata(_family, _type, _nameText.Unescape(_help), _unit);
            _family = default;
        }
    }

    public void Dispose()
    {
        _labels.Dispose();
        _exemplarLabels.Dispose();
        _valueText.Dispose();
        _nameText.Dispose();
    }

    private string? DecodeComment(scoped ref TextCursor cursor)
    {
        cursor.SkipBlanks();
        var keyword = cursor.TakeWord();
        var isHelp = keyword.SequenceEqual("HELP"u8);
        var isType = keyword.SequenceEqual("TYPE"u8);
        if (!isHelp && !isType && !keyword.SequenceEqual("UNIT"u8))
        {
            return null;
        }
        cursor.SkipBlanks();
        if (!cursor.TryTakeFamily(out var family) || family.IsEmpty)
        {
            return "a HELP, TYPE or UNIT comment names no metric";
        }
        if (!family.SequenceEqual(_family))
        {
            TellMetadata();
            _family = family;
            _type = MetricType.Unknown;
            _help = default;
            _unit = default;
        }
        cursor.SkipBlanks();
        if (isHelp)
        {
            _help = cursor.Rest;
        }
        else if (isType)
        {
            _type = ToType(cursor.Rest);
        }
        else
        {
            _unit = cursor.Rest;
        }
        return null;
    }

    private string? DecodeSample(scoped ref TextCursor cursor)
    {
        if (--_seriesLeft < 0)
        {
            return "it holds more samples than one request may";
        }
        _labels.Clear();
        if (!cursor.IsAt((byte)'{'))
        {
            var name = cursor.TakeName();
            if (name.IsEmpty)
            {
                return "a sample does not begin with a metric name";
            }
            if (!_labels.TryAppend("__name__"u8, name))
            {
                return "its labels are longer than allowed";
            }
            cursor.SkipBlanks();
        }
        if (cursor.TryTake((byte)'{') && ReadPairs(ref cursor, ref _labels) is { } fault)
        {
            return fault;
        }
        _expandableBytes -= _labels.Written.Length;
        if (_expandableBytes < 0)
        {
            return "the labels of the request are longer than allowed";
        }
        if (!cursor.TryTakeValue(out var value))
        {
            return "a value is missing or not a number";
        }
        if (!cursor.TryTakeTimestamp(out var timestampMs))
        {
            return "a timestamp is not a number";
        }
        if (!_sink.TryKnownSeries(_labels.Written))
        {
            _sink.BeginSeries(_labels.Written);
        }
        _sink.Sample(timestampMs, value, 0);
        cursor.SkipBlanks();
        return cursor.AtEnd ? null : DecodeExemplar(ref cursor);
    }

    private string? DecodeExemplar(scoped ref TextCursor cursor)
    {
        if (!cursor.TryTake((byte)'#'))
        {
            return "something follows the timestamp";
        }
        cursor.SkipBlanks();
        if (!cursor.TryTake((byte)'{'))
        {
            // 0.0.4 has no exemplars; what follows a # is then a comment.
            return null;
        }
        _exemplarLabels.Clear();
        if (ReadPairs(ref cursor, ref _exemplarLabels) is { } fault)
        {
            return fault;
        }
        if (!cursor.TryTakeValue(out var value) || !cursor.TryTakeTimestamp(out var timestampMs))
        {
            return "an exemplar's value or timestamp is missing or not a number";
        }
        cursor.SkipBlanks();
        if (!cursor.AtEnd)
        {
            return "something follows an exemplar";
        }
        _sink.Exemplar(_exemplarLabels.Written, value, timestampMs);
        return null;
    }

    private string? ReadPairs(scoped ref TextCursor cursor, scoped ref LabelBlockWriter labels)
    {
        while (true)
        {
            cursor.SkipBlanks();
            if (cursor.TryTake((byte)'}'))
            {
                return null;
            }
            var isQuoted = cursor.IsAt((byte)'"');
            if (isQuoted ? !cursor.TryTakeString(out var name) : (name = cursor.TakeName()).IsEmpty)
            {
                return "a label name is missing, or its quotes or braces are not closed";
            }
            cursor.SkipBlanks();
            var value = name;
            if (cursor.TryTake((byte)'='))
            {
                cursor.SkipBlanks();
                if (!cursor.TryTakeString(out value))
                {
                    return "a label value is not in double quotes, or they are not closed";
                }
            }
            else if (isQuoted)
            {
                name = "__name__"u8;
                isQuoted = false;
            }
            else
            {
                return "a label name is not followed by =";
            }
            if (!TryAppend(ref labels, name, isQuoted, value))
            {
                return "its labels are longer than allowed";
            }
            cursor.SkipBlanks();
            if (!cursor.TryTake((byte)',') && !cursor.IsAt((byte)'}'))
            {
                return "a label is followed by neither , nor }";
            }
        }
    }

    private bool TryAppend(
        scoped ref LabelBlockWriter labels, scoped ReadOnlySpan<byte> name, bool nameIsQuoted,
        scoped ReadOnlySpan<byte> value)
    {
        if (nameIsQuoted && name.Contains((byte)'\\'))
        {
            return labels.TryAppend(_nameText.Unescape(name), _valueText.Unescape(value));
        }
        return labels.TryAppend(name, _valueText.Unescape(value));
    }

    private static MetricType ToType(ReadOnlySpan<byte> word) => word switch
    {
        _ when word.SequenceEqual("counter"u8) => MetricType.Counter,
        _ when word.SequenceEqual("gauge"u8) => MetricType.Gauge,
        _ when word.SequenceEqual("histogram"u8) => MetricType.Histogram,
        _ when word.SequenceEqual("gaugehistogram"u8) => MetricType.GaugeHistogram,
        _ when word.SequenceEqual("summary"u8) => MetricType.Summary,
        _ when word.SequenceEqual("info"u8) => MetricType.Info,
        _ when word.SequenceEqual("stateset"u8) => MetricType.StateSet,
        _ => MetricType.Unknown,
    };
}
