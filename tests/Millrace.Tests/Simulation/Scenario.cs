using System.Globalization;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>What may go wrong in a run; each has its own chance per step.</summary>
internal sealed record FaultPlan
{
    public double Kills { get; init; }

    /// <summary>Deaths inside a write of the process, wherever that is.</summary>
    public double KillsInWrite { get; init; }

    public double PowerLosses { get; init; }

    public double GracefulStops { get; init; }

    public double FullDisks { get; init; }

    public double FailedWrites { get; init; }

    public double FailedSyncs { get; init; }

    public double FailedReads { get; init; }

    public double BitFlips { get; init; }

    public double ClockLeaps { get; init; }

    public double Reloads { get; init; }

    public double BackendOutages { get; init; }

    /// <summary>Chance per request to a backend.</summary>
    public double BackendFaults { get; init; }

    /// <summary>Chance per answer to a sender: the sender repeats the request.</summary>
    public double LostAnswers { get; init; }

    /// <summary>Chance per request that it comes later than the lateness allows.</summary>
    public double LateRequests { get; init; }

    public static readonly FaultPlan None = new();
}

/// <summary>
/// All that a seed decides before the run begins: configurations, faults, and how the backends behave.
/// </summary>
internal sealed class Scenario
{
    private static readonly string[] Counters = ["requests_total", "errors_total", "bytes_total"];
    private static readonly string[] Gauges = ["temperature", "queue_length"];

    private static readonly string[] CounterOutputs =
        ["total", "increase", "rate_sum", "rate_avg", "count_series", "total_prometheus", "increase_prometheus"];

    private static readonly string[] GaugeOutputs =
        ["sum_samples", "avg", "min", "max", "last", "count_samples", "count_series"];

    /// <summary>The number of a rule that takes what others write.</summary>
    private const int Behind = 99;

    private readonly Random _random;

    public Scenario(int seed, FaultPlan? faults = null)
    {
        Seed = seed;
        _random = new Random(seed);
        IntervalMs = _random.Next(2, 7) * 2_500;
        LatenessMs = _random.Next(1, 5) * 1_000;
        DurationMs = _random.Next(40, 120) * 1_000L;
        StepMs = _random.Next(50, 400);
        Lanes = _random.Next(1, 4);
        Durability = _random.Next(5) == 0 ? Durability.LogSynced : Durability.Log;
        DestinationNames = _random.Next(3) == 0 ? ["first", "second"] : ["first"];
        var planned = PlanFaults();
        Faults = faults ?? planned;
        Configs = MakeConfigs();
        Naive = Configs.ToDictionary(config => config.Naive.Text, config => config.Naive);
        Random = new Random(_random.Next());
        FleetSeed = _random.Next();
        DelaySeed = _random.Next();
    }

    public int Seed { get; }

    public FaultPlan Faults { get; }

    public int IntervalMs { get; }

    public int LatenessMs { get; }

    public long DurationMs { get; }

    public int StepMs { get; }

    public int Lanes { get; }

    public Durability Durability { get; }

    public string[] DestinationNames { get; }

    /// <summary>The first is in force at the start; a reload takes any of them.</summary>
    public IReadOnlyList<(MillraceConfig Config, NaiveConfig Naive)> Configs { get; }

    public IReadOnlyDictionary<string, NaiveConfig> Naive { get; }

    /// <summary>For the run: when faults happen.</summary>
    public Random Random { get; }

    public int FleetSeed { get; }

    public int DelaySeed { get; init; }

    /// <summary>Rot takes away what was synced: some checks then say less.</summary>
    public bool MayRot => Faults.BitFlips > 0;

    /// <summary>Half of the runs have one or two kinds of faults, so that each is seen alone.</summary>
    private FaultPlan PlanFaults()
    {
        var all = _random.Next(2) == 0;
        bool Has(int oneIn) => _random.Next(all ? oneIn : oneIn * 4) == 0;
        double Rate(double most) => most * (0.2 + 0.8 * _random.NextDouble());
        return new FaultPlan
        {
            Kills = Has(2) ? Rate(0.02) : 0,
            KillsInWrite = Has(2) ? Rate(0.02) : 0,
            PowerLosses = Has(5) ? Rate(0.01) : 0,
            GracefulStops = Has(3) ? Rate(0.01) : 0,
            FullDisks = Has(5) ? Rate(0.005) : 0,
            FailedWrites = Has(4) ? Rate(0.02) : 0,
            FailedSyncs = Has(6) ? Rate(0.01) : 0,
            FailedReads = Has(8) ? Rate(0.01) : 0,
            BitFlips = Has(20) ? Rate(0.005) : 0,
            ClockLeaps = Has(5) ? Rate(0.01) : 0,
            Reloads = Has(2) ? Rate(_random.Next(3) == 0 ? 0.2 : 0.02) : 0,
            BackendOutages = Has(3) ? Rate(0.01) : 0,
            BackendFaults = Has(2) ? Rate(0.5) : 0,
            LostAnswers = Has(2) ? Rate(0.3) : 0,
            LateRequests = Has(2) ? Rate(0.1) : 0,
        };
    }

    private List<(MillraceConfig, NaiveConfig)> MakeConfigs()
    {
        var rules = new List<SimulatedRule>();
        var count = _random.Next(1, 4);
        for (var i = 0; i <= count; i++)
        {
            rules.Add(MakeRule(i));
        }
        var droppedMetric = _random.Next(3) == 0 ? "noise" : null;
        var droppedLabel = _random.Next(3) == 0 ? "dc" : null;
        var configs = new List<(MillraceConfig, NaiveConfig)>();
        for (var variant = 0; variant < 8; variant++)
        {
            // Variant 1 says the same in other words. Variant 2 has one more rule and treats raw samples otherwise.
            // Variants from 3 on change rules, in other places of the file and beside other relabeling, too.
            var these = rules.Take(variant == 2 ? count + 1 : count).ToList();
            if (variant >= 3)
            {
                these = [.. rules.Where(_ => _random.Next(4) > 0).Select(Vary)];
                these = these.Count == 0 ? [Vary(rules[0])] : these;
                _random.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(these));
            }
            if (MakeBehind(variant) is { } behind)
            {
                these.Add(behind);
            }
            var isOther = variant == 2 || (variant >= 3 && _random.Next(3) == 0);
            var keeps = (Seed + (isOther ? 1 : 0)) % 3 == 0;
            var drops = (Seed / 3 + (isOther ? 1 : 0)) % 4 == 0;
            var label = variant == 6 ? (droppedLabel is null ? "dc" : null) : droppedLabel;
            configs.Add(Load(these, keeps, drops, droppedMetric, label, catchUpSeconds: variant == 1 ? 21 : 20));
        }
        return [.. configs.DistinctBy(config => config.Item2.Text)];
    }

    /// <summary>Another version of a rule: mostly the same one, now and then with one field changed.</summary>
    private SimulatedRule Vary(SimulatedRule rule) => _random.Next(8) switch
    {
        0 => rule with
        {
            IntervalMs = rule.IsArrival ? rule.IntervalMs * 2 : rule.IntervalMs * 2 - 50,
            StalenessMs = rule.StalenessMs * 2,
        },
        1 when !rule.IsArrival => rule with { IntervalMs = rule.IntervalMs / 2 - 3 },
        2 when !rule.Outputs.Contains("count_series", StringComparison.Ordinal) =>
            rule with { Outputs = rule.Outputs + ", count_series" },
        3 => rule with { StalenessMs = Math.Max(rule.StalenessMs, rule.IntervalMs / 1_000 * 1_000) + 7_000 },
        4 => rule with { Metrics = [rule.Metrics.Order(StringComparer.Ordinal).First()] },
        _ => rule,
    };

    private sealed record SimulatedRule
    {
        public required int Number { get; init; }

        public required HashSet<string> Metrics { get; init; }

        public required int IntervalMs { get; init; }

        public required string Grouping { get; init; }

        public required string Outputs { get; init; }

        public required bool IsArrival { get; init; }

        /// <summary>In place of the metrics.</summary>
        public string? Match { get; init; }

        private string MatchOfMetrics =>
            $"{{__name__=~\"{string.Join('|', Metrics.Order(StringComparer.Ordinal))}\"}}";

        /// <summary>0: not written.</summary>
        public int StalenessMs { get; init; }

        public required List<string> Others { get; init; }

        public string Yaml
        {
            get
            {
                var lines = new List<string>
                {
                    $"- name: rule{Number}",
                    $"match: '{Match ?? MatchOfMetrics}'",
                    $"interval: {IntervalMs}ms",
                    Grouping,
                    $"outputs: [{Outputs}]",
                    $"time: {(IsArrival ? "arrival" : "event")}",
                };
                lines.AddRange(Others);
                if (StalenessMs > 0)
                {
                    lines.Add($"staleness_interval: {StalenessMs}ms");
                }
                return string.Join("\n    ", lines);
            }
        }
    }

    private SimulatedRule MakeRule(int number)
    {
        var ofCounters = _random.Next(2) == 0;
        var metrics = (ofCounters ? Counters : Gauges).Where(_ => _random.Next(3) > 0).ToHashSet();
        metrics.Add(ofCounters ? Counters[0] : Gauges[0]);
        var isArrival = _random.Next(4) == 0;
        var outputs = (ofCounters ? CounterOutputs : GaugeOutputs)
            .Where(name => _random.Next(2) == 0 && !(isArrival && name.StartsWith("rate", StringComparison.Ordinal)))
            .Append(ofCounters ? "increase" : "sum_samples").Distinct();
        // The interval is part of the outputs' names: no two rules have the same. vmagent counts in whole seconds.
        var intervalMs = isArrival ? (IntervalMs / 1_000 + 1 + number) * 1_000 : IntervalMs - 100 * (number + 1);
        var grouping = _random.Next(4) switch
        {
            0 => "by: [path]",
            1 => "by: [instance]",
            2 => "without: [instance, dc]",
            _ => "without: [instance]",
        };
        var others = new List<string>();
        if (!isArrival)
        {
            others.Add($"allowed_lateness: {LatenessMs}ms");
            others.Add(_random.Next(5) == 0 ? "no_align_flush_to_interval: true" : "keep_metric_names: false");
            others.Add(_random.Next(5) == 0 ? "partial_windows: emit" : "partial_windows: skip");
        }
        others.Add($"zero_injection: {(new Random(Seed * 31 + number).Next(3) == 0 ? "true" : "false")}");
        others.Add($"first_sample: {(_random.Next(3) switch { 0 => "count", 1 => "zero", _ => "auto" })}");
        return new SimulatedRule
        {
            Number = number,
            Metrics = metrics,
            IntervalMs = intervalMs,
            Grouping = grouping,
            Outputs = string.Join(", ", outputs),
            IsArrival = isArrival,
            StalenessMs = _random.Next(3) == 0 ? intervalMs * _random.Next(1, 4) / 1_000 * 1_000 + 1_000 : 0,
            Others = others,
        };
    }

    /// <summary>In some runs a rule takes what the others write; in some variants it is another one, or none.</summary>
    private SimulatedRule? MakeBehind(int variant)
    {
        var random = new Random(Seed * 17 + 3);
        if (random.Next(3) > 0 || variant == 4)
        {
            return null;
        }
        var isArrival = random.Next(4) == 0;
        var intervalMs = (isArrival ? IntervalMs / 1_000 * 1_000 : IntervalMs - 70) * (variant == 5 ? 2 : 1);
        List<string> others = isArrival ? [] : [$"allowed_lateness: {random.Next(3) * 1_000}ms"];
        return new SimulatedRule
        {
            Number = Behind,
            Metrics = [],
            Match = "{__name__=~\".+:.+\"}",
            IntervalMs = intervalMs,
            Grouping = random.Next(2) == 0 ? "by: [path]" : "without: [instance]",
            Outputs = variant == 3 ? "sum_samples, max" : "sum_samples, count_samples, min",
            IsArrival = isArrival,
            Others = others,
        };
    }

    private (MillraceConfig, NaiveConfig) Load(
        List<SimulatedRule> rules, bool keeps, bool drops, string? droppedMetric,
        string? droppedLabel, int catchUpSeconds)
    {
        var relabeling = new List<string>();
        if (droppedMetric is not null)
        {
            relabeling.Add($"{{action: drop, source_labels: [__name__], regex: {droppedMetric}}}");
        }
        if (droppedLabel is not null)
        {
            relabeling.Add($"{{action: labeldrop, regex: {droppedLabel}}}");
        }
        var destinations = DestinationNames.Select((name, i) =>
            $"- name: {name}\n  remote_write: {{url: 'http://127.0.0.1:1/', "
            + $"protocol: {((Seed + i) % 2 == 0 ? "prometheus_v1" : "victoriametrics")}}}"
            + (i == 1 ? "\n  relabel_configs: [{target_label: site, replacement: east}]" : ""));
        var yaml = $$"""
            log: {durability: {{(Durability == Durability.Log ? "log" : "log_synced")}}}
            relabel_configs: [{{string.Join(", ", relabeling)}}]
            aggregation:
              tasks: {count: {{(Seed % 3) + 1}}}
              catch_up: {{catchUpSeconds}}s
              rules:
            {{string.Join('\n', rules.Select(rule => "  " + rule.Yaml))}}
            routes:
            - {name: all, keep_input: {{Text(keeps)}}, drop_input: {{Text(drops)}}, aggregate: [{{string.Join(", ",
                rules.Where(rule => rule.Number != Behind).Select(rule => $"rule{rule.Number}"))}}]}
            {{(rules.Exists(rule => rule.Number == Behind)
                ? $"- {{name: behind, inputs: [all], aggregate: [rule{Behind}], drop_input: true}}" : "")}}
            destinations:
            {{string.Join('\n', destinations)}}
            """;
        var loaded = ConfigLoader.Load("sim.yml", _ => null, path => path == "sim.yml" ? yaml : null);
        if (loaded.Config is not { } config)
        {
            throw new InvalidOperationException($"{string.Join('\n', loaded.Problems)}\n{yaml}");
        }
        config = config with
        {
            Log = config.Log with
            {
                Path = "/data",
                SegmentBytes = 8 << 10,
                MinFreeBytes = 16 << 10,
                BaseInterval = TimeSpan.FromMilliseconds(IntervalMs * (1 + Seed % 3)),
            },
            Ingest = config.Ingest with { MaxCachedSeries = Seed % 7 == 0 ? 10 : 4_000_000 },
            Destinations = [.. config.Destinations.Select(destination => destination with
            {
                Lanes = Lanes,
                QueueMemoryBytes = (Seed % 4) switch { 0 => 512, 1 => 4 << 10, _ => 1 << 20 },
                MaxSamplesPerBlock = (Seed % 5) switch { 0 => 3, 1 => 20, _ => 10_000 },
                FlushInterval = TimeSpan.FromMilliseconds(300 + Seed % 1_000),
                RetryMaxInterval = TimeSpan.FromSeconds(5),
            })],
        };
        return (config, new NaiveConfig
        {
            Text = config.CanonicalText,
            Rules = [.. config.Aggregation.Rules.Select((rule, i) =>
                (new AggregationRule(rule, 0).Key, rule, rules[i].Metrics))],
            KeepInput = keeps,
            DropInput = drops,
            DroppedMetric = droppedMetric,
            DroppedLabel = droppedLabel,
            SiteByDestination = DestinationNames.Select((name, i) => (name, i))
                .ToDictionary(entry => entry.name, entry => entry.i == 1 ? "east" : ""),
        });
    }

    private static string Text(bool flag) => flag.ToString(CultureInfo.InvariantCulture).ToLowerInvariant();
}
