using System.IO;
using Millrace.Model;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Millrace.Configuration;

internal enum ConfigNodeKind
{
    Null,
    Scalar,
    Sequence,
    Mapping,
}

internal readonly record struct ConfigEntry(string Key, int Line, ConfigNode Value);

/// <summary>
/// A YAML value with its line. Own and not YamlDotNet's representation model, because that one throws at the first
/// duplicate key, and every problem is to be collected. Anchors, aliases and <c>&lt;&lt;</c> merges are resolved.
/// </summary>
internal sealed class ConfigNode
{
    public ConfigNodeKind Kind { get; init; }

    public int Line { get; init; }

    /// <summary>Of a scalar: its text.</summary>
    public string Text { get; init; } = "";

    /// <summary>Of a scalar: written without quotes, so that it may mean a number or a boolean.</summary>
    public bool IsPlain { get; init; }

    public IReadOnlyList<ConfigNode> Elements { get; init; } = [];

    public IReadOnlyList<ConfigEntry> Entries { get; init; } = [];

    /// <summary>Nodes in this tree with aliases written out: the cost of walking it.</summary>
    public long Weight { get; init; } = 1;

    public ConfigNode? Find(string key)
    {
        foreach (var entry in Entries)
        {
            if (entry.Key == key)
            {
                return entry.Value;
            }
        }
        return null;
    }

    public static ConfigNode NullAt(int line) => new() { Kind = ConfigNodeKind.Null, Line = line };

    /// <summary>How an error text names what stands here.</summary>
    public string Describe() => Kind switch
    {
        ConfigNodeKind.Null => "nothing",
        ConfigNodeKind.Sequence => "a list",
        ConfigNodeKind.Mapping => "a mapping",
        _ => $"\"{Text}\"",
    };

    /// <summary>The first document of the text; null after a syntax error, which is then among the problems.</summary>
    public static ConfigNode? Parse(string file, string text, List<ConfigProblem> problems)
    {
        if (text.Length > NodeBuilder.MaxTextLength)
        {
            problems.Add(new ConfigProblem(file, 1, "", $"the file has {text.Length} characters, more than the "
                + $"{NodeBuilder.MaxTextLength} a configuration file may have: split it"));
            return null;
        }
        return new NodeBuilder(file, text, problems).Build();
    }

    /// <summary>
    /// Builds the tree from YamlDotNet's events. Depth and size are bounded: aliases could multiply both.
    /// </summary>
    private sealed class NodeBuilder
    {
        public const int MaxTextLength = 16 << 20;
        private const int MaxDepth = 64;
        private const long MaxWeight = 2_000_000;

        private readonly string _file;
        private readonly Parser _parser;
        private readonly List<ConfigProblem> _problems;
        private readonly Dictionary<string, ConfigNode> _anchors = new(StringComparer.Ordinal);

        public NodeBuilder(string file, string text, List<ConfigProblem> problems)
        {
            _file = file;
            _parser = new Parser(new StringReader(text));
            _problems = problems;
        }

        public ConfigNode? Build()
        {
            try
            {
                _parser.Consume<StreamStart>();
                if (_parser.TryConsume<StreamEnd>(out _))
                {
                    return NullAt(1);
                }
                _parser.Consume<DocumentStart>();
                var root = ReadNode(0);
                _parser.Consume<DocumentEnd>();
                if (_parser.TryConsume<DocumentStart>(out var second))
                {
                    Report((int)second.Start.Line, "a second YAML document begins here and would not be read: "
                        + "put everything into one document");
                    return null;
                }
                return root;
            }
            catch (YamlException e)
            {
                Report((int)e.Start.Line, $"this is not YAML: {e.Message}");
                return null;
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException or FormatException)
            {
                // Some malformed tags and escapes surface from the parser like this.
                Report((int)(_parser.Current?.End.Line ?? 1), $"this is not YAML: {e.Message}");
                return null;
            }
        }

        private ConfigNode ReadNode(int depth)
        {
            if (depth > MaxDepth)
            {
                throw new YamlException(_parser.Current!.Start, _parser.Current.End, $"nested deeper than {MaxDepth}");
            }
            if (_parser.TryConsume<AnchorAlias>(out var alias))
            {
                return _anchors.TryGetValue(alias.Value.Value, out var target)
                    ? target
                    : throw new YamlException(alias.Start, alias.End, $"alias \"*{alias.Value}\" has no anchor");
            }
            var begin = _parser.Consume<NodeEvent>();
            var node = begin switch
            {
                SequenceStart => ReadSequence((int)begin.Start.Line, depth),
                MappingStart => ReadMapping((int)begin.Start.Line, depth),
                _ => ReadScalar((Scalar)begin),
            };
            if (node.Weight > MaxWeight)
            {
                throw new YamlException(begin.Start, begin.End, $"more than {MaxWeight} values, aliases written out");
            }
            if (!begin.Anchor.IsEmpty)
            {
                _anchors[begin.Anchor.Value] = node;
            }
            return node;
        }

        private static ConfigNode ReadScalar(Scalar scalar)
        {
            var isPlain = scalar.Style == ScalarStyle.Plain
                && (scalar.Tag.IsEmpty || scalar.Tag.IsNonSpecific || scalar.Tag.Value != "tag:yaml.org,2002:str");
            var isNull = isPlain && scalar.Value is "" or "~" or "null" or "Null" or "NULL";
            return new ConfigNode
            {
                Kind = isNull ? ConfigNodeKind.Null : ConfigNodeKind.Scalar,
                Line = (int)scalar.Start.Line,
                Text = scalar.Value,
                IsPlain = isPlain,
            };
        }

        private ConfigNode ReadSequence(int line, int depth)
        {
            var elements = new List<ConfigNode>();
            long weight = 1;
            while (!_parser.TryConsume<SequenceEnd>(out _))
            {
                var element = ReadNode(depth + 1);
                elements.Add(element);
                weight += element.Weight;
            }
            return new ConfigNode
            {
                Kind = ConfigNodeKind.Sequence,
                Line = line,
                Elements = elements,
                Weight = weight,
            };
        }

        private ConfigNode ReadMapping(int line, int depth)
        {
            var entries = new List<ConfigEntry>();
            var lineOf = new Dictionary<string, int>(StringComparer.Ordinal);
            var merged = new List<ConfigNode>();
            long weight = 1;
            while (!_parser.TryConsume<MappingEnd>(out _))
            {
                var keyLine = (int)_parser.Current!.Start.Line;
                var key = ReadNode(depth + 1);
                var value = ReadNode(depth + 1);
                weight += value.Weight;
                if (key.Kind is ConfigNodeKind.Sequence or ConfigNodeKind.Mapping)
                {
                    Report(keyLine, "a key must be text: quote it");
                }
                else if (key is { Text: "<<", IsPlain: true })
                {
                    merged.AddRange(value.Kind == ConfigNodeKind.Sequence ? value.Elements : [value]);
                }
                else if (!lineOf.TryAdd(key.Text, keyLine))
                {
                    Report(keyLine, $"key \"{key.Text}\" is given twice, first on line {lineOf[key.Text]}: remove one");
                }
                else
                {
                    entries.Add(new ConfigEntry(key.Text, keyLine, value));
                }
            }
            Merge(merged, entries, lineOf);
            return new ConfigNode { Kind = ConfigNodeKind.Mapping, Line = line, Entries = entries, Weight = weight };
        }

        private void Merge(List<ConfigNode> merged, List<ConfigEntry> entries, Dictionary<string, int> lineOf)
        {
            foreach (var source in merged)
            {
                if (source.Kind != ConfigNodeKind.Mapping)
                {
                    Report(source.Line, $"\"<<\" merges mappings, but here stands {source.Describe()}");
                    continue;
                }
                foreach (var entry in source.Entries)
                {
                    if (lineOf.TryAdd(entry.Key, entry.Line))
                    {
                        entries.Add(entry);
                    }
                }
            }
        }

        private void Report(int line, string message) =>
            _problems.Add(new ConfigProblem(_file, Math.Max(1, line), "", message));
    }
}
