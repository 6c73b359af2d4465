using System.Buffers.Binary;
using System.Linq;
using System.Text;
using Millrace.Aggregation;
using Millrace.Log;
using Millrace.Pipeline;

namespace Millrace.TestKit.Simulation;

/// <summary>What a configuration text of the simulation means, in plain words.</summary>
internal sealed record NaiveConfig
{
    public required string Text { get; init; }

    public required IReadOnlyList<(UInt128 Key, AggregationRuleConfig Config, HashSet<string> Metrics)> Rules
    {
        get; init;
    }

    public bool KeepInput { get; init; }

    public bool DropInput { get; init; }

    /// <summary>Series of this name are dropped by the global relabeling.</summary>
    public string? DroppedMetric { get; init; }

    /// <summary>This label is dropped by the global relabeling.</summary>
    public string? DroppedLabel { get; init; }

    public TimeSpan MaxAge { get; init; } = TimeSpan.FromHours(1);

    public TimeSpan MaxFuture { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Label <c>site</c> that a destination adds; empty: none. By name of the destination.</summary>
    public required IReadOnlyDictionary<string, string> SiteByDestination { get; init; }
}

/// <summary>The ledger as the replayer counts it.</summary>
internal sealed class NaiveLedger
{
    public long Samples { get; set; }

    public long Aggregated { get; set; }

    public long ForwardedOnly { get; set; }

    public long Relabeled { get; set; }

    public long Unused { get; set; }

    public long TooOld { get; set; }

    public long TooFarAhead { get; set; }
}

/// <summary>
/// Goes through the records of a log in their order and says what the process must have delivered: the simulation's
/// oracle. Decodes bodies, applies configurations and closes by itself; of the product it knows formats alone.
/// </summary>
internal sealed class NaiveReplay
{
    private readonly IReadOnlyDictionary<string, NaiveConfig> _configs;
    private readonly Dictionary<UInt128, NaiveRule> _rules = [];
    private readonly List<(UInt128 Key, NaiveConfig Source)> _retiring = []; // the last ones first
    private readonly Dictionary<UInt128, UInt128> _waitsFor = []; // by rule: which one answers until it begins
    private readonly HashSet<string> _bodies = [];
    private readonly HashSet<(string Series, long EndMs, long Bits)> _written = [];
    private readonly HashSet<(UInt128 Taker, string Series, long EndMs)> _taken = [];
    private readonly Dictionary<UInt128, int> _changesAtClose = []; // by rule
    private byte[] _derived = [];
    private int _changes; // of the configuration; a restart with the same one is none
    private NaiveConfig? _config;

    /// <param name="configs">By their canonical text.</param>
    /// <param name="destinations">Names.</param>
    public NaiveReplay(IReadOnlyDictionary<string, NaiveConfig> configs, IEnumerable<string> destinations)
    {
        _configs = configs;
        foreach (var name in destinations)
        {
            Raw[name] = [];
            Outputs[name] = [];
        }
    }

    public NaiveLedger Ledger { get; } = new();

    /// <summary>Forwarded samples per destination and series, in the order of the log.</summary>
    public Dictionary<string, Dictionary<string, List<PlainSample>>> Raw { get; } = [];

    /// <summary>Values of closed windows per destination: by series and window's end.</summary>
    public Dictionary<string, Dictionary<(string Series, long EndMs), double>> Outputs { get; } = [];

    public IEnumerable<NaiveRule> Rules => _rules.Values;

    /// <summary>Samples that came to rules behind others.</summary>
    public long DerivedSamples { get; private set; }

    /// <summary>
    /// Of these, what came behind the close of a window for which the rule answers, under the same configuration.
    /// </summary>
    public long LateDerivedSamples { get; private set; }

    /// <summary>Of these, what no rule has written before them in the log, or what came before.</summary>
    public List<PlainSample> Strays { get; } = [];

    public void Apply(ArchivedRecord record)
    {
        switch (record.Type)
        {
            case RecordType.Batch when !_bodies.Add(Convert.ToBase64String(record.Payload)):
                break; // A repeated request that came before the log was replayed.
            case RecordType.Batch:
                foreach (var sample in PlainRemoteWrite.DecodeSnappy(record.Payload))
                {
                    Apply(sample, record.ArrivalMs);
                }
                break;
            case RecordType.Derived:
                ApplyDerived(record.Payload, record.ArrivalMs);
                break;
            case RecordType.Close:
                Close(record.Payload);
                break;
            case RecordType.Configuration:
                Configure(_configs[Encoding.UTF8.GetString(record.Payload)], record.ArrivalMs);
                break;
            default:
                break;
        }
    }

    /// <summary>
    /// Equal rules go on. A new version begins where the one that answers ends; the old one answers until then, and
    /// sees series as its own configuration did. One that is replaced before it has begun never was. One that comes
    /// back before it has finished goes on.
    /// </summary>
    private void Configure(NaiveConfig config, long arrivalMs)
    {
        var before = _config;
        _config = config;
        _changes += ReferenceEquals(before, config) ? 0 : 1;
        var old = (before?.Rules ?? []).Select(rule => rule.Key).ToList();
        var keys = config.Rules.Select(rule => rule.Key).ToHashSet();
        var gone = old.Where(key => !keys.Contains(key)).ToList();
        var (replaced, leaving) = Predecessors(before, config, arrivalMs);
        var answering = old.ToDictionary(key => key, key => _rules[key].AnswersAt(arrivalMs) ? key
            : _waitsFor.TryGetValue(key, out var other) && _retiring.Any(rule => rule.Key == other)
                && _rules[other].AnswersAt(arrivalMs) ? other : default);
        var endings = new Dictionary<UInt128, long>(); // what ends, and when at the latest
        foreach (var key in gone.Where(key => answering[key] != default && !keys.Contains(answering[key])))
        {
            var rule = _rules[answering[key]];
            endings[answering[key]] = Math.Min(rule.AnswersUntilMs, rule.BoundaryFromMs(arrivalMs));
        }
        foreach (var key in gone.Where(key => answering[key] != key))
        {
            _rules[key].Forget();
        }
        foreach (var (key, rule, _) in config.Rules.Where(rule => !old.Contains(rule.Key)))
        {
            _waitsFor.Remove(key);
            long? fromMs = null;
            if (replaced.TryGetValue(key, out var oldKey) && answering[oldKey] is var current && current != default
                && (current == key || !keys.Contains(current)))
            {
                fromMs = current == key ? arrivalMs : _rules[current].BoundaryFromMs(arrivalMs);
                _waitsFor[key] = current;
            }
            else if (leaving.TryGetValue(key, out oldKey))
            {
                fromMs = Math.Max(arrivalMs, _rules[oldKey].AnswersUntilMs);
                _waitsFor[key] = oldKey;
                current = default;
            }
            else
            {
                current = default;
                fromMs = _retiring.Any(old => old.Key != key && _rules[old.Key].Config.Name == rule.Name)
                    ? arrivalMs : null;
            }
            if (_retiring.RemoveAll(retiring => retiring.Key == key) > 0)
            {
                _rules[key].Resume(current == key ? 0 : _rules[key].BoundaryFromMs(fromMs ?? arrivalMs));
            }
            else
            {
                _rules[key] = NaiveRule.Create(rule, arrivalMs, fromMs);
            }
            if (current != default && current != key)
            {
                endings[current] = _rules[key].BoundaryFromMs(fromMs!.Value);
            }
        }
        foreach (var (key, untilMs) in endings)
        {
            _rules[key].AnswerUntil(untilMs);
        }
        _retiring.InsertRange(0, gone.Select(key => (key, before!)));
        LetGo();
    }

    /// <summary>
    /// By new key, the rule of the same name that is gone: among those of the configuration before, and for what is
    /// left among those that were removed and still answer.
    /// </summary>
    private (Dictionary<UInt128, UInt128> Replaced, Dictionary<UInt128, UInt128> Leaving) Predecessors(
        NaiveConfig? before, NaiveConfig after, long arrivalMs)
    {
        var active = (before?.Rules ?? []).Select(rule => (rule.Key, rule.Config)).ToList();
        var replaced = Pair(active, [.. after.Rules.Where(rule => active.All(old => old.Key != rule.Key))
            .Select(rule => (rule.Key, rule.Config))], after);
        var awaited = active.Where(rule => !_rules[rule.Key].AnswersAt(arrivalMs) && _waitsFor.ContainsKey(rule.Key))
            .Select(rule => _waitsFor[rule.Key]).ToHashSet();
        var leaving = _retiring.Where(rule => !awaited.Contains(rule.Key))
            .OrderByDescending(rule => _rules[rule.Key].AnswersUntilMs)
            .Select(rule => (rule.Key, _rules[rule.Key].Config)).ToList();
        return (replaced, Pair(leaving, [.. after.Rules
            .Where(rule => active.All(old => old.Key != rule.Key) && !replaced.ContainsKey(rule.Key))
            .Select(rule => (rule.Key, rule.Config))], after));
    }

    private static Dictionary<UInt128, UInt128> Pair(
        List<(UInt128 Key, AggregationRuleConfig Config)> candidates,
        List<(UInt128 Key, AggregationRuleConfig Config)> rules, NaiveConfig after)
    {
        var found = new Dictionary<UInt128, UInt128>();
        foreach (var (key, rule) in rules)
        {
            foreach (var (oldKey, old) in candidates)
            {
                if (!found.ContainsKey(key) && !found.ContainsValue(oldKey) && old.Name == rule.Name
                    && after.Rules.All(other => other.Key != oldKey))
                {
                    found[key] = oldKey;
                }
            }
        }
        return found;
    }

    private void LetGo()
    {
        foreach (var (key, _) in _retiring.FindAll(retiring => _rules[retiring.Key].IsDone))
        {
            _retiring.RemoveAll(retiring => retiring.Key == key);
            _rules.Remove(key);
        }
    }

    private void ApplyToRetiring(in PlainSample received, long arrivalMs)
    {
        foreach (var (key, source) in _retiring)
        {
            var sample = received with { Series = received.Series.Where(name => name != source.DroppedLabel) };
            var (_, _, metrics) = source.Rules.First(rule => rule.Key == key);
            if (sample.Series.Name != source.DroppedMetric && metrics.Contains(sample.Series.Name)
                && sample.TimestampMs >= arrivalMs - (long)source.MaxAge.TotalMilliseconds
                && sample.TimestampMs <= arrivalMs + (long)source.MaxFuture.TotalMilliseconds)
            {
                _rules[key].Add(sample, arrivalMs);
            }
        }
    }

    private void ApplyDerived(byte[] payload, long arrivalMs) =>
        DerivedRecord.Tell(payload, ref _derived, (taker, labels, timeMs, value) =>
        {
            var sample = new PlainSample(PlainRemoteWrite.SeriesOf(labels), timeMs, value);
            if (!_rules.TryGetValue(taker, out var rule))
            {
                return; // It has answered for its last window.
            }
            DerivedSamples++;
            if (!_written.Contains((sample.Series.Text, timeMs, sample.Bits))
                || !_taken.Add((taker, sample.Series.Text, timeMs)))
            {
                Strays.Add(sample);
            }
            var late = rule.LateSamples;
            rule.Add(sample, arrivalMs);
            // A configuration that came since the close may have put the rule behind another one only now.
            LateDerivedSamples += rule.AnswersAt(timeMs) && _changesAtClose.GetValueOrDefault(taker) == _changes
                ? rule.LateSamples - late : 0;
        });

    private void Apply(in PlainSample received, long arrivalMs)
    {
        Ledger.Samples++;
        if (_config is not { } config)
        {
            return; // Bit rot took the configuration.
        }
        ApplyToRetiring(received, arrivalMs);
        var sample = received with
        {
            Series = received.Series.Where(name => name != config.DroppedLabel),
        };
        if (sample.Series.Name == config.DroppedMetric)
        {
            Ledger.Relabeled++;
            return;
        }
        var takers = new List<UInt128>();
        foreach (var (key, _, metrics) in config.Rules)
        {
            if (metrics.Contains(sample.Series.Name))
            {
                takers.Add(key);
            }
        }
        var forwards = config.Rules.Count == 0 || (takers.Count > 0 ? config.KeepInput : !config.DropInput);
        if (takers.Count == 0 && !forwards)
        {
            Ledger.Unused++;
            return;
        }
        if (sample.TimestampMs < arrivalMs - (long)config.MaxAge.TotalMilliseconds)
        {
            Ledger.TooOld++;
            return;
        }
        if (sample.TimestampMs > arrivalMs + (long)config.MaxFuture.TotalMilliseconds)
        {
            Ledger.TooFarAhead++;
            return;
        }
        foreach (var key in takers)
        {
            _rules[key].Add(sample, arrivalMs);
        }
        Ledger.Aggregated += takers.Count > 0 ? 1 : 0;
        Ledger.ForwardedOnly += takers.Count > 0 ? 0 : 1;
        if (forwards)
        {
            Forward(sample);
        }
    }

    private void Forward(in PlainSample sample)
    {
        foreach (var (destination, bySeries) in Raw)
        {
            var sent = sample with { Series = Sited(destination, sample.Series) };
            if (!bySeries.TryGetValue(sent.Series.Text, out var samples))
            {
                bySeries[sent.Series.Text] = samples = [];
            }
            samples.Add(sent);
        }
    }

    /// <summary>u32 count, then per rule u128 key (high, low) and i64 window, little-endian.</summary>
    private void Close(ReadOnlySpan<byte> payload)
    {
        var count = BinaryPrimitives.ReadInt32LittleEndian(payload);
        for (var i = 0; i < count; i++)
        {
            var entry = payload[(4 + 24 * i)..];
            var key = new UInt128(
                BinaryPrimitives.ReadUInt64LittleEndian(entry), BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]));
            if (!_rules.TryGetValue(key, out var rule))
            {
                continue;
            }
            _changesAtClose[key] = _changes;
            var outputs = new List<ExpectedOutput>();
            rule.Close(BinaryPrimitives.ReadInt64LittleEndian(entry[16..]), outputs);
            foreach (var output in outputs)
            {
                _written.Add((output.Series, output.EndMs, BitConverter.DoubleToInt64Bits(output.Value)));
                foreach (var (destination, values) in Outputs)
                {
                    var site = _config!.SiteByDestination[destination];
                    var series = site.Length == 0 ? output.Series : WithSite(output.Series, site);
                    values.Add((series, output.EndMs), output.Value);
                }
            }
        }
        LetGo();
    }

    private PlainSeries Sited(string destination, PlainSeries series)
    {
        var site = _config!.SiteByDestination[destination];
        return site.Length == 0 ? series : series.With("site", site);
    }

    /// <summary>The fleet has no label behind <c>site</c>.</summary>
    private static string WithSite(string series, string site) => series[..^1] + $"site=\"{site}\",}}";
}
