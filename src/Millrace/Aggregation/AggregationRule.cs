using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Millrace.Aggregation.Outputs;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Aggregation;

/// <summary>What a rule makes of a series.</summary>
internal enum RuleVerdict
{
    NoMatch,

    /// <summary>It matched, and input relabeling dropped it: it counts as matched for the raw output.</summary>
    Dropped,

    Taken,
}

/// <summary>The identity of a series inside a rule, and the group it belongs to.</summary>
/// <param name="Key">The stable key of the series after input relabeling.</param>
/// <param name="GroupKey">That of the group.</param>
/// <param name="Group">The labels of the group.</param>
/// <param name="Target">
/// A hash of the target, the labels job and instance as they came; 0: there is none, or the rule does not ask.
/// </param>
/// <param name="Labels">The values of <see cref="AggregationRule.InputLabels"/>; null if there are none.</param>
internal readonly record struct RuleSeries(
    UInt128 Key, UInt128 GroupKey, LabelSet Group, uint Target = 0, string[]? Labels = null)
{
    /// <summary>Who of several replicas sends it; see <see cref="AggregationRule.ReplicaOf"/>.</summary>
    public uint Replica { get; init; }
}

/// <summary>
/// A compiled rule: the pure part of an aggregation. Which series it takes, how it groups them, what its outputs are
/// called, and which window a time belongs to.
/// </summary>
internal sealed class AggregationRule
{
    /// <summary>
    /// A counter's last sample is remembered at least this long, so that one failed scrape or a short pause does not
    /// make a counter new. Five minutes is Prometheus' look-back.
    /// </summary>
    private static readonly TimeSpan MinCounterMemory = TimeSpan.FromMinutes(5);

    private readonly SeriesSelector[]? _match;
    private readonly HashSet<string> _dropLabels;
    private readonly Relabeler _inputRelabeling;
    private readonly Relabeler _outputRelabeling;
    private readonly string[] _suffixes; // by output

    public AggregationRule(AggregationRuleConfig config, int occurrence)
    {
        Config = config;
        Key = StableHash.Hash128(Encoding.UTF8.GetBytes($"{occurrence} {Definition(config)}"));
        KeyWithoutMatch = StableHash.Hash128(Encoding.UTF8.GetBytes(Definition(config with { Match = null })));
        IntervalMs = (long)config.Interval.TotalMilliseconds;
        var staleness = config.StalenessInterval ?? config.Interval;
        StalenessMs = (long)staleness.TotalMilliseconds;
        CounterMemoryMs = (long)(staleness > MinCounterMemory ? staleness : MinCounterMemory).TotalMilliseconds;
        IgnoreFirstSampleMs = (long)(config.IgnoreFirstSampleInterval ?? staleness).TotalMilliseconds;
        CorrectedWindows = config.CountCorrectedWindows();
        DedupMs = (long)(config.DedupInterval ?? TimeSpan.Zero).TotalMilliseconds;
        Outputs = [.. KindsOf(config)];
        _suffixes = Array.ConvertAll(Outputs, output => OutputNaming.Suffix(config, output));
        HasCounters = Array.Exists(Outputs, output => output.IsCounter);
        UsesLastSamples = Array.Exists(Outputs, output => output.UsesLastSamples);
        InputLabels = InputLabelsOf(Outputs);
        TakesHistograms = Array.Exists(Outputs, output => output.OfHistograms != HistogramUse.None);
        ExemplarCount = config.Exemplars ?? AggregationRuleConfig.DefaultExemplars;
        // A window that may be written again has shown its exemplars already.
        TakesExemplars = ExemplarCount > 0 && CorrectedWindows == 0
            && Array.Exists(Outputs, output => output.CarriesExemplars);
        _match = SelectorsOf(config);
        _dropLabels = [.. config.DropInputLabels];
        if (config.Ha is { } ha)
        {
            _dropLabels.Add(ha.ReplicaLabel);
        }
        _inputRelabeling = CompileRelabeling(config.InputRelabelConfigs);
        _outputRelabeling = CompileRelabeling(config.OutputRelabelConfigs);
    }

    public AggregationRuleConfig Config { get; }

    /// <summary>The same in every process for the same rule text: by it state finds its rule again.</summary>
    public UInt128 Key { get; }

    /// <summary>Equal for rules that differ in their selectors alone.</summary>
    public UInt128 KeyWithoutMatch { get; }

    public string Name => Config.Name.Length > 0 ? Config.Name : Config.Path;

    public long IntervalMs { get; }

    /// <summary>A group without samples for longer is gone.</summary>
    public long StalenessMs { get; }

    /// <summary>How long after its last sample a counter goes on instead of starting anew.</summary>
    public long CounterMemoryMs { get; }

    public long IgnoreFirstSampleMs { get; }

    /// <summary>Of a series one sample per so long is counted; 0: all of them.</summary>
    public long DedupMs { get; }

    /// <summary>How many windows behind the last closed one are emitted again when they change.</summary>
    public long CorrectedWindows { get; }

    public OutputKind[] Outputs { get; }

    public bool HasCounters { get; }

    /// <summary>Some output needs the last sample of each series.</summary>
    public bool UsesLastSamples { get; }

    /// <summary>The labels of the input that outputs look at.</summary>
    public string[] InputLabels { get; }

    /// <summary>Some output makes something of native histograms.</summary>
    public bool TakesHistograms { get; }

    /// <summary>Some output shows exemplars.</summary>
    public bool TakesExemplars { get; }

    /// <summary>Exemplars that a group shows per window.</summary>
    public int ExemplarCount { get; }

    /// <summary>Its series and groups are counted, which takes one task for all of them.</summary>
    public bool IsBounded => Config.MaxSeries > 0 || Config.MaxGroups > 0;

    public bool IsArrivalTime => Config.Time == RuleTime.Arrival;

    public static AggregationRule[] CompileAll(IReadOnlyList<AggregationRuleConfig> configs)
    {
        var rules = new AggregationRule[configs.Count];
        var seen = new Dictionary<UInt128, int>();
        for (var i = 0; i < rules.Length; i++)
        {
            // Two rules of the same text are two rules: the second is told apart by its occurrence.
            var rule = new AggregationRule(configs[i], occurrence: 0);
            var occurrence = seen.GetValueOrDefault(rule.Key);
            seen[rule.Key] = occurrence + 1;
            rules[i] = occurrence == 0 ? rule : new AggregationRule(configs[i], occurrence);
        }
        return rules;
    }

    /// <summary>Decides what becomes of a series; <paramref name="scratch"/> is overwritten.</summary>
    public RuleVerdict TryTake(LabelSet series, LabelBuilder scratch, out RuleSeries taken)
    {
        taken = default;
        if (_match is not null && !Array.Exists(_match, selector => selector.Matches(series)))
        {
            return RuleVerdict.NoMatch;
        }
        var input = WithoutDroppedLabels(series);
        if (!_inputRelabeling.IsEmpty && !_inputRelabeling.TryApply(input, scratch, out input))
        {
            return RuleVerdict.Dropped;
        }
        var group = OutputNaming.Group(Config, input);
        taken = new RuleSeries(
            input.StableKey(), group.StableKey(), group, TargetOf(series), ValuesOfInputLabels(input))
        {
            Replica = ReplicaOf(series),
        };
        return RuleVerdict.Taken;
    }

    /// <summary>
    /// The task of a group: every rule's group is finished in one task. A rule with bounds is in one task as a whole,
    /// so that they are decided in the order of the log.
    /// </summary>
    public int TaskOf(in RuleSeries series, int taskCount) =>
        (int)(ulong)((IsBounded ? Key : series.GroupKey) % (UInt128)taskCount);

    /// <summary>The state of an output for one window.</summary>
    public OutputWindow NewWindow(int output) => Outputs[output].NewWindow(
        new OutputSetting(IsArrivalTime, Array.IndexOf(InputLabels, Outputs[output].InputLabel)));

    /// <summary>The labels of an output series; null when output relabeling drops it.</summary>
    /// <param name="value">The value of the output's label, if it has one.</param>
    public LabelSet? OutputLabels(LabelSet group, OutputKind output, string value = "")
    {
        var suffix = Array.IndexOf(Outputs, output) is >= 0 and var number
            ? _suffixes[number] : OutputNaming.Suffix(Config, output);
        var series = OutputNaming.Output(suffix, group, output, value);
        if (_outputRelabeling.IsEmpty)
        {
            return series.Count > 0 ? series : null;
        }
        return _outputRelabeling.TryApply(series, new LabelBuilder(), out var relabeled) ? relabeled : null;
    }

    /// <summary>The window (start, end] of a time, numbered so that window w ends at w·interval + offset.</summary>
    public long WindowOf(long timeMs, long offsetMs) => FloorDivide(timeMs - offsetMs - 1, IntervalMs) + 1;

    /// <summary>The dedup interval of a time, numbered so that interval n ends at n·length + offset.</summary>
    public long DedupIntervalOf(long timeMs, long offsetMs) => FloorDivide(timeMs - offsetMs - 1, DedupMs) + 1;

    public long EndOf(long window, long offsetMs) => window * IntervalMs + offsetMs;

    /// <summary>
    /// A number for the value of the replica label, the same in every process; series without it are one more replica.
    /// </summary>
    public uint ReplicaOf(LabelSet series) =>
        Config.Ha is { } ha ? (uint)StableHash.Hash64(Encoding.UTF8.GetBytes(series[ha.ReplicaLabel])) : 0;

    private uint TargetOf(LabelSet series)
    {
        if (!HasCounters || IsArrivalTime || Config.FirstSample != FirstSample.Auto || series["instance"].Length == 0)
        {
            return 0;
        }
        var target = LabelSet.Of(("instance", series["instance"]), ("job", series["job"])).StableKey();
        return Math.Max(1, (uint)target & (uint.MaxValue >> 1));
    }

    /// <summary>The series without <c>drop_input_labels</c> and the replica label.</summary>
    public LabelSet WithoutDroppedLabels(LabelSet series)
    {
        if (_dropLabels.Count == 0)
        {
            return series;
        }
        var kept = new List<Label>(series.Count);
        foreach (var label in series.Labels)
        {
            if (!_dropLabels.Contains(label.Name))
            {
                kept.Add(label);
            }
        }
        return LabelSet.From(kept);
    }

    private string[]? ValuesOfInputLabels(LabelSet input)
    {
        if (InputLabels.Length == 0)
        {
            return null;
        }
        var values = new string[InputLabels.Length];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = input[InputLabels[i]];
        }
        return values;
    }

    private static string[] InputLabelsOf(OutputKind[] outputs)
    {
        var labels = new List<string>();
        foreach (var output in outputs)
        {
            if (output.InputLabel is { } label && !labels.Contains(label))
            {
                labels.Add(label);
            }
        }
        return [.. labels];
    }

    private static IEnumerable<OutputKind> KindsOf(AggregationRuleConfig config)
    {
        foreach (var name in config.Outputs)
        {
            yield return OutputKind.Find(name)
                ?? throw new ArgumentException($"output \"{name}\" of rule \"{config.Path}\" is not known");
        }
    }

    private static SeriesSelector[]? SelectorsOf(AggregationRuleConfig config)
    {
        if (config.Match is null)
        {
            return null;
        }
        var selectors = new List<SeriesSelector>();
        foreach (var text in config.Match)
        {
            selectors.Add(SeriesSelector.TryParse(text, out var selector, out var error)
                ? selector
                : throw new ArgumentException($"selector \"{text}\" of rule \"{config.Path}\": {error}"));
        }
        return [.. selectors];
    }

    private static Relabeler CompileRelabeling(IReadOnlyList<RelabelConfig> configs)
    {
        var problems = new List<ConfigProblem>();
        var relabeler = Relabeler.Compile(configs, problems, RelabelDialect.VmAgent);
        return problems.Count == 0 ? relabeler : throw new ArgumentException(problems[0].ToString());
    }

    /// <summary>Everything that decides the rule's results; not its name, nor where it was written.</summary>
    private static string Definition(AggregationRuleConfig config)
    {
        static RelabelConfig Bare(RelabelConfig rule) => rule with { File = "", Line = 0, Path = "" };
        var bare = config with
        {
            Name = config.IsDeduplicator ? config.Name : "", // That of its route or destination.
            File = "",
            Line = 0,
            Path = "",
            AllowedLateness = null, // Policy: it decides when windows close, not what is in them.
            InputRelabelConfigs = [.. Select(config.InputRelabelConfigs, Bare)],
            OutputRelabelConfigs = [.. Select(config.OutputRelabelConfigs, Bare)],
        };
        return JsonSerializer.Serialize(bare, RuleDefinitionJson.Default.AggregationRuleConfig);
    }

    private static IEnumerable<RelabelConfig> Select(
        IReadOnlyList<RelabelConfig> rules, Func<RelabelConfig, RelabelConfig> change)
    {
        foreach (var rule in rules)
        {
            yield return change(rule);
        }
    }

    private static long FloorDivide(long value, long by) =>
        value >= 0 ? value / by : -((-value + by - 1) / by);
}

/// <summary>
/// Defaults are not written, so that a key added in a later release does not change older rules' keys.
/// </summary>
[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(AggregationRuleConfig))]
internal sealed partial class RuleDefinitionJson : JsonSerializerContext;
