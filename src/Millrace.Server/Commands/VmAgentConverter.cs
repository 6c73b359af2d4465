using System.Globalization;
using System.Linq;
using Millrace.Configuration;
using Millrace.Model;

namespace Millrace.Server.Commands;

/// <summary>
/// vmagent's flags and rule files as our configuration. Rules of the global level go to every destination. With rules
/// of URLs, each URL gets a route to its destination, behind the route of the global rules if there are any.
/// </summary>
internal sealed class VmAgentConverter(Func<string, string?> readFile)
{
    private const string DefaultUrl = "http://127.0.0.1:8428/api/v1/write";
    private const string Global = "streamAggr.";
    private const string PerUrl = "remoteWrite.streamAggr.";

    private readonly VmAgentFlags _flags = new();
    private readonly List<ConfigProblem> _problems = [];
    private readonly YamlLines _lines = new();
    private readonly List<string> _notes = [];
    private readonly VmAgentRules _rules = new();
    private string? _dedup;
    private IReadOnlyList<string> _droppedLabels = [];

    public Conversion Convert(IReadOnlyList<string> words)
    {
        var ruleFiles = new List<string>();
        foreach (var file in _flags.Add(words))
        {
            var text = Read(file);
            if (AsCommandLine(text) is { } line)
            {
                ruleFiles.AddRange(_flags.Add(line));
            }
            else
            {
                ruleFiles.Add(file);
            }
        }
        ruleFiles.AddRange(_flags.All(Global + "config"));
        var urls = _flags.All("remoteWrite.url");
        _dedup = Duration(_flags.One(Global + "dedupInterval"));
        _droppedLabels = _flags.All(Global + "dropInputLabels");
        // The section says for all rules how long dedup intervals are and which labels go.
        var level = new VmAgentLevel(
            DedupInterval: null, _flags.Flag(Global + "ignoreOldSamples"), _flags.One(Global + "ignoreFirstIntervals"),
            DropInputLabels: null, _flags.One(Global + "enableWindows"));
        var isPerUrl = _flags.All(PerUrl + "config").Count > 0;
        var globalNames = AddRules(ruleFiles, level, isPerUrl ? "global" : null);

        var destinations = new YamlLines();
        var routes = new YamlLines();
        var isChained = isPerUrl && globalNames.Count > 0;
        if (isChained)
        {
            // Everything goes through the routes of the URLs.
            WriteRoute(routes, "global", globalNames, _flags.Flag(Global + "keepInput"),
                _flags.Flag(Global + "dropInput"), "", []);
        }
        var isSharded = IsSharded(urls, isPerUrl);
        for (var i = 0; i < (isSharded ? 1 : Math.Max(1, urls.Count)); i++)
        {
            WriteUrl(i, urls, isPerUrl, isChained ? "global" : null, destinations, routes);
        }
        if (!isPerUrl)
        {
            WriteRoute(routes, "default", null, _flags.Flag(Global + "keepInput"), _flags.Flag(Global + "dropInput"),
                null, []);
        }
        WriteSections(isPerUrl, routes, destinations);
        return new Conversion(_lines.ToString(), _problems);
    }

    private void WriteSections(bool isPerUrl, YamlLines routes, YamlLines destinations)
    {
        var body = new YamlLines();
        WriteServer(body);
        WriteIngest(body);
        if (_flags.One("remoteWrite.tmpDataPath") is { } path)
        {
            body.Add(0, "log:");
            body.Add(2, "path", path);
        }
        body.AddList(0, "relabel_configs", ReadRelabeling(_flags.One("remoteWrite.relabelConfig")));
        WriteAggregation(body);
        body.Add(0, $"route_mode: {(isPerUrl ? "all" : "first")}");
        body.Add(0, "routes:");
        body.Add(0, routes.ToString().TrimEnd('\n'));
        body.Add(0, "destinations:");
        body.Add(0, destinations.ToString().TrimEnd('\n'));
        WriteNotes();
        _lines.Add(0, body.ToString().TrimEnd('\n'));
    }

    private void WriteAggregation(YamlLines body)
    {
        if (!_rules.HasRules && _dedup is null)
        {
            return;
        }
        if (_rules.HasRules)
        {
            body.Add(0, "# Windows go by the samples' own time (vmagent's enable_windows). vmagent's default is the");
            body.Add(0, "# time of arrival: write \"time: arrival\" into a rule to keep that.");
        }
        body.Add(0, "aggregation:");
        body.Add(2, "dedup_interval", _dedup);
        WriteDroppedLabels(body, _droppedLabels);
        if (_rules.HasRules)
        {
            body.Add(2, "rules:");
            body.Add(0, _rules.ToString().TrimEnd('\n'));
        }
    }

    private static void WriteDroppedLabels(YamlLines lines, IReadOnlyList<string> labels)
    {
        if (labels.Count > 0)
        {
            lines.Add(2, $"drop_input_labels: [{string.Join(", ", labels.Select(YamlText.Quote))}]");
        }
    }

    /// <summary>Comes last, when it is known which flags were used.</summary>
    private void WriteNotes()
    {
        _lines.Add(0, "# Converted from vmagent. What has no counterpart stands in comments.");
        foreach (var note in new SortedSet<string>(_notes, StringComparer.Ordinal))
        {
            _lines.Add(0, $"# Note: {note}.");
        }
        foreach (var name in _flags.Names)
        {
            if (!_flags.IsUsed(name))
            {
                var value = IsSecret(name) ? "..." : string.Join(',', _flags.All(name)).ReplaceLineEndings(" ");
                _lines.Add(0, $"# No counterpart: -{name}={value}");
            }
        }
    }

    private void WriteServer(YamlLines body)
    {
        var listen = _flags.One("httpListenAddr");
        var level = _flags.One("loggerLevel");
        var format = _flags.One("loggerFormat");
        if (listen is null && level is null && format is null)
        {
            return;
        }
        body.Add(0, "server:");
        body.Add(2, "listen", listen);
        body.Add(2, "log_level", level is "FATAL" or "PANIC" ? "error" : level?.ToLowerInvariant());
        body.Add(2, "log_format", format is null ? null : format == "json" ? "json" : "text");
    }

    private void WriteIngest(YamlLines body)
    {
        var ingest = new YamlLines();
        ingest.AddNumber(2, "max_request_bytes", _flags.One("maxInsertRequestSize"));
        ingest.AddNumber(2, "max_labels_per_series", PositiveOrNull(_flags.One("maxLabelsPerTimeseries")));
        ingest.AddNumber(2, "max_label_name_bytes", PositiveOrNull(_flags.One("maxLabelNameLen")));
        ingest.AddNumber(2, "max_label_value_bytes", PositiveOrNull(_flags.One("maxLabelValueLen")));
        if (ingest.ToString().Length > 0)
        {
            body.Add(0, "ingest:");
            body.Add(0, ingest.ToString().TrimEnd('\n'));
        }
    }

    private void WriteUrl(int index, IReadOnlyList<string> urls, bool isPerUrl, string? input, YamlLines destinations,
        YamlLines routes)
    {
        var isSharded = IsSharded(urls, isPerUrl);
        var name = urls.Count > 1 && !isSharded
            ? string.Create(CultureInfo.InvariantCulture, $"storage-{index + 1}") : "storage";
        var relabeling = ReadRelabeling(_flags.At("remoteWrite.urlRelabelConfig", index));
        var hasRules = false;
        if (isPerUrl)
        {
            var file = _flags.At(PerUrl + "config", index);
            var level = new VmAgentLevel(
                _flags.At(PerUrl + "dedupInterval", index) ?? (_dedup is null ? null : "0s"),
                _flags.FlagAt(PerUrl + "ignoreOldSamples", index), _flags.At(PerUrl + "ignoreFirstIntervals", index),
                DroppedLabelsAt(index) ?? (_droppedLabels.Count == 0 ? null : []),
                _flags.At(PerUrl + "enableWindows", index));
            var names = file is null ? [] : AddRules([file], level, name);
            hasRules = names.Count > 0;
            WriteRoute(routes, name, names, _flags.FlagAt(PerUrl + "keepInput", index),
                _flags.FlagAt(PerUrl + "dropInput", index), name, hasRules ? relabeling : [], input);
        }
        if (isSharded)
        {
            WriteDestination(destinations, name, "", index, relabeling);
            WriteNodes(destinations, urls);
            return;
        }
        WriteDestination(destinations, name, index < urls.Count ? urls[index] : null, index,
            hasRules ? [] : relabeling);
    }

    /// <summary>One destination that shares the series; what vmagent does to each URL by itself, it cannot.</summary>
    private bool IsSharded(IReadOnlyList<string> urls, bool isPerUrl)
    {
        if (!_flags.Flag("remoteWrite.shardByURL") || urls.Count < 2)
        {
            return false;
        }
        if (!isPerUrl)
        {
            return true;
        }
        _notes.Add("-remoteWrite.shardByURL gives each series to one URL; beside rules of single URLs it has no "
            + "counterpart, and every destination gets all of them");
        return false;
    }

    private void WriteNodes(YamlLines lines, IReadOnlyList<string> urls)
    {
        lines.Add(2, "sharded:");
        lines.Add(4, "placement: vmagent");
        lines.Add(4, "nodes:");
        for (var i = 0; i < urls.Count; i++)
        {
            lines.Add(4, string.Create(
                CultureInfo.InvariantCulture, $"- {{name: storage-{i + 1}, url: {YamlText.Quote(urls[i])}}}"));
        }
        var (labels, ignored) = (
            _flags.All("remoteWrite.shardByURL.labels"), _flags.All("remoteWrite.shardByURL.ignoreLabels"));
        if (labels.Count + ignored.Count > 0)
        {
            var (key, names) = labels.Count > 0 ? ("by", labels) : ("without", ignored);
            lines.Add(4, $"tasks: {{{key}: [{string.Join(", ", names.Select(YamlText.Quote))}]}}");
        }
        if (PositiveOrNull(_flags.One("remoteWrite.shardByURLReplicas")) is { } replicas)
        {
            lines.Add(4, $"replicas: {replicas}");
        }
        _notes.Add("what holds for one -remoteWrite.url of several (credentials, relabeling, rounding) is that of the "
            + "first for all nodes of a sharded destination");
        if (_flags.All("remoteWrite.label").Count > 0)
        {
            _notes.Add("-remoteWrite.label: here the labels are part of what decides the node, in vmagent they come "
                + "later");
        }
    }

    private string[]? DroppedLabelsAt(int index) => _flags.At(PerUrl + "dropInputLabels", index)?.Split("^^");

    /// <summary>What comes through a URL's deduplicator comes through the global one before.</summary>
    private void WriteDedup(YamlLines lines, int index)
    {
        if (_flags.At(PerUrl + "dedupInterval", index) is not { } written
            || !ConfigQuantity.TryParseGoDuration(written, out var dedup) || dedup <= TimeSpan.Zero)
        {
            return;
        }
        if (_dedup is not null && ConfigQuantity.TryParsePrometheusDuration(_dedup, out var global)
            && global > TimeSpan.Zero && dedup.Ticks % global.Ticks != 0)
        {
            _notes.Add($"-{PerUrl}dedupInterval={written} is left out: it is not a multiple of -{Global}dedupInterval");
            return;
        }
        lines.Add(2, "dedup_interval", ConfigQuantity.FormatDuration(dedup));
        WriteDroppedLabels(lines, DroppedLabelsAt(index) ?? []);
    }

    private static void WriteRoute(YamlLines lines, string name, List<string>? rules, bool keepsInput, bool dropsInput,
        string? destination, IReadOnlyList<ConfigNode> relabeling, string? input = null)
    {
        lines.Add(0, $"- name: {name}");
        if (input is not null)
        {
            lines.Add(2, $"inputs: [{input}]");
        }
        lines.AddList(2, "relabel_configs", relabeling);
        if (rules is { Count: 0 })
        {
            lines.Add(2, "aggregate: false");
        }
        else if (rules is not null)
        {
            lines.Add(2, "aggregate:");
            rules.ForEach(rule => lines.Add(2, $"- {YamlText.Quote(rule)}"));
        }
        // Without rules vmagent ignores both flags and forwards everything.
        var hasRules = rules is not { Count: 0 };
        lines.Add(2, $"keep_input: {(keepsInput && hasRules ? "true" : "false")}");
        lines.Add(2, $"drop_input: {(dropsInput && hasRules ? "true" : "false")}");
        if (destination is not null)
        {
            lines.Add(2, $"to: [{destination}]");
        }
    }

    private void WriteDestination(
        YamlLines lines, string name, string? url, int index, IReadOnlyList<ConfigNode> relabeling)
    {
        lines.Add(0, $"- name: {name}");
        if (url is null)
        {
            lines.Add(2, "# No -remoteWrite.url was given: this is VictoriaMetrics on the same machine.");
        }
        lines.Add(2, "remote_write:");
        if (url is not "")
        {
            lines.Add(4, "url", url ?? DefaultUrl);
        }
        if (_flags.FlagAt("remoteWrite.forcePromProto", index) || _flags.FlagAt("remoteWrite.forceVMProto", index))
        {
            lines.Add(4, "protocol",
                _flags.FlagAt("remoteWrite.forcePromProto", index) ? "prometheus_v1" : "victoriametrics");
        }
        new VmAgentConnection(_flags, _notes).Write(lines, index);
        lines.Add(4, "send_timeout", Duration(_flags.At("remoteWrite.sendTimeout", index)));
        lines.Add(4, "retry_min_interval", Duration(_flags.At("remoteWrite.retryMinInterval", index)));
        lines.Add(4, "retry_max_interval", Duration(_flags.At("remoteWrite.retryMaxInterval", index)));
        lines.AddList(2, "relabel_configs", relabeling);
        WriteAddedLabels(lines);
        lines.AddNumber(2, "significant_figures", PositiveOrNull(_flags.At("remoteWrite.significantFigures", index)));
        lines.AddNumber(2, "round_digits", _flags.At("remoteWrite.roundDigits", index));
        WriteDedup(lines, index);
        if (PositiveOrNull(_flags.At("remoteWrite.maxDiskUsagePerURL", index)) is { } size)
        {
            lines.Add(2, $"queue: {{max_bytes: {size}}}");
        }
        lines.Add(2, "flush_interval", Duration(_flags.One("remoteWrite.flushInterval")));
        if (_flags.One("remoteWrite.maxRowsPerBlock") is { } rows)
        {
            lines.Add(2, $"max_samples_per_block: {rows}");
        }
    }

    /// <summary><c>-remoteWrite.label</c> comes after everything else and overrides.</summary>
    private void WriteAddedLabels(YamlLines lines)
    {
        var isFirst = true;
        foreach (var label in _flags.All("remoteWrite.label"))
        {
            var equals = label.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0)
            {
                continue;
            }
            if (isFirst)
            {
                lines.Add(2, "labels:");
                isFirst = false;
            }
            lines.Add(4, $"{YamlText.Quote(label[..equals])}: {YamlText.Quote(label[(equals + 1)..])}");
        }
    }

    private List<string> AddRules(IReadOnlyList<string> files, VmAgentLevel level, string? prefix)
    {
        var names = new List<string>();
        foreach (var file in files)
        {
            if (Parse(file, Read(file)) is { } root)
            {
                names.AddRange(_rules.Add(root.Elements, level, prefix));
            }
        }
        return names;
    }

    private IReadOnlyList<ConfigNode> ReadRelabeling(string? file)
    {
        if (file is null || Parse(file, Read(file)) is not { } root)
        {
            return [];
        }
        foreach (var rule in root.Elements)
        {
            if (string.Equals(rule.Find("action")?.Text, "hashmod", StringComparison.OrdinalIgnoreCase))
            {
                _notes.Add($"hashmod in {file} hashes with MD5 here, as in Prometheus; vmagent hashes with XXH64");
                break;
            }
        }
        return root.Elements;
    }

    /// <summary>A list of mappings; variables stay as they are written where YAML allows it.</summary>
    private ConfigNode? Parse(string file, string text)
    {
        var problems = new List<ConfigProblem>();
        var root = ConfigNode.Parse(file, text, problems);
        if (root is null)
        {
            problems.Clear();
            root = ConfigNode.Parse(
                file, EnvironmentText.Expand(file, text, Environment.GetEnvironmentVariable, null), problems);
        }
        if (root is not null and not { Kind: ConfigNodeKind.Sequence or ConfigNodeKind.Null })
        {
            problems.Add(new ConfigProblem(file, root.Line, "", $"must be a list of rules, but {root.Describe()} "
                + "stands here: name a file of vmagent's"));
        }
        _problems.AddRange(problems);
        return root;
    }

    private string Read(string file)
    {
        var text = readFile(file);
        if (text is null)
        {
            _problems.Add(new ConfigProblem(file, 1, "", $"file \"{file}\" cannot be read: check its name and "
                + "permissions"));
        }
        return text ?? "";
    }

    /// <summary>The flags of a file that holds a command line or a flag per line; null for a file of rules.</summary>
    private static List<string>? AsCommandLine(string text)
    {
        var words = VmAgentFlags.SplitWords(text);
        if (words.Count > 1 && words[0].Contains("vmagent", StringComparison.Ordinal) && words[1].StartsWith('-'))
        {
            words.RemoveAt(0);
        }
        var isFlag = words.Count > 0 && words[0].StartsWith('-') && words[0].TrimStart('-') is [var c, ..]
            && char.IsAsciiLetter(c);
        return isFlag ? words : null;
    }

    private static string? Duration(string? text) =>
        text is not null && (ConfigQuantity.TryParsePrometheusDuration(text, out var duration)
            || ConfigQuantity.TryParseGoDuration(text, out duration))
            ? ConfigQuantity.FormatDuration(duration)
            : text;

    /// <summary>vmagent writes 0 for "no bound"; here every bound has a default.</summary>
    private static string? PositiveOrNull(string? text) => text is null or "0" ? null : text;

    private static bool IsSecret(string name) =>
        name.Contains("password", StringComparison.OrdinalIgnoreCase)
        || name.Contains("token", StringComparison.OrdinalIgnoreCase)
        || name.Contains("secret", StringComparison.OrdinalIgnoreCase)
        || name.Contains("key", StringComparison.OrdinalIgnoreCase);
}
