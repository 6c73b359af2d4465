using System.Globalization;
using System.Linq;
using Millrace.Configuration;
using Millrace.Model;
using Millrace.Placement;

namespace Millrace.Server.Commands;

/// <summary>
/// Configuration files of stream-metrics-route as ours: a router becomes a route that aggregates nothing and goes to
/// the router's upstream, of several URLs to a sharded destination. Kafka has no counterpart yet; it stands there as a
/// comment.
/// </summary>
internal sealed class StreamMetricsRouteConverter(Func<string, string?> readFile)
{
    private readonly List<ConfigProblem> _problems = [];
    private readonly YamlLines _routes = new();
    private readonly YamlLines _destinations = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private bool _hasRoutes;

    public Conversion Convert(IReadOnlyList<string> files)
    {
        foreach (var file in files)
        {
            var text = readFile(file);
            if (text is null)
            {
                _problems.Add(new ConfigProblem(file, 1, "",
                    $"file \"{file}\" cannot be read: check its name and permissions"));
                continue;
            }
            if (ConfigNode.Parse(file, text, _problems) is { } root)
            {
                ReadFile(file, root);
            }
        }
        var lines = new YamlLines();
        lines.Add(0, "# Converted from stream-metrics-route. What has no counterpart stands in comments.");
        lines.Add(0, "# Every router sees every series, as before. New: the results of its relabeling are kept.");
        lines.Add(0, "# \"-listen.port\" becomes server.listen.");
        lines.Add(0, "server: {listen: '0.0.0.0:8080'}");
        lines.Add(0, "route_mode: all");
        lines.Add(0, _hasRoutes ? "routes:" : "routes: []");
        Append(lines, _routes);
        lines.Add(0, _hasRoutes ? "destinations:" : "destinations: []");
        Append(lines, _destinations);
        return new Conversion(lines.ToString(), _problems);
    }

    private static void Append(YamlLines lines, YamlLines section)
    {
        if (section.ToString().TrimEnd('\n') is { Length: > 0 } text)
        {
            lines.Add(0, text);
        }
    }

    private void ReadFile(string file, ConfigNode root)
    {
        var context = new ConfigContext(file, _problems);
        var reader = new ConfigReader(context, root, "");
        var global = reader.Mapping("global");
        global.Text("prefix");
        global.Finish();
        var routers = reader.Sequence("router_rules");
        for (var i = 0; i < routers.Count; i++)
        {
            ReadRouter(new ConfigReader(context, routers[i], $"router_rules[{i}]"), i);
        }
        reader.Finish();
    }

    private void ReadRouter(ConfigReader reader, int index)
    {
        var name = UniqueName(reader.Text("router_name"), index);
        var upstreams = reader.Mapping("upstreams");
        var type = upstreams.Text("upstream_type") ?? "remotewriter";
        var urls = upstreams.Texts("upstream_urls") ?? [];
        var kafka = upstreams.Find("kafka_config");
        var hash = reader.Mapping("hash_labels");
        var taskCount = hash.Number("mode", 0, int.MinValue, int.MaxValue);
        var labels = hash.Texts("labels") ?? [];
        var relabeling = reader.Sequence("metric_relabel_configs");
        upstreams.Finish();
        hash.Finish();
        reader.Finish();

        if (type == "kafka" || urls.Count == 0)
        {
            WriteUnavailable(name, type, kafka, relabeling);
            return;
        }
        _hasRoutes = true;
        if (urls.Count == 1 && (hash.Has("mode") || labels.Count > 0))
        {
            _routes.Add(0, "# hash_labels had no effect: there is one URL.");
        }
        WriteRoute(_routes, name, relabeling);
        _destinations.Add(0, $"- name: {name}");
        if (urls.Count > 1)
        {
            WriteSharded(urls, taskCount, labels);
        }
        _destinations.Add(2, "remote_write:");
        if (urls.Count == 1)
        {
            _destinations.Add(4, "url", urls[0]);
        }
        _destinations.Add(4, "# The fixed timeout of stream-metrics-route.");
        _destinations.Add(4, "send_timeout", "5s");
    }

    private void WriteSharded(IReadOnlyList<string> urls, long taskCount, IReadOnlyList<string> labels)
    {
        _destinations.Add(2, "sharded:");
        _destinations.Add(4, "placement: stream-metrics-route");
        _destinations.Add(4, "nodes:");
        for (var i = 0; i < urls.Count; i++)
        {
            _destinations.Add(4, string.Create(
                CultureInfo.InvariantCulture, $"- {{name: node-{i + 1}, url: {YamlText.Quote(urls[i])}}}"));
        }
        var count = Math.Clamp(taskCount, 1, TaskKeyConfig.MaxCount);
        if (count != taskCount)
        {
            _destinations.Add(4, string.Create(CultureInfo.InvariantCulture, $"# hash_labels.mode was {taskCount}."));
        }
        var by = labels.Count == 0 ? "" : $", by: [{string.Join(", ", labels.Select(YamlText.Quote))}]";
        _destinations.Add(4, string.Create(CultureInfo.InvariantCulture, $"tasks: {{count: {count}{by}}}"));
    }

    private static void WriteRoute(YamlLines lines, string name, IReadOnlyList<ConfigNode> relabeling)
    {
        lines.Add(0, $"- name: {name}");
        lines.AddList(2, "relabel_configs", relabeling);
        lines.Add(2, "aggregate: false");
        lines.Add(2, $"to: [{name}]");
    }

    private void WriteUnavailable(
        string name, string type, ConfigNode? kafka, IReadOnlyList<ConfigNode> relabeling)
    {
        var route = new YamlLines();
        WriteRoute(route, name, relabeling);
        Comment(_routes, $"Router {name}: its destination is not available in this version.", route);
        var destination = new YamlLines();
        destination.Add(0, $"- name: {name}");
        destination.Add(2, "kafka:");
        foreach (var entry in kafka?.Entries ?? [])
        {
            // Passwords and certificates stand in here too; names of keys are enough to find them again.
            destination.Add(4, $"{entry.Key}: ...");
        }
        Comment(_destinations, type == "kafka"
            ? $"Router {name}: Kafka is not available in this version."
            : $"Router {name}: it had no URL, and took the process down there.", destination);
    }

    private static void Comment(YamlLines lines, string reason, YamlLines section)
    {
        lines.Add(0, $"# {reason}");
        foreach (var line in section.ToString().TrimEnd('\n').Split('\n'))
        {
            lines.Add(0, $"# {line}");
        }
    }

    /// <summary>
    /// The router's name in the letters that a destination may have; numbered where two would be one.
    /// </summary>
    private string UniqueName(string? written, int index)
    {
        var letters = (written ?? "").ToCharArray();
        for (var i = 0; i < letters.Length; i++)
        {
            letters[i] = char.IsAsciiLetterOrDigit(letters[i]) || letters[i] is '-' or '_' ? letters[i] : '-';
        }
        var name = letters.Length == 0 || YamlText.Quote(new string(letters)) is ['\'', ..]
            ? string.Create(CultureInfo.InvariantCulture, $"router-{index}")
            : new string(letters);
        while (!_names.Add(name))
        {
            name += "-again";
        }
        return name;
    }
}
