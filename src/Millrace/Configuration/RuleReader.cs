using Millrace.Aggregation;
using Millrace.Aggregation.Outputs;
using Millrace.Model;
using Millrace.Relabeling;

namespace Millrace.Configuration;

/// <summary>
/// Reads aggregation rules: vmagent's fields with its validation, and ours. A file of vmagent loads unchanged, so its
/// durations are Go's there (<c>1d</c> is an error); in our own file a rule may also use Prometheus' durations.
/// </summary>
internal sealed class RuleReader
{
    private readonly ConfigReader _reader;
    private readonly bool _allowsDays;

    private RuleReader(ConfigReader reader, bool allowsDays)
    {
        _reader = reader;
        _allowsDays = allowsDays;
    }

    /// <summary>All rules of a list; <paramref name="allowsDays"/> in our own file, not in vmagent's.</summary>
    public static IReadOnlyList<AggregationRuleConfig> ReadList(
        ConfigContext context, IReadOnlyList<ConfigNode> elements, string path, bool allowsDays)
    {
        var rules = new List<AggregationRuleConfig>(elements.Count);
        for (var i = 0; i < elements.Count; i++)
        {
            var element = elements[i];
            if (element.Kind == ConfigNodeKind.Mapping)
            {
                rules.Add(new RuleReader(new ConfigReader(context, element, $"{path}[{i}]"), allowsDays).Read());
                continue;
            }
            context.Report(element.Line, $"{path}[{i}]",
                $"must be an aggregation rule, but {element.Describe()} stands here: write its keys or remove it");
        }
        return rules;
    }

    private AggregationRuleConfig Read()
    {
        var name = _reader.Text("name") ?? "";
        var match = RelabelReader.ReadSelectors(_reader, "match");
        var interval = ReadInterval();
        CheckDedupInterval(interval);
        var outputs = ReadOutputs();
        var by = Sorted(_reader.Texts("by"));
        var without = Sorted(_reader.Texts("without"));
        if (by.Count > 0 && without.Count > 0)
        {
            _reader.Report("without", "by and without exclude each other: keep one of them");
        }
        var time = ReadTime();
        var rule = new AggregationRuleConfig
        {
            Name = name,
            Match = match,
            Interval = interval,
            IntervalText = _reader.Text("interval") ?? "",
            StalenessInterval = ReadStaleness(interval),
            IgnoreFirstSampleInterval = NotNegative(GoDuration("ignore_first_sample_interval")),
            NoAlignFlushToInterval = _reader.Flag("no_align_flush_to_interval", false),
            FlushOnShutdown = _reader.Flag("flush_on_shutdown", false),
            Outputs = outputs,
            By = by,
            Without = without,
            KeepMetricNames = ReadKeepMetricNames(outputs),
            IgnoreOldSamples = _reader.Flag("ignore_old_samples", false),
            IgnoreFirstIntervals =
                (int)Math.Max(0, _reader.Number("ignore_first_intervals", 0, int.MinValue, int.MaxValue)),
            DropInputLabels = _reader.Texts("drop_input_labels") ?? [],
            InputRelabelConfigs = RelabelReader.Read(_reader, "input_relabel_configs", RelabelDialect.VmAgent),
            OutputRelabelConfigs = RelabelReader.Read(_reader, "output_relabel_configs", RelabelDialect.VmAgent),
            EnableWindows = _reader.Flag("enable_windows", false),
            Time = time,
            AllowedLateness = ReadLateness(time),
            FirstSample = _reader.Choice("first_sample", FirstSample.Auto,
                ("auto", FirstSample.Auto), ("count", FirstSample.Count), ("zero", FirstSample.Zero)),
            EmitPartialWindows = _reader.Choice("partial_windows", false, ("skip", false), ("emit", true)),
            File = _reader.Context.File,
            Line = _reader.Line,
            Path = _reader.Path,
        };
        rule = RulePolicies.Read(_reader, rule);
        CheckInputLabels(rule);
        _reader.Finish();
        return rule;
    }

    private TimeSpan ReadInterval()
    {
        if (_reader.Text("interval") is null or "")
        {
            if (_reader.Find("interval") is null or { Kind: ConfigNodeKind.Scalar, Text: "" })
            {
                _reader.Report("interval", "missing: write how long a window is, such as interval: 1m");
            }
            return TimeSpan.Zero;
        }
        if (GoDuration("interval") is not { } interval)
        {
            return TimeSpan.Zero;
        }
        if (interval < TimeSpan.FromSeconds(1))
        {
            _reader.Report("interval", $"\"{_reader.Text("interval")}\" is too short: the least is 1s");
            return TimeSpan.Zero;
        }
        if (interval.Ticks % TimeSpan.TicksPerMillisecond != 0)
        {
            _reader.Report("interval",
                $"\"{_reader.Text("interval")}\" is not in whole milliseconds, as timestamps are: round it");
            return TimeSpan.Zero;
        }
        return interval;
    }

    private void CheckDedupInterval(TimeSpan interval)
    {
        if (GoDuration("dedup_interval") is not { } dedup || dedup <= TimeSpan.Zero)
        {
            return;
        }
        var written = _reader.Text("dedup_interval");
        var whole = _reader.Text("interval");
        if (interval > TimeSpan.Zero && dedup > interval)
        {
            _reader.Report("dedup_interval", $"\"{written}\" is longer than the interval \"{whole}\": make it a part "
                + "of it");
        }
        else if (interval.Ticks % dedup.Ticks != 0)
        {
            _reader.Report("dedup_interval", $"\"{written}\" does not divide the interval \"{whole}\": choose a "
                + "divisor");
        }
        else
        {
            _reader.Report("dedup_interval", $"\"{written}\" asks for deduplication by interval, which is not "
                + "available in this version: remove the key (a repeated request is recognised without it)");
        }
    }

    private TimeSpan? ReadStaleness(TimeSpan interval)
    {
        var staleness = GoDuration("staleness_interval");
        if (staleness is { } given && interval > TimeSpan.Zero && given < interval)
        {
            _reader.Report("staleness_interval", $"\"{_reader.Text("staleness_interval")}\" is shorter than the "
                + $"interval \"{_reader.Text("interval")}\": make it at least as long");
        }
        return staleness;
    }

    private IReadOnlyList<string> ReadOutputs()
    {
        var outputs = _reader.Texts("outputs");
        if (outputs is null || outputs.Count == 0)
        {
            if (_reader.Find("outputs") is null or { Kind: ConfigNodeKind.Sequence, Elements.Count: 0 })
            {
                _reader.Report("outputs", $"missing: list at least one of {string.Join(", ", OutputText.Names)}");
            }
            return [];
        }
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var textBySuffix = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var output in outputs)
        {
            if (!seen.Add(output))
            {
                _reader.Report("outputs", $"\"{output}\" is listed twice: remove one");
            }
            else if (!OutputText.TryRead(output, out var kind, out var problem))
            {
                _reader.Report("outputs", problem is null
                    ? $"unknown output \"{output}\"" + ConfigReader.DidYouMean(output, OutputText.Names)
                        + $"; the outputs are {string.Join(", ", OutputText.Names)}"
                    : $"\"{output}\" {problem}");
            }
            else if (!textBySuffix.TryAdd(kind!.Suffix, output))
            {
                _reader.Report("outputs", kind.Name == "quantiles"
                    ? $"\"{output}\" is a second quantiles(): put all of them into one, such as quantiles(0.5, 0.9)"
                    : $"\"{output}\" would write the same series as \"{textBySuffix[kind.Suffix]}\": remove one");
            }
        }
        return outputs;
    }

    /// <summary>
    /// An output that looks at a label of the input has something to see only where groups do not keep it.
    /// </summary>
    private void CheckInputLabels(AggregationRuleConfig rule)
    {
        foreach (var output in rule.Outputs)
        {
            if (!OutputText.TryRead(output, out var kind, out _) || kind!.InputLabel is not { } label)
            {
                continue;
            }
            if (label == LabelSet.MetricName && kind.Label is not null)
            {
                _reader.Report("outputs", $"\"{output}\" would write its own name over the metric's: choose a label");
            }
            else if (OutputNaming.IsKept(rule, label))
            {
                _reader.Report("outputs", $"\"{output}\" looks at the label \"{label}\", which the groups of this rule "
                    + "keep, so that each has one value: list it under without, or leave it out of by");
            }
        }
    }

    private bool ReadKeepMetricNames(IReadOnlyList<string> outputs)
    {
        var keeps = _reader.Flag("keep_metric_names", false);
        if (!keeps || outputs.Count == 0)
        {
            return keeps;
        }
        if (outputs.Count > 1)
        {
            _reader.Report("keep_metric_names",
                $"all {outputs.Count} outputs would have one name: keep one output, or remove the key");
        }
        else if (outputs[0] is "histogram_bucket" || outputs[0].Contains(',', StringComparison.Ordinal))
        {
            _reader.Report("keep_metric_names", $"\"{outputs[0]}\" makes several series, which need a name of their "
                + "own: remove the key");
        }
        return keeps;
    }

    /// <summary>
    /// vmagent's <c>enable_windows</c> says the same in its words: yes is event time, an explicit no arrival.
    /// </summary>
    private RuleTime ReadTime()
    {
        var windows = _reader.Find("enable_windows") is { } value ? ConfigReader.AsBoolean(value) : null;
        var time = _reader.Choice("time", windows == false ? RuleTime.Arrival : RuleTime.Event,
            ("event", RuleTime.Event), ("arrival", RuleTime.Arrival));
        if (windows == true && time == RuleTime.Arrival)
        {
            _reader.Report("time", "enable_windows: true means time: event, but \"arrival\" stands here: remove one of "
                + "them");
        }
        return time;
    }

    private TimeSpan? ReadLateness(RuleTime time)
    {
        if (_reader.Text("allowed_lateness") is not { } text || text == "auto")
        {
            return null;
        }
        if (time == RuleTime.Arrival)
        {
            _reader.Report("allowed_lateness", $"\"{text}\" has no meaning with time: arrival, where nothing is late: "
                + "remove the key");
            return null;
        }
        if (!ConfigQuantity.TryParsePrometheusDuration(text, out var lateness))
        {
            _reader.Report("allowed_lateness", $"\"{text}\" is neither auto nor a duration: write auto, 10s or 1m30s");
            return null;
        }
        return lateness;
    }

    private TimeSpan? GoDuration(string key)
    {
        if (_reader.Text(key) is not { Length: > 0 } text)
        {
            return null;
        }
        if ((_allowsDays && ConfigQuantity.TryParsePrometheusDuration(text, out var duration))
            || ConfigQuantity.TryParseGoDuration(text, out duration))
        {
            return duration;
        }
        var hint = _allowsDays
            ? "write it as 30s, 1m30s or 1d"
            : "write it as 30s, 1m30s or 24h; vmagent's files know neither days nor bare numbers";
        _reader.Report(key, $"\"{text}\" is not a duration: {hint}");
        return null;
    }

    private static TimeSpan? NotNegative(TimeSpan? duration) =>
        duration is { } given && given < TimeSpan.Zero ? TimeSpan.Zero : duration;

    private static IReadOnlyList<string> Sorted(IReadOnlyList<string>? labels)
    {
        if (labels is null || labels.Count == 0)
        {
            return [];
        }
        return [.. new SortedSet<string>(labels, Utf8Order.Comparer)];
    }
}
