using System.Globalization;
using System.Text;
using Millrace.Aggregation;
using Millrace.Delivery;
using Millrace.Filtering;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Configuration;

/// <summary>
/// Writes the parts of a configuration that decide what becomes of a sample as one text in JSON, which is YAML too,
/// with the keys of the configuration file: rules of files stand in place, variables are expanded, defaults are left
/// out. Addresses, headers and queues are not in it, so it holds no secret of theirs and does not change when they do.
/// </summary>
internal static class CanonicalConfig
{
    public static string Write(MillraceConfig config)
    {
        var writer = new CanonicalWriter();
        writer.BeginMapping();
        WriteIngest(writer, config);
        WriteTimeWindow(writer, config.TimeWindow);
        WriteRelabeling(writer, "relabel_configs", config.RelabelConfigs);
        WriteAggregation(writer, config.Aggregation);
        writer.BeginSequence("routes");
        foreach (var route in config.Routes)
        {
            WriteRoute(writer, route);
        }
        writer.End();
        writer.Text("route_mode", config.AllMatchingRoutes ? "all" : "first");
        writer.BeginSequence("destinations");
        foreach (var destination in config.Destinations)
        {
            WriteDestination(writer, destination);
        }
        writer.End();
        writer.End();
        return writer.ToString();
    }

    /// <summary>One rule alone: two rules with equal texts do the same.</summary>
    public static string Write(AggregationRuleConfig rule)
    {
        var writer = new CanonicalWriter();
        WriteRule(writer, rule, new AggregationConfig());
        return writer.ToString();
    }

    private static void WriteIngest(CanonicalWriter writer, MillraceConfig config)
    {
        writer.BeginMapping("ingest");
        writer.Number("max_labels_per_series", config.Ingest.MaxLabelsPerSeries);
        writer.Number("max_label_name_bytes", config.Ingest.MaxLabelNameBytes);
        writer.Number("max_label_value_bytes", config.Ingest.MaxLabelValueBytes);
        writer.End();
    }

    private static void WriteTimeWindow(CanonicalWriter writer, TimeWindowConfig window)
    {
        writer.BeginMapping("time_window");
        writer.Text("max_age", window.MaxAge is { } age ? ConfigQuantity.FormatDuration(age) : "off");
        writer.Text("max_future", window.MaxFuture is { } future ? ConfigQuantity.FormatDuration(future) : "off");
        writer.End();
    }

    private static void WriteAggregation(CanonicalWriter writer, AggregationConfig aggregation)
    {
        writer.BeginMapping("aggregation");
        writer.BeginMapping("tasks");
        writer.Number("count", aggregation.TaskCount);
        writer.Texts("by", aggregation.TaskBy);
        writer.Texts("without", aggregation.TaskWithout);
        writer.End();
        writer.OptionalDuration("dedup_interval", PositiveOrNull(aggregation.DedupInterval));
        writer.Texts("drop_input_labels", aggregation.DropInputLabels);
        if (aggregation.Ha is { } ha)
        {
            writer.BeginMapping("ha");
            writer.Text("replica_label", ha.ReplicaLabel);
            writer.Duration("failover_timeout", ha.FailoverTimeout);
            writer.End();
        }
        writer.Duration("catch_up", aggregation.CatchUp);
        writer.Number("max_open_windows", aggregation.MaxOpenWindows);
        writer.BeginSequence("rules");
        foreach (var rule in aggregation.Rules)
        {
            WriteRule(writer, rule, aggregation);
        }
        writer.End();
        writer.End();
    }

    /// <summary>A rule without what the section sets for all rules has said so itself.</summary>
    private static void WriteRule(CanonicalWriter writer, AggregationRuleConfig rule, AggregationConfig section)
    {
        writer.BeginMapping();
        writer.TextUnlessEmpty("name", rule.Name);
        writer.OptionalTexts("match", rule.Match);
        writer.Text("interval", rule.IntervalText);
        writer.OptionalDuration(
            "dedup_interval", rule.DedupInterval ?? (section.DedupInterval > TimeSpan.Zero ? TimeSpan.Zero : null));
        writer.OptionalDuration("staleness_interval", rule.StalenessInterval);
        writer.OptionalDuration("ignore_first_sample_interval", rule.IgnoreFirstSampleInterval);
        writer.Flag("no_align_flush_to_interval", rule.NoAlignFlushToInterval);
        writer.Flag("flush_on_shutdown", rule.FlushOnShutdown);
        writer.Texts("outputs", rule.Outputs);
        writer.Texts("by", rule.By);
        writer.Texts("without", rule.Without);
        writer.Flag("keep_metric_names", rule.KeepMetricNames);
        writer.Flag("ignore_old_samples", rule.IgnoreOldSamples);
        if (rule.IgnoreFirstIntervals > 0)
        {
            writer.Number("ignore_first_intervals", rule.IgnoreFirstIntervals);
        }
        writer.OptionalTexts(
            "drop_input_labels",
            rule.DropInputLabels.Count + section.DropInputLabels.Count > 0 ? rule.DropInputLabels : null);
        WriteRelabeling(writer, "input_relabel_configs", rule.InputRelabelConfigs);
        WriteRelabeling(writer, "output_relabel_configs", rule.OutputRelabelConfigs);
        writer.Flag("enable_windows", rule.EnableWindows);
        writer.Text("time", rule.Time == RuleTime.Event ? "event" : "arrival");
        writer.OptionalDuration("allowed_lateness", rule.AllowedLateness);
        writer.Text("first_sample", rule.FirstSample switch
        {
            FirstSample.Count => "count",
            FirstSample.Zero => "zero",
            _ => "auto",
        });
        writer.Text("partial_windows", rule.EmitPartialWindows ? "emit" : "skip");
        RulePolicies.Write(writer, rule);
        writer.End();
    }

    private static TimeSpan? PositiveOrNull(TimeSpan duration) => duration > TimeSpan.Zero ? duration : null;

    private static void WriteRoute(CanonicalWriter writer, RouteConfig route)
    {
        writer.BeginMapping();
        writer.Text("name", route.Name);
        writer.Texts("inputs", route.Inputs);
        writer.Text("match", route.Match);
        WriteRelabeling(writer, "relabel_configs", route.RelabelConfigs);
        if (route.AggregateRules is { } rules)
        {
            writer.OptionalTexts("aggregate", rules);
        }
        else if (!route.Aggregate)
        {
            writer.False("aggregate");
        }
        writer.Flag("keep_input", route.KeepInput);
        writer.Flag("drop_input", route.DropInput);
        writer.OptionalTexts("to", route.To);
        if (route.TimeWindow is { } window)
        {
            WriteTimeWindow(writer, window);
        }
        writer.End();
    }

    /// <summary>What shapes the blocks; not where they go.</summary>
    private static void WriteDestination(CanonicalWriter writer, DestinationConfig destination)
    {
        writer.BeginMapping();
        writer.Text("name", destination.Name);
        WriteRelabeling(writer, "relabel_configs", destination.RelabelConfigs);
        writer.OptionalDuration("dedup_interval", PositiveOrNull(destination.DedupInterval));
        writer.Texts("drop_input_labels", destination.DropInputLabels);
        if (destination.SignificantFigures != 0)
        {
            writer.Number("significant_figures", destination.SignificantFigures);
        }
        if (destination.RoundDigits != ValueRounding.AllDigits)
        {
            writer.Number("round_digits", destination.RoundDigits);
        }
        writer.Flag("corrections", destination.Corrections);
        if (destination.Sharded is { } sharded)
        {
            ShardedReader.Write(writer, sharded);
        }
        else
        {
            writer.Number("lanes", destination.Lanes);
        }
        writer.Number("max_samples_per_block", destination.MaxSamplesPerBlock);
        writer.End();
    }

    private static void WriteRelabeling(CanonicalWriter writer, string key, IReadOnlyList<RelabelConfig> rules)
    {
        if (rules.Count == 0)
        {
            return;
        }
        writer.BeginSequence(key);
        foreach (var rule in rules)
        {
            writer.BeginMapping();
            writer.OptionalTexts("if", rule.If);
            writer.Text("action", rule.Action);
            writer.OptionalTexts("source_labels", rule.SourceLabels);
            writer.OptionalText("separator", rule.Separator);
            writer.OptionalText("target_label", rule.TargetLabel);
            writer.OptionalText("regex", rule.Regex);
            if (rule.Modulus > 0)
            {
                writer.Number("modulus", (long)rule.Modulus);
            }
            writer.OptionalText("replacement", rule.Replacement);
            writer.OptionalText("match", rule.Match);
            if (rule.Labels is { } labels)
            {
                writer.BeginMapping("labels");
                foreach (var (name, template) in new SortedDictionary<string, string>(
                    new Dictionary<string, string>(labels), StringComparer.Ordinal))
                {
                    writer.Text(name, template);
                }
                writer.End();
            }
            writer.End();
        }
        writer.End();
    }
}

/// <summary>JSON with two spaces of indentation and escapes that YAML reads the same way.</summary>
internal sealed class CanonicalWriter
{
    private readonly StringBuilder _text = new();
    private readonly Stack<char> _open = new();
    private bool _isFirst = true;

    public void BeginMapping(string? key = null) => Begin(key, '{', '}');

    public void BeginSequence(string? key = null) => Begin(key, '[', ']');

    public void End()
    {
        var close = _open.Pop();
        if (!_isFirst)
        {
            _text.Append('\n').Append(' ', _open.Count * 2);
        }
        _text.Append(close);
        _isFirst = false;
    }

    public void Text(string key, string value)
    {
        Next(key);
        AppendQuoted(value);
    }

    public void TextUnlessEmpty(string key, string value)
    {
        if (value.Length > 0)
        {
            Text(key, value);
        }
    }

    public void OptionalText(string key, string? value)
    {
        if (value is not null)
        {
            Text(key, value);
        }
    }

    public void Number(string key, long value)
    {
        Next(key);
        _text.Append(CultureInfo.InvariantCulture, $"{value}");
    }

    /// <summary>Written when it is set: false is the default.</summary>
    public void Flag(string key, bool value)
    {
        if (value)
        {
            Next(key);
            _text.Append("true");
        }
    }

    public void False(string key)
    {
        Next(key);
        _text.Append("false");
    }

    public void Duration(string key, TimeSpan value) => Text(key, ConfigQuantity.FormatDuration(value));

    public void OptionalDuration(string key, TimeSpan? value)
    {
        if (value is { } duration)
        {
            Duration(key, duration);
        }
    }

    /// <summary>Written when there are any.</summary>
    public void Texts(string key, IReadOnlyList<string> values) =>
        OptionalTexts(key, values.Count == 0 ? null : values);

    public void OptionalTexts(string key, IReadOnlyList<string>? values)
    {
        if (values is null)
        {
            return;
        }
        Next(key);
        _text.Append('[');
        for (var i = 0; i < values.Count; i++)
        {
            _text.Append(i == 0 ? "" : ", ");
            AppendQuoted(values[i]);
        }
        _text.Append(']');
    }

    public override string ToString() => _text.ToString() + "\n";

    private void Begin(string? key, char open, char close)
    {
        Next(key);
        _text.Append(open);
        _open.Push(close);
        _isFirst = true;
    }

    private void Next(string? key)
    {
        if (_open.Count > 0)
        {
            _text.Append(_isFirst ? "\n" : ",\n").Append(' ', _open.Count * 2);
        }
        _isFirst = false;
        if (key is not null)
        {
            AppendQuoted(key);
            _text.Append(": ");
        }
    }

    private void AppendQuoted(string value)
    {
        _text.Append('"');
        foreach (var c in value)
        {
            if (c is '"' or '\\')
            {
                _text.Append('\\').Append(c);
            }
            else if (c is < ' ' or (>= '\x7f' and <= '\xa0') or '\u2028' or '\u2029' or '\ufeff')
            {
                _text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            }
            else
            {
                _text.Append(c);
            }
        }
        _text.Append('"');
    }
}
