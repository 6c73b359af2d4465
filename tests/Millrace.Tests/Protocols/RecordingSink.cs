using System.Globalization;
using System.Text;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

/// <summary>Writes down what a decoder tells, a line per call, and knows the series that it was told before.</summary>
internal readonly struct RecordingSink(RecordingSink.Record record) : IWriteSink
{
    public bool TryKnownSeries(ReadOnlySpan<byte> labels)
    {
        if (!record.Known.Contains(Convert.ToHexString(labels)))
        {
            return false;
        }
        record.Hits++;
        record.Lines.Add("series " + Text(labels));
        return true;
    }

    public void BeginSeries(ReadOnlySpan<byte> labels)
    {
        record.Known.Add(Convert.ToHexString(labels));
        record.Lines.Add("series " + Text(labels));
    }

    public void Sample(long timestampMs, double value, long startTimestampMs) =>
        record.Lines.Add(Invariant($"sample {Time(timestampMs)} {Bits(value)} start {startTimestampMs}"));

    public void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs) =>
        record.Lines.Add(Invariant(
            $"histogram {Time(timestampMs)} {Convert.ToHexString(histogram)} start {startTimestampMs}"));

    public void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs) =>
        record.Lines.Add(Invariant($"exemplar {Time(timestampMs)} {Bits(value)} {Text(labels)}"));

    public void Metadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit) =>
        record.Lines.Add(
            $"metadata {Utf8(family)} {type} '{Utf8(help)}' '{Utf8(unit)}'");

    public void Refused(string reason, int samples, int histograms, int exemplars) =>
        record.Lines.Add(Invariant($"refused {samples} {histograms} {exemplars}: {reason}"));

    public static string Bits(double value) =>
        double.IsNaN(value)
            ? $"nan:{BitConverter.DoubleToUInt64Bits(value):x16}"
            : value.ToString("R", CultureInfo.InvariantCulture);

    public static string Time(long timestampMs) =>
        timestampMs == IWriteSink.NoTimestamp ? "arrival" : timestampMs.ToString(CultureInfo.InvariantCulture);

    /// <summary>Reads a block by the contract's grammar and by nothing else: name, then value, in each label.</summary>
    public static string Text(ReadOnlySpan<byte> block)
    {
        var text = new StringBuilder();
        var position = 0;
        while (position < block.Length)
        {
            block[position++].ShouldBe((byte)0x0A);
            var end = Varint(block, ref position);
            end += position;
            var name = Field(block, 0x0A, end, ref position);
            var value = Field(block, 0x12, end, ref position);
            position.ShouldBe(end);
            text.Append(text.Length == 0 ? "" : ",").Append(name).Append('=').Append(value);
        }
        return text.ToString();
    }

    private static string Field(ReadOnlySpan<byte> block, byte tag, int end, ref int position)
    {
        if (position >= end || block[position] != tag)
        {
            return "";
        }
        position++;
        var length = Varint(block, ref position);
        position += length;
        return Utf8(block[(position - length)..position]);
    }

    private static int Varint(ReadOnlySpan<byte> block, ref int position)
    {
        var value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var next = block[position++];
            value |= (next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    private static string Utf8(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    internal sealed class Record
    {
        public List<string> Lines { get; } = [];

        public HashSet<string> Known { get; } = [];

        public int Hits { get; set; }
    }
}

/// <summary>Knows every series and keeps sums only: what is allocated under it, the decoder allocated.</summary>
internal struct CountingSink : IWriteSink
{
    public bool KnowsNothing;
    public int Series;
    public int Samples;
    public int Others;
    public double Sum;

    public bool TryKnownSeries(ReadOnlySpan<byte> labels)
    {
        if (KnowsNothing)
        {
            return false;
        }
        Series++;
        return true;
    }

    public void BeginSeries(ReadOnlySpan<byte> labels) => Series++;

    public void Sample(long timestampMs, double value, long startTimestampMs)
    {
        Samples++;
        Sum += value;
    }

    public void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs) => Others++;

    public void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs) => Others++;

    public void Metadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit) => Others++;

    public void Refused(string reason, int samples, int histograms, int exemplars) => Others++;
}
