using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>Makes the records of closed windows for the rules that take their outputs. Used by one thread.</summary>
internal sealed class DerivedWriter
{
    private const int MaxKnownSeries = 1 << 20;

    /// <summary>A rule that takes an output series, and the labels with which it comes to it.</summary>
    private readonly record struct Taker(int Rule, byte[] Labels);

    // What becomes of output series under one chain; dropped as a whole when it grows too large, or with the chain.
    private readonly Dictionary<(int Rule, UInt128 Series), Taker[]> _takers = [];
    private readonly List<(int Rule, LabelSet Series)> _found = [];
    private readonly List<Label> _labels = [];
    private RuleChain? _chain;

    /// <summary>All parts of all windows of a close, in order; a function of the close alone.</summary>
    public Queue<DerivedPayload> Write(CloseItem item)
    {
        var payloads = new Queue<DerivedPayload>();
        var chain = item.Generation.Chain;
        if (!ReferenceEquals(chain, _chain))
        {
            _takers.Clear();
            _chain = chain;
        }
        for (var i = 0; i < item.Closes.Count; i++)
        {
            var rule = item.Closes[i].Rule;
            if (chain.Takers(rule).Count == 0)
            {
                continue;
            }
            foreach (var (endMs, window) in Emitter.Windows(item.Parts[i]))
            {
                // Rules take each window once: what corrects it is for those who read the points.
                if (!window.IsCorrection)
                {
                    Write(item.Generation, rule, endMs, SectionsOf(chain, rule, endMs, window.Samples), payloads);
                }
            }
        }
        return payloads;
    }

    /// <summary>The samples by taker, each taker's in the order of the window.</summary>
    private SortedDictionary<int, List<(byte[] Labels, OutputSample Sample)>> SectionsOf(
        RuleChain chain, int rule, long endMs, IEnumerable<OutputSample> samples)
    {
        var sections = new SortedDictionary<int, List<(byte[], OutputSample)>>();
        var zero = default(OutputSample);
        foreach (var sample in samples)
        {
            if (sample.BeforeMs > 0)
            {
                // The zero of a new running total: it says when that began, of a window that may long be closed.
                zero = sample;
                continue;
            }
            var told = zero.BeforeMs > 0 && zero.Key == sample.Key
                ? sample with { StartMs = endMs - zero.BeforeMs } : sample;
            foreach (var taker in TakersOf(chain, rule, sample))
            {
                if (!sections.TryGetValue(taker.Rule, out var section))
                {
                    sections.Add(taker.Rule, section = []);
                }
                section.Add((taker.Labels, told));
            }
        }
        return sections;
    }

    private Taker[] TakersOf(RuleChain chain, int rule, in OutputSample sample)
    {
        if (_takers.TryGetValue((rule, sample.Key), out var takers))
        {
            return takers;
        }
        _found.Clear();
        var block = sample.Labels.ToArray();
        var series = OutputBlockWriter.SeriesOf(block, _labels);
        if (series is not null)
        {
            chain.FindTakers(rule, series, _found);
        }
        takers = new Taker[_found.Count];
        for (var i = 0; i < takers.Length; i++)
        {
            var (taker, taken) = _found[i];
            takers[i] = new Taker(taker, taken.Equals(series) ? block : LabelBlock.Encode(taken));
        }
        if (_takers.Count >= MaxKnownSeries)
        {
            _takers.Clear();
        }
        _takers.Add((rule, sample.Key), takers);
        return takers;
    }

    private static void Write(
        Generation generation, int rule, long endMs,
        SortedDictionary<int, List<(byte[] Labels, OutputSample Sample)>> sections, Queue<DerivedPayload> payloads)
    {
        using var body = new PayloadWriter(64 << 10);
        var part = new DerivedPart(generation.RulesInForce[rule].Key, endMs, 0);
        foreach (var (taker, samples) in sections)
        {
            var countAt = -1;
            var count = 0;
            foreach (var (labels, sample) in samples)
            {
                if (countAt < 0)
                {
                    DerivedRecord.WriteKey(body, generation.RulesInForce[taker].Key);
                    (countAt, count) = (body.Length, 0);
                    body.Int32(0);
                }
                body.Bytes(labels);
                body.Int64(endMs);
                body.Int64(BitConverter.DoubleToInt64Bits(sample.Value));
                body.Int64(sample.StartMs);
                body.Bytes(sample.Histogram);
                body.PatchInt32(countAt, ++count);
                if (body.Length >= DerivedRecord.PartBytes)
                {
                    payloads.Enqueue(new DerivedPayload(part, DerivedRecord.Write(part, body.Written.Span)));
                    part = part with { Part = part.Part + 1 };
                    body.Clear();
                    countAt = -1;
                }
            }
        }
        if (body.Length > 0)
        {
            payloads.Enqueue(new DerivedPayload(part, DerivedRecord.Write(part, body.Written.Span)));
        }
    }
}
