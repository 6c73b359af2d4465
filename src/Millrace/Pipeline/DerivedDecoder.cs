using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Relabeling;

namespace Millrace.Pipeline;

/// <summary>
/// Turns a derived record into a batch of the rules in force that it names. Used by one thread at a time. The same
/// record gives the same batch when it is replayed.
/// </summary>
internal sealed class DerivedDecoder
{
    private static readonly LabelLimits AnyLabels = new(int.MaxValue, int.MaxValue, int.MaxValue);

    private readonly List<Label> _labels = [];
    private readonly LabelBuilder _scratch = new();
    private byte[] _buffer = [];

    /// <summary>False: the record is damaged, or of a later release.</summary>
    public bool TryDecode(
        ReadOnlyMemory<byte> payload, Generation generation, DecodedBatch batch, out DerivedPart part)
    {
        batch.Begin(generation, isDerived: true);
        if (!DerivedRecord.TryReadHead(payload, out part, out var body)
            || !DerivedRecord.TryDecompress(body.Span, ref _buffer, out var sizeBytes))
        {
            return false;
        }
        var reader = new PayloadReader(_buffer.AsMemory(0, sizeBytes));
        var series = -1;
        while (reader.RemainingBytes > 0 && !reader.Failed)
        {
            var key = new UInt128((ulong)reader.Int64(), (ulong)reader.Int64());
            var taker = RuleHandover.NumberOf(generation, key); // A rule that is gone by now takes nothing.
            for (var left = reader.Int32(); left > 0 && !reader.Failed; left--)
            {
                var labels = reader.Bytes();
                var timeMs = reader.Int64();
                var value = BitConverter.Int64BitsToDouble(reader.Int64());
                var startMs = reader.Int64();
                var histogram = reader.Bytes();
                if (reader.Failed || taker < 0)
                {
                    continue;
                }
                series = SeriesOf(batch, taker, key, labels.Span, series);
                if (histogram.Length > 0)
                {
                    batch.AddExtra(series, isExemplar: false, timeMs, value, histogram.Span);
                }
                else
                {
                    batch.Add(series, timeMs, value, startMs);
                }
            }
        }
        return !reader.Failed;
    }

    /// <summary>An output series is another one to each rule that takes it.</summary>
    private int SeriesOf(DecodedBatch batch, int taker, UInt128 key, ReadOnlySpan<byte> labels, int previous)
    {
        var cache = batch.Cache;
        var hash = cache.HashOf(labels) ^ key;
        var known = cache.Find(hash, previous);
        return known >= 0 ? known : cache.Add(hash, previous, Resolve(batch.Generation, taker, labels));
    }

    private ResolvedSeries Resolve(Generation generation, int taker, ReadOnlySpan<byte> labels)
    {
        var unused = new ResolvedSeries(SeriesFate.Unused, 0, [], []);
        // The labels come from our own encoder; a rule may well have removed the metric name.
        if (!LabelBlock.TryParse(labels, AnyLabels, _labels, out var defect)
            && defect != LabelDefect.MissingMetricName)
        {
            return unused;
        }
        var rule = generation.RulesInForce[taker];
        if (rule.TryTake(LabelSet.From(_labels), _scratch, out var taken) != RuleVerdict.Taken)
        {
            return unused;
        }
        return unused with
        {
            Fate = SeriesFate.None,
            Aggregates = [(taker, rule.TaskOf(taken, generation.TaskCount), taken)],
        };
    }
}
