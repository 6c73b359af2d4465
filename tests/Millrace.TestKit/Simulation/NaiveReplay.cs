using System.Buffers.Binary;
using System.Text;
using Millrace.Aggregation;
using Millrace.Log;

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
    private readonly HashSet<string> _bodies = [];
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

    private void Configure(NaiveConfig config, long arrivalMs)
    {
        _config = config;
        var stays = new HashSet<UInt128>();
        foreach (var (key, rule, _) in config.Rules)
        {
            stays.Add(key);
            if (!_rules.ContainsKey(key))
            {
                _rules.Add(key, NaiveRule.Create(rule, arrivalMs));
            }
        }
        foreach (var key in new List<UInt128>(_rules.Keys))
        {
            if (!stays.Contains(key))
            {
                _rules.Remove(key);
            }
        }
    }

    private void Apply(in PlainSample received, long arrivalMs)
    {
        Ledger.Samples++;
        if (_config is not { } config)
        {
            return; // Bit rot took the configuration.
        }
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
            var outputs = new List<ExpectedOutput>();
            rule.Close(BinaryPrimitives.ReadInt64LittleEndian(entry[16..]), outputs);
            foreach (var output in outputs)
            {
                foreach (var (destination, values) in Outputs)
                {
                    var site = _config!.SiteByDestination[destination];
                    var series = site.Length == 0 ? output.Series : WithSite(output.Series, site);
                    values.Add((series, output.EndMs), output.Value);
                }
            }
        }
    }

    private PlainSeries Sited(string destination, PlainSeries series)
    {
        var site = _config!.SiteByDestination[destination];
        return site.Length == 0 ? series : series.With("site", site);
    }

    /// <summary>The fleet has no label behind <c>site</c>.</summary>
    private static string WithSite(string series, string site) => series[..^1] + $"site=\"{site}\",}}";
}
