using System.Globalization;
using System.Net.Sockets;
using Millrace.Membership;
using Millrace.Model;

namespace Millrace.Configuration;

/// <summary>Reads where the nodes of a sharded destination are found: exactly one of four keys says so.</summary>
internal static class NodeSetReader
{
    private const int MaxDnsNameLength = 253;
    private static readonly string[] Kinds = ["nodes", "file", "dns", "srv"];
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    /// <param name="reader">The section the keys stand in; its other keys are the caller's.</param>
    /// <param name="isCanonical">The record in the log: addresses are not in it, and nobody is missed.</param>
    public static NodeSetConfig Read(ConfigReader reader, bool isCanonical)
    {
        var written = new List<string>();
        foreach (var kind in Kinds)
        {
            if (reader.Has(kind))
            {
                written.Add(kind);
            }
        }
        if (written.Count == 0 && !isCanonical)
        {
            reader.Report("nodes", "missing: say where the nodes are, with one of nodes, file, dns and srv, as in "
                + "nodes: [{name: a, url: http://10.0.0.1:8480/api/v1/write}]");
        }
        else if (written.Count > 1)
        {
            reader.Report(written[1], $"{string.Join(" and ", written)} exclude each other: keep one of them");
        }
        // All are read, so that what is wrong in each is told and none is an unknown key.
        var list = ReadList(reader);
        var file = reader.Text("file");
        if (file is "")
        {
            reader.Report("file", "\"\" is not a file: name one, such as /etc/millrace/nodes.yml");
        }
        var addresses = ReadLookup(reader.Mapping("dns"), NodeSourceKind.Addresses, reader.Has("dns"));
        var srv = ReadLookup(reader.Mapping("srv"), NodeSourceKind.Srv, reader.Has("srv"));
        return written switch
        {
            ["file", ..] => new NodeSetConfig
            {
                Kind = NodeSourceKind.File,
                File = file ?? "",
                Refresh = NodeSetConfig.FilePollInterval,
                // The file is read twice before it counts, and then as it stands.
                Debounce = TimeSpan.Zero,
            },
            ["dns", ..] => addresses,
            ["srv", ..] => srv,
            _ => new NodeSetConfig { Nodes = list },
        };
    }

    /// <summary>The nodes in a file: a list of the same shape as under <c>nodes</c>.</summary>
    public static NodeLookup ParseFile(string file, string text)
    {
        var problems = new List<ConfigProblem>();
        var nodes = new List<Node>();
        if (ConfigNode.Parse(file, text, problems) is { } root)
        {
            var context = new ConfigContext(file, problems);
            if (root.Kind == ConfigNodeKind.Sequence)
            {
                nodes = ReadElements(context, root.Elements, "");
            }
            else if (root.Kind != ConfigNodeKind.Null)
            {
                context.Report(root.Line, "", $"a file of nodes is a list, but {root.Describe()} stands here: begin "
                    + "each node with \"- name: \"");
            }
        }
        return problems.Count > 0 ? NodeLookup.Failed(problems[0].ToString()) : NodeLookup.Found(nodes);
    }

    private static List<Node> ReadList(ConfigReader reader)
    {
        var elements = reader.Sequence("nodes");
        if (reader.Find("nodes") is { Kind: ConfigNodeKind.Sequence, Elements.Count: 0 })
        {
            reader.Report("nodes", "the list is empty: name at least one node");
        }
        return ReadElements(reader.Context, elements, reader.PathOf("nodes"));
    }

    private static List<Node> ReadElements(ConfigContext context, IReadOnlyList<ConfigNode> elements, string path)
    {
        var nodes = new List<Node>(Math.Min(elements.Count, NodeSet.MaxNodes));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        if (elements.Count > NodeSet.MaxNodes)
        {
            context.Report(elements[0].Line, path, $"{elements.Count} nodes are more than {NodeSet.MaxNodes}");
            return nodes;
        }
        for (var i = 0; i < elements.Count; i++)
        {
            var reader = new ConfigReader(context, elements[i], $"{path}[{i}]");
            var url = ReadUrl(reader, "url", isRequired: true);
            var name = reader.Text("name") ?? url?.Authority;
            var weight = (int)reader.Number("weight", 1, 1, Node.MaxWeight);
            reader.Finish();
            if (name is null || url is null)
            {
                continue;
            }
            if (!IsName(name))
            {
                reader.Report("name", $"\"{name}\" is not a name: write up to {Node.MaxNameLength} characters "
                    + "without blanks");
            }
            else if (!seen.Add(name))
            {
                reader.Report(reader.Has("name") ? "name" : "url",
                    $"two nodes are called \"{name}\": give each its own name");
            }
            nodes.Add(new Node(name, url, weight));
        }
        return nodes;
    }

    private static NodeSetConfig ReadLookup(ConfigReader reader, NodeSourceKind kind, bool isWritten)
    {
        var defaults = new NodeSetConfig();
        var isSrv = kind == NodeSourceKind.Srv;
        var config = new NodeSetConfig
        {
            Kind = kind,
            DnsName = ReadDnsName(reader, isWritten),
            Port = isSrv ? 0 : (int)reader.Number("port", 0, 1, ushort.MaxValue),
            Family = isSrv ? null : reader.Choice<AddressFamily?>("family", null,
                ("any", null), ("ipv4", AddressFamily.InterNetwork), ("ipv6", AddressFamily.InterNetworkV6)),
            Scheme = reader.Choice("scheme", defaults.Scheme, ("http", "http"), ("https", "https")),
            Path = ReadPath(reader, "path", defaults.Path),
            Refresh = reader.Duration("refresh", defaults.Refresh, Second),
            Timeout = reader.Duration("timeout", defaults.Timeout, Millisecond),
            Debounce = reader.Duration("debounce", defaults.Debounce, TimeSpan.Zero),
            Fallback = ReadUrl(reader, "fallback", isRequired: false),
        };
        if (isWritten && !isSrv && reader.Find("port") is null)
        {
            reader.Report("port", "missing: addresses come without one; SRV records, under srv, bring theirs");
        }
        reader.Finish();
        return config;
    }

    private static string ReadDnsName(ConfigReader reader, bool isWritten)
    {
        if (reader.Text("name") is not { } name)
        {
            if (isWritten && reader.Find("name") is null)
            {
                reader.Report("name", "missing: write the name to look up");
            }
            return "";
        }
        var isName = name.Length <= MaxDnsNameLength && name.TrimEnd('.').Length > 0;
        foreach (var label in name.EndsWith('.') ? name[..^1].Split('.') : name.Split('.'))
        {
            isName &= label.Length is > 0 and <= 63;
            foreach (var c in label)
            {
                isName &= char.IsAsciiLetterOrDigit(c) || c is '-' or '_';
            }
        }
        if (!isName)
        {
            reader.Report("name", $"\"{name}\" is not a name that can be looked up: write it as "
                + "vminsert.monitoring.svc, without scheme and port");
        }
        return name;
    }

    /// <summary>A path from the root of a server, with a query if need be.</summary>
    public static string ReadPath(ConfigReader reader, string key, string fallback)
    {
        if (reader.Text(key) is not { } path)
        {
            return fallback;
        }
        if (!path.StartsWith('/') || path.StartsWith("//", StringComparison.Ordinal)
            || path.AsSpan().ContainsAny(' ', '#', '\\') || HasControl(path))
        {
            reader.Report(key, $"\"{path}\" is not a path: begin it with one slash, as in {fallback}");
            return fallback;
        }
        return path;
    }

    private static Uri? ReadUrl(ConfigReader reader, string key, bool isRequired)
    {
        if (reader.Text(key) is not { } text)
        {
            if (isRequired && reader.Find(key) is null)
            {
                reader.Report(key, "missing: write where to send to, as http://10.0.0.1:8480/api/v1/write");
            }
            return null;
        }
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || (url.Scheme != "http" && url.Scheme != "https")
            || url.Host.Length == 0)
        {
            reader.Report(key, $"\"{WithoutCredentials(text)}\" is not an absolute http or https URL: write it as "
                + "http://10.0.0.1:8480/api/v1/write");
            return null;
        }
        return url;
    }

    /// <summary>Goes into metrics, logs and the assignment.</summary>
    private static bool IsName(string name) => name.Length is > 0 and <= Node.MaxNameLength
        && !name.Contains(' ', StringComparison.Ordinal) && !HasControl(name);

    private static bool HasControl(string text)
    {
        foreach (var c in text)
        {
            if (char.IsControl(c) || CharUnicodeInfo.GetUnicodeCategory(c) is UnicodeCategory.SpaceSeparator
                or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
            {
                return true;
            }
        }
        return false;
    }

    private static string WithoutCredentials(string url)
    {
        var at = url.LastIndexOf('@');
        return at < 0 ? url : "…" + url[at..];
    }
}
