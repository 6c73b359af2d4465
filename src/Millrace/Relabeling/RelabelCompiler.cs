using System.Collections.Frozen;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Millrace.Model;
using Millrace.Model.Re2;

namespace Millrace.Relabeling;

/// <summary>
/// Turns one rule as written into a compiled one, or says everything that is wrong with it. Rules of validation are
/// those of Prometheus for its actions, those of vmagent for its own, and those of vmagent for all in its dialect.
/// </summary>
internal sealed class RelabelCompiler(RelabelConfig config, RelabelDialect dialect, List<ConfigProblem> problems)
{
    private const string DefaultSeparator = ";";
    private const string DefaultRegex = "(.*)";
    private const string DefaultReplacement = "$1";

    private static readonly FrozenDictionary<string, RelabelAction> Actions =
        new Dictionary<string, RelabelAction>(StringComparer.OrdinalIgnoreCase)
        {
            ["replace"] = RelabelAction.Replace,
            ["keep"] = RelabelAction.Keep,
            ["drop"] = RelabelAction.Drop,
            ["keepequal"] = RelabelAction.KeepEqual,
            ["dropequal"] = RelabelAction.DropEqual,
            ["hashmod"] = RelabelAction.HashMod,
            ["labelmap"] = RelabelAction.LabelMap,
            ["labeldrop"] = RelabelAction.LabelDrop,
            ["labelkeep"] = RelabelAction.LabelKeep,
            ["lowercase"] = RelabelAction.Lowercase,
            ["uppercase"] = RelabelAction.Uppercase,
            ["replace_all"] = RelabelAction.ReplaceAll,
            ["labelmap_all"] = RelabelAction.LabelMapAll,
            ["keep_if_equal"] = RelabelAction.KeepIfEqual,
            ["drop_if_equal"] = RelabelAction.DropIfEqual,
            ["keep_if_contains"] = RelabelAction.KeepIfContains,
            ["drop_if_contains"] = RelabelAction.DropIfContains,
            ["graphite"] = RelabelAction.Graphite,
            ["keep_metrics"] = RelabelAction.KeepMetrics,
            ["drop_metrics"] = RelabelAction.DropMetrics,
        }.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    private static readonly GoRegex AnyText =
        Known(GoRegex.TryCreateAnchored(DefaultRegex, out var regex, out _), regex);

    /// <summary>What vmagent looks for by default: no group, and a match ends at a line break.</summary>
    private static readonly GoRegex AnyLine = Known(GoRegex.TryCreateSearch(".*", out var regex, out _), regex);

    private readonly int _problemsBefore = problems.Count;

    public bool TryCompile([NotNullWhen(true)] out RelabelRule? rule)
    {
        rule = null;
        if (!Actions.TryGetValue(config.Action.Length == 0 ? "replace" : config.Action, out var action))
        {
            Report("action", $"unknown action \"{config.Action}\"; write one of {string.Join(", ", Actions.Keys)}");
            return false;
        }
        CheckGraphiteKeys(action);
        Check(action);
        var regex = CompileRegex(action);
        var condition = CompileCondition();
        if (regex is null || problems.Count > _problemsBefore)
        {
            return false;
        }
        rule = Build(action, regex, condition);
        return true;
    }

    private RelabelRule Build(RelabelAction action, GoRegex regex, SeriesSelector? condition)
    {
        var onMetricName = action is RelabelAction.KeepMetrics or RelabelAction.DropMetrics;
        var target = config.TargetLabel ?? "";
        var replacement = config.Replacement ?? DefaultReplacement;
        var targetHasReferences = action == RelabelAction.Replace && target.Contains('$');
        var hasDefaultRegex = regex.Pattern == DefaultRegex;
        return new RelabelRule
        {
            Config = config,
            Action = action,
            Dialect = dialect,
            If = condition,
            SourceLabels = onMetricName ? [LabelSet.MetricName] : [.. config.SourceLabels ?? []],
            Separator = config.Separator ?? DefaultSeparator,
            TargetLabel = target,
            Regex = regex,
            HasDefaultRegex = hasDefaultRegex,
            Modulus = config.Modulus,
            Replacement = replacement,
            LabelReferences = action == RelabelAction.Replace ? ReplacementTemplate.From(replacement) : null,
            Graphite = action == RelabelAction.Graphite ? new GraphiteRule(config.Match!, config.Labels!) : null,
            Copies = hasDefaultRegex && replacement == DefaultReplacement && !targetHasReferences,
            TargetHasReferences = targetHasReferences,
            ReplacementHasReferences = replacement.Contains('$'),
        };
    }

    private GoRegex? CompileRegex(RelabelAction action)
    {
        var isSearch = action is RelabelAction.ReplaceAll or RelabelAction.LabelMapAll;
        if (config.Regex is null)
        {
            return isSearch ? AnyLine : AnyText;
        }
        var valid = isSearch
            ? GoRegex.TryCreateSearch(config.Regex, out var regex, out var error)
            : GoRegex.TryCreateAnchored(config.Regex, out regex, out error);
        if (!valid)
        {
            Report("regex", error);
            return null;
        }
        return (isSearch || dialect == RelabelDialect.VmAgent) && IsDefaultForVmAgent(config.Regex)
            ? isSearch ? AnyLine : AnyText
            : regex;
    }

    /// <summary>vmagent strips anchors and groups before it compares with its default.</summary>
    private static bool IsDefaultForVmAgent(string pattern)
    {
        var stripped = pattern.TrimStart('^');
        stripped = stripped.EndsWith("\\$", StringComparison.Ordinal) ? stripped : stripped.TrimEnd('$');
        return GoRegex.TryCreateAnchored(stripped, out var regex, out _) && regex.IsAnything;
    }

    private SeriesSelector? CompileCondition()
    {
        if (config.If is null)
        {
            return null;
        }
        if (config.If.Count == 0)
        {
            Report("if", "the list is empty; write at least one selector, or leave the key out");
            return null;
        }
        var selectors = new List<SeriesSelector>(config.If.Count);
        for (var i = 0; i < config.If.Count; i++)
        {
            if (SeriesSelector.TryParse(config.If[i], out var selector, out var error))
            {
                selectors.Add(selector);
            }
            else
            {
                Report(config.If.Count == 1 ? "if" : $"if[{i}]",
                    $"cannot read the selector \"{config.If[i]}\": {error}");
            }
        }
        return selectors.Count == config.If.Count ? SeriesSelector.AnyOf(selectors) : null;
    }

    private void Check(RelabelAction action)
    {
        switch (action)
        {
            case RelabelAction.Graphite:
                CheckGraphite();
                break;
            case RelabelAction.ReplaceAll:
                RequireSources(1);
                RequireTarget();
                break;
            case RelabelAction.KeepIfContains or RelabelAction.DropIfContains:
                RequireTarget();
                RequireSources(1);
                Refuse("regex", config.Regex is not null);
                break;
            case RelabelAction.KeepIfEqual or RelabelAction.DropIfEqual:
                RequireSources(2);
                Refuse("target_label", config.TargetLabel is { Length: > 0 });
                Refuse("regex", config.Regex is not null);
                break;
            case RelabelAction.KeepMetrics or RelabelAction.DropMetrics:
                if (config.Regex is null or "" && config.If is null)
                {
                    Report("regex",
                        $"action {config.Action} needs the key; write a regular expression for metric names");
                }
                Refuse("source_labels", config.SourceLabels is { Count: > 0 });
                break;
            case RelabelAction.LabelMapAll:
                break;
            default:
                if (dialect == RelabelDialect.Prometheus)
                {
                    CheckAsPrometheus(action);
                }
                else
                {
                    CheckAsVmAgent(action);
                }
                break;
        }
    }

    private void CheckAsPrometheus(RelabelAction action)
    {
        var replacementWritten = config.Replacement is not (null or DefaultReplacement);
        var separatorWritten = config.Separator is not (null or DefaultSeparator);
        switch (action)
        {
            case RelabelAction.Replace:
                RequireTarget();
                break;
            case RelabelAction.HashMod:
                RequireTarget();
                RequireModulus();
                break;
            case RelabelAction.Lowercase or RelabelAction.Uppercase:
                RequireTarget();
                Refuse("replacement", replacementWritten);
                break;
            case RelabelAction.KeepEqual or RelabelAction.DropEqual:
                RequireTarget();
                Refuse("regex", config.Regex is not null);
                Refuse("modulus", config.Modulus != 0);
                Refuse("separator", separatorWritten);
                Refuse("replacement", replacementWritten);
                break;
            case RelabelAction.LabelDrop or RelabelAction.LabelKeep:
                Refuse("source_labels", config.SourceLabels is not null);
                Refuse("target_label", config.TargetLabel is { Length: > 0 });
                Refuse("modulus", config.Modulus != 0);
                Refuse("separator", separatorWritten);
                Refuse("replacement", replacementWritten);
                break;
            case RelabelAction.LabelMap when config.Replacement is "":
                Report("replacement", "the replacement of labelmap is a label name and cannot be empty; write one");
                break;
        }
    }

    private void CheckAsVmAgent(RelabelAction action)
    {
        switch (action)
        {
            case RelabelAction.Replace:
                RequireTarget();
                break;
            case RelabelAction.HashMod:
                RequireSources(1);
                RequireTarget();
                RequireModulus();
                break;
            case RelabelAction.Lowercase or RelabelAction.Uppercase:
                RequireSources(1);
                RequireTarget();
                break;
            case RelabelAction.KeepEqual or RelabelAction.DropEqual:
                RequireTarget();
                Refuse("regex", config.Regex is not null);
                break;
            case RelabelAction.Keep or RelabelAction.Drop when config.If is null:
                RequireSources(1);
                break;
        }
    }

    private void CheckGraphite()
    {
        if (config.Match is null or "")
        {
            Report("match", "action graphite needs the key; write a glob on metric names such as a.*.b");
        }
        if (config.Labels is null or { Count: 0 })
        {
            Report("labels", "action graphite needs the key; write labels with templates such as job: $1");
        }
        Refuse("source_labels", config.SourceLabels is { Count: > 0 });
        Refuse("target_label", config.TargetLabel is { Length: > 0 });
        Refuse("replacement", config.Replacement is not null);
        Refuse("regex", config.Regex is not null);
    }

    private void CheckGraphiteKeys(RelabelAction action)
    {
        if (action != RelabelAction.Graphite)
        {
            Refuse("match", config.Match is { Length: > 0 });
            Refuse("labels", config.Labels is { Count: > 0 });
        }
    }

    private void RequireTarget()
    {
        if (config.TargetLabel is null or "")
        {
            Report("target_label", $"action {config.Action} needs the key; write the label it shall work on");
        }
    }

    private void RequireSources(int count)
    {
        var written = config.SourceLabels?.Count ?? 0;
        if (written < count)
        {
            Report("source_labels", $"action {config.Action} needs at least {count} of them, there are {written}; "
                + "list the labels it shall read");
        }
    }

    private void RequireModulus()
    {
        if (config.Modulus == 0)
        {
            Report("modulus", "action hashmod needs a modulus above 0; write the number of parts");
        }
    }

    private void Refuse(string key, bool isWritten)
    {
        if (isWritten)
        {
            Report(key, $"action {config.Action} does not use the key; leave it out");
        }
    }

    private void Report(string key, string message) => problems.Add(
        new ConfigProblem(config.File, config.Line, config.Path.Length == 0 ? key : $"{config.Path}.{key}", message));

    private static GoRegex Known(bool isValid, GoRegex? regex) => isValid ? regex! : throw new UnreachableException();
}
