using System.IO;
using System.Net;
using Millrace.Aggregation;
using Millrace.Filtering;
using Millrace.Ingest;
using Millrace.Log;

namespace Millrace.Configuration;

/// <summary>
/// Reads the sections of our file. Each method is one section, its lines the keys in the order of the docs.
/// </summary>
internal sealed class ConfigFileReader(ConfigContext context, ConfigSources sources)
{
    private const long Unbounded = long.MaxValue;
    private const long MaxBodyBytes = 1L << 30;

    /// <summary>Rules are numbered in 16 bits, with room for those of deduplication.</summary>
    private const int MaxRules = 50_000;
    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    public MillraceConfig Read(ConfigNode rootNode)
    {
        var root = new ConfigReader(context, rootNode, "");
        var server = ReadServer(root.Mapping("server"));
        var ingest = ReadIngest(root.Mapping("ingest"));
        var log = ReadLog(root.Mapping("log"));
        var timeWindow = ReadTimeWindow(root.Mapping("time_window"));
        var relabelConfigs = RelabelReader.Read(root, "relabel_configs");
        var aggregation = ReadAggregation(root.Mapping("aggregation"));
        var sharded = new ShardedReader(sources.IsCanonical, reader =>
        {
            var rules = new List<AggregationRuleConfig>();
            ReadRuleFiles(reader, RuleDefaults.None, rules);
            return rules;
        });
        var destinations = new DestinationReader(context, sources.IsCanonical, aggregation.DedupInterval, sharded)
            .ReadList(root);
        var routes = new RouteReader(aggregation.Rules, destinations).ReadList(root);
        CorrectionCheck.Run(context, aggregation, routes, destinations);
        var allMatchingRoutes = root.Choice("route_mode", false, ("first", false), ("all", true));
        root.Finish();
        return new MillraceConfig
        {
            Server = server,
            Ingest = ingest,
            Log = log,
            TimeWindow = timeWindow,
            RelabelConfigs = relabelConfigs,
            Aggregation = aggregation,
            Routes = routes,
            AllMatchingRoutes = allMatchingRoutes,
            Destinations = destinations,
        };
    }

    public static TimeWindowConfig ReadTimeWindow(ConfigReader reader)
    {
        var defaults = new TimeWindowConfig();
        var window = new TimeWindowConfig
        {
            MaxAge = ReadBound(reader, "max_age", defaults.MaxAge, Millisecond),
            MaxFuture = ReadBound(reader, "max_future", defaults.MaxFuture, TimeSpan.Zero),
        };
        reader.Finish();
        return window;
    }

    /// <summary>A duration, or <c>off</c> for none.</summary>
    private static TimeSpan? ReadBound(ConfigReader reader, string key, TimeSpan? fallback, TimeSpan least)
    {
        if (reader.Find(key) is { Kind: ConfigNodeKind.Scalar, Text: "off" })
        {
            return null;
        }
        return reader.OptionalDuration(key, least) ?? fallback;
    }

    private static ServerConfig ReadServer(ConfigReader reader)
    {
        var defaults = new ServerConfig();
        var server = new ServerConfig
        {
            Listen = ReadListen(reader, defaults.Listen),
            LogLevel = reader.Choice("log_level", defaults.LogLevel,
                ("debug", "debug"), ("info", "info"), ("warn", "warn"), ("error", "error")),
            LogFormat = reader.Choice("log_format", defaults.LogFormat, ("text", "text"), ("json", "json")),
            ShutdownTimeout = reader.Duration("shutdown_timeout", defaults.ShutdownTimeout, TimeSpan.Zero),
        };
        reader.Unavailable("tls", "end TLS in a proxy in front of Millrace");
        reader.Unavailable("auth", "authenticate in a proxy in front of Millrace");
        reader.Finish();
        return server;
    }

    private static string ReadListen(ConfigReader reader, string fallback)
    {
        if (reader.Text("listen") is not { } text)
        {
            return fallback;
        }
        var colon = text.LastIndexOf(':');
        var host = colon < 0 ? "" : text[..colon];
        if (colon < 0 || !ushort.TryParse(text.AsSpan(colon + 1), out _))
        {
            reader.Report("listen", $"\"{text}\" names no port: write host and port as in {fallback}");
            return fallback;
        }
        if (host.Length == 0)
        {
            return "0.0.0.0" + text;
        }
        var isBracketed = host.StartsWith('[') && host.EndsWith(']');
        if (host != "localhost" && (host.Contains(':', StringComparison.Ordinal) != isBracketed
            || !IPAddress.TryParse(host, out _)))
        {
            reader.Report("listen", $"\"{host}\" is not an address of this machine: write an IP address such as "
                + "127.0.0.1 or [::1], localhost, or 0.0.0.0 for all");
            return fallback;
        }
        return text;
    }

    private static IngestLimits ReadIngest(ConfigReader reader)
    {
        var defaults = new IngestLimits();
        var limits = new IngestLimits
        {
            MaxRequestBytes = reader.Size("max_request_bytes", defaults.MaxRequestBytes, 1, MaxBodyBytes),
            MaxDecompressedBytes = reader.Size("max_decompressed_bytes", defaults.MaxDecompressedBytes, 1,
                MaxBodyBytes),
            MaxSeriesPerRequest =
                (int)reader.Number("max_series_per_request", defaults.MaxSeriesPerRequest, 1, int.MaxValue),
            MaxLabelsPerSeries = (int)reader.Number("max_labels_per_series", defaults.MaxLabelsPerSeries, 1, 65_535),
            MaxLabelNameBytes = (int)reader.Size("max_label_name_bytes", defaults.MaxLabelNameBytes, 1, 64 << 10),
            MaxLabelValueBytes = (int)reader.Size("max_label_value_bytes", defaults.MaxLabelValueBytes, 1, 16 << 20),
            MaxCachedSeries =
                (int)reader.Number("max_cached_series", defaults.MaxCachedSeries, 1_000, int.MaxValue),
            MaxConcurrentRequests =
                (int)reader.Number("max_concurrent_requests", defaults.MaxConcurrentRequests, 1, 1_000_000),
            MaxInFlightBytes = reader.Size("max_in_flight_bytes", defaults.MaxInFlightBytes, 1, Unbounded),
        };
        if (limits.MaxInFlightBytes < limits.MaxDecompressedBytes)
        {
            reader.Report("max_in_flight_bytes", $"\"{ConfigQuantity.FormatSize(limits.MaxInFlightBytes)}\" is less "
                + $"than max_decompressed_bytes, {ConfigQuantity.FormatSize(limits.MaxDecompressedBytes)}: one large "
                + "request could never pass; make it at least as large");
        }
        reader.Finish();
        return limits;
    }

    private static LogConfig ReadLog(ConfigReader reader)
    {
        var defaults = new LogConfig();
        var maxBytes = reader.Size("max_bytes", defaults.MaxBytes, 128 << 10, Unbounded);
        var log = new LogConfig
        {
            Path = reader.Text("path") ?? defaults.Path,
            Durability = reader.Choice("durability", defaults.Durability,
                ("log", Durability.Log), ("log_synced", Durability.LogSynced), ("memory", Durability.Memory)),
            MaxBytes = maxBytes,
            // A small log gets small segments and frequent bases without being told.
            SegmentBytes = reader.Size("segment_bytes", Math.Min(defaults.SegmentBytes, maxBytes / 8), 4 << 10,
                1L << 30),
            BaseInterval = reader.Duration("base_interval", defaults.BaseInterval, TimeSpan.FromSeconds(1)),
            BaseBytes = reader.Size("base_bytes", Math.Min(defaults.BaseBytes, maxBytes / 4), 4 << 10, Unbounded),
            MinFreeBytes = reader.Size("min_free_bytes", defaults.MinFreeBytes, 0, Unbounded),
        };
        if (log.Path.Length == 0)
        {
            reader.Report("path", "\"\" is not a directory: name one, such as ./millrace-data");
        }
        if (log.SegmentBytes > log.MaxBytes / 2)
        {
            reader.Report("segment_bytes", $"\"{ConfigQuantity.FormatSize(log.SegmentBytes)}\" is more than half of "
                + $"max_bytes, {ConfigQuantity.FormatSize(log.MaxBytes)}: the log must hold two segments");
        }
        if (log.BaseBytes > log.MaxBytes / 2)
        {
            reader.Report("base_bytes", $"\"{ConfigQuantity.FormatSize(log.BaseBytes)}\" is more than half of "
                + $"max_bytes, {ConfigQuantity.FormatSize(log.MaxBytes)}: a base would be cut off before the next one");
        }
        reader.Finish();
        return log;
    }

    private AggregationConfig ReadAggregation(ConfigReader reader)
    {
        var defaults = new AggregationConfig();
        var tasks = reader.Mapping("tasks");
        var taskCount = (int)tasks.Number("count", defaults.TaskCount, 1, 4096);
        var by = tasks.Texts("by") ?? [];
        var without = tasks.Texts("without") ?? [];
        if (by.Count > 0 && without.Count > 0)
        {
            tasks.Report("without", "by and without exclude each other: keep one of them");
        }
        tasks.Finish();
        var ruleDefaults = new RuleDefaults(
            reader.Duration("dedup_interval", TimeSpan.Zero, TimeSpan.Zero),
            reader.Texts("drop_input_labels") ?? [],
            reader.Find("ha") is null ? null : ReadHa(reader.Mapping("ha")));
        var rules = new List<AggregationRuleConfig>();
        ReadRuleFiles(reader, ruleDefaults, rules);
        rules.AddRange(RuleReader.ReadList(context, reader.Sequence("rules"), reader.PathOf("rules"),
            allowsDays: true, ruleDefaults));
        var aggregation = new AggregationConfig
        {
            TaskCount = taskCount,
            TaskBy = by,
            TaskWithout = without,
            DedupInterval = ruleDefaults.DedupInterval,
            DropInputLabels = ruleDefaults.DropInputLabels,
            Ha = ruleDefaults.Ha,
            Rules = rules,
            CatchUp = reader.Duration("catch_up", defaults.CatchUp, TimeSpan.Zero),
            MaxOpenWindows = (int)reader.Number("max_open_windows", defaults.MaxOpenWindows, 3, 10_000),
        };
        if (rules.Count > MaxRules)
        {
            reader.Report("rules", $"{rules.Count} rules are more than {MaxRules}: let a rule take more");
        }
        foreach (var rule in rules)
        {
            CheckOpenWindows(rule, aggregation.MaxOpenWindows);
        }
        reader.Finish();
        return aggregation;
    }

    private static HaConfig? ReadHa(ConfigReader reader)
    {
        var defaults = new HaConfig();
        var label = reader.Text("replica_label");
        var timeout = reader.Duration("failover_timeout", defaults.FailoverTimeout, TimeSpan.FromSeconds(1));
        reader.Unavailable("cluster_label", "remove the key: a replica is chosen for each series by itself");
        reader.Finish();
        if (string.IsNullOrEmpty(label))
        {
            reader.Report("replica_label", "missing: name the label that tells the replicas apart, such as replica");
            return null;
        }
        return new HaConfig { ReplicaLabel = label, FailoverTimeout = timeout };
    }

    /// <summary>A rule keeps the current window, those that wait for late samples, and one ahead.</summary>
    private void CheckOpenWindows(AggregationRuleConfig rule, int most)
    {
        if (rule.Interval <= TimeSpan.Zero)
        {
            return;
        }
        // What auto comes to is at most one interval.
        var lateness = rule.AllowedLateness ?? rule.Interval;
        var waiting = (lateness.Ticks + rule.Interval.Ticks - 1) / rule.Interval.Ticks;
        var corrected = rule.CountCorrectedWindows();
        if (corrected > 0 && waiting + corrected + 2 > most)
        {
            context.Problems.Add(new(rule.File, rule.Line, $"{rule.Path}.corrections_for",
                $"{corrected} corrected windows and {waiting} that wait for late samples keep "
                + $"{waiting + corrected + 2} windows open, more than aggregation.max_open_windows, {most}: shorten "
                + "corrections_for or allowed_lateness, or raise max_open_windows"));
        }
        else if (rule.AllowedLateness is not null && waiting + 2 > most)
        {
            context.Problems.Add(new(rule.File, rule.Line, $"{rule.Path}.allowed_lateness",
                $"\"{ConfigQuantity.FormatDuration(lateness)}\" with the interval \"{rule.IntervalText}\" keeps "
                + $"{waiting + 2} windows open, more than aggregation.max_open_windows, {most}: shorten the one or "
                + "raise the other"));
        }
    }

    private void ReadRuleFiles(ConfigReader reader, RuleDefaults defaults, List<AggregationRuleConfig> rules)
    {
        var patterns = reader.Texts("rule_files") ?? [];
        var loaded = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < patterns.Count; i++)
        {
            var pattern = patterns[i];
            if (pattern.StartsWith("http://", StringComparison.Ordinal)
                || pattern.StartsWith("https://", StringComparison.Ordinal))
            {
                reader.Report("rule_files", $"\"{pattern}\" is a URL, which is not available in this version: "
                    + "fetch the file and name its path");
                continue;
            }
            var path = Path.Combine(Path.GetDirectoryName(context.File) ?? "", pattern);
            var isPattern = pattern.AsSpan().ContainsAny('*', '?');
            if (isPattern && Path.GetDirectoryName(pattern).AsSpan().ContainsAny('*', '?'))
            {
                reader.Report("rule_files", $"\"{pattern}\" has a wildcard in a directory: name each directory");
                continue;
            }
            foreach (var file in isPattern ? sources.FindFiles(path) : [path])
            {
                if (loaded.Add(file))
                {
                    ReadRuleFile(reader, file, defaults, rules);
                }
            }
        }
    }

    private void ReadRuleFile(
        ConfigReader reader, string file, RuleDefaults defaults, List<AggregationRuleConfig> rules)
    {
        var text = sources.ReadFile(file);
        if (text is null)
        {
            reader.Report("rule_files", $"file \"{file}\" cannot be read: check its name and permissions");
            return;
        }
        rules.AddRange(ReadRules(file, text, sources.Environment, context.Problems, defaults));
    }

    /// <summary>The rules of a file of vmagent.</summary>
    public static IReadOnlyList<AggregationRuleConfig> ReadRules(
        string file, string text, Func<string, string?> environment, List<Model.ConfigProblem> problems,
        RuleDefaults? defaults = null)
    {
        var root = ConfigNode.Parse(file, EnvironmentText.Expand(file, text, environment, null), problems);
        if (root is null or { Kind: ConfigNodeKind.Null })
        {
            return [];
        }
        var context = new ConfigContext(file, problems);
        if (root.Kind != ConfigNodeKind.Sequence)
        {
            context.Report(root.Line, "", $"a rule file is a list of rules, but {root.Describe()} stands here: "
                + "begin each rule with \"- \"");
            return [];
        }
        return RuleReader.ReadList(context, root.Elements, "", allowsDays: false, defaults);
    }
}
