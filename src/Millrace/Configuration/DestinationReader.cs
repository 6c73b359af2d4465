using Millrace.Delivery;
using Millrace.Relabeling;

namespace Millrace.Configuration;

/// <summary>Reads destinations. Values of headers are secrets: no error text shows one.</summary>
internal sealed class DestinationReader(
    ConfigContext context, bool isCanonical, TimeSpan sectionDedupInterval, ShardedReader shardedReader)
{
    /// <summary>Set by the sender from what it sends.</summary>
    private static readonly string[] OwnHeaders =
    [
        "Content-Encoding", "Content-Length", "Content-Type", "Host", "Transfer-Encoding",
        "X-Prometheus-Remote-Write-Version", "X-VictoriaMetrics-Remote-Write-Version",
    ];

    /// <summary>There are many blocks at once, one per task.</summary>
    private const int ShardedBlockSamples = 4_000;

    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    public IReadOnlyList<DestinationConfig> ReadList(ConfigReader root)
    {
        var elements = root.Sequence("destinations");
        if (elements.Count == 0)
        {
            root.Report("destinations", "missing: name at least one, with its remote_write.url");
        }
        var destinations = new List<DestinationConfig>(elements.Count);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < elements.Count; i++)
        {
            var reader = new ConfigReader(context, elements[i], $"destinations[{i}]");
            var destination = ReadDestination(reader);
            if (reader.Find("name") is null)
            {
                reader.Report("name", "missing: its metrics and its directory on disk are called by it");
            }
            else if (!seen.Add(destination.Name))
            {
                reader.Report("name", $"two destinations are called \"{destination.Name}\": give each its own name");
            }
            destinations.Add(destination);
        }
        return destinations;
    }

    private DestinationConfig ReadDestination(ConfigReader reader)
    {
        var defaults = new DestinationConfig();
        var remoteWrite = reader.Mapping("remote_write");
        foreach (var kind in new[] { "kafka", "otlp" })
        {
            reader.Unavailable(kind, "use remote_write");
        }
        if (!isCanonical && !reader.Has("remote_write") && !reader.Has("sharded") && !reader.Has("kafka")
            && !reader.Has("otlp"))
        {
            reader.Report("remote_write", "missing: write where to send to, as in "
                + "remote_write: {url: http://127.0.0.1:8428/api/v1/write}");
        }
        var sharded = ReadSharded(reader, remoteWrite);
        var queue = reader.Mapping("queue");
        var deadLetters = reader.Mapping("dead_letters");
        var destination = new DestinationConfig
        {
            Name = ReadName(reader),
            Url = ReadUrl(remoteWrite, reader.Has("remote_write") && sharded is null) ?? defaults.Url,
            Sharded = sharded,
            Protocol = remoteWrite.Choice("protocol", defaults.Protocol,
                ("auto", RemoteWriteProtocol.Auto),
                ("prometheus_v1", RemoteWriteProtocol.PrometheusV1),
                ("prometheus_v2", RemoteWriteProtocol.PrometheusV2),
                ("victoriametrics", RemoteWriteProtocol.VictoriaMetrics)),
            Headers = ReadHeaders(remoteWrite),
            SendTimeout = remoteWrite.Duration("send_timeout", defaults.SendTimeout, Millisecond),
            RetryMinInterval = remoteWrite.Duration("retry_min_interval", defaults.RetryMinInterval, Millisecond),
            RetryMaxInterval = remoteWrite.Duration("retry_max_interval", defaults.RetryMaxInterval, Millisecond),
            RelabelConfigs = [.. RelabelReader.Read(reader, "relabel_configs"), .. ReadLabels(reader)],
            SignificantFigures = (int)reader.Number("significant_figures", 0, 0, ValueRounding.AllFigures),
            RoundDigits = (int)reader.Number(
                "round_digits", ValueRounding.AllDigits, -ValueRounding.AllDigits, ValueRounding.AllDigits),
            RateLimitBytes = remoteWrite.Size("rate_limit", 0, 0, 1L << 40),
            DedupInterval = ReadDedupInterval(reader),
            DropInputLabels = reader.Texts("drop_input_labels") ?? [],
            Corrections = reader.Flag("corrections", false),
            Lanes = sharded?.Lanes ?? (int)reader.Number("lanes", defaults.Lanes, 1, 64),
            QueueMemoryBytes = queue.Size("memory_bytes", defaults.QueueMemoryBytes, 64 << 10, 1L << 40),
            QueueMaxBytes = queue.Size("max_bytes", defaults.QueueMaxBytes, 64 << 10, long.MaxValue),
            QueueMaxAge = queue.Duration("max_age", defaults.QueueMaxAge, TimeSpan.FromSeconds(1)),
            DeadLetterMaxBytes = deadLetters.Size(
                "max_bytes", defaults.DeadLetterMaxBytes, 64 << 10, long.MaxValue),
            FlushInterval = reader.Duration("flush_interval", defaults.FlushInterval, Millisecond),
            MaxSamplesPerBlock = (int)reader.Number(
                "max_samples_per_block", sharded is null ? defaults.MaxSamplesPerBlock : ShardedBlockSamples, 1,
                1_000_000),
        };
        if (destination.RetryMaxInterval < destination.RetryMinInterval)
        {
            remoteWrite.Report("retry_max_interval",
                $"\"{ConfigQuantity.FormatDuration(destination.RetryMaxInterval)}\" is shorter than "
                    + "retry_min_interval, "
                + $"{ConfigQuantity.FormatDuration(destination.RetryMinInterval)}: make it at least as long");
        }
        var hasOther = destination.Headers.ContainsKey("Authorization") || destination.Url.UserInfo.Length > 0;
        destination = destination with { Http = HttpClientReader.Read(remoteWrite, hasOther) };
        remoteWrite.Finish();
        queue.Finish();
        deadLetters.Finish();
        reader.Finish();
        return destination;
    }

    private ShardedConfig? ReadSharded(ConfigReader reader, ConfigReader remoteWrite)
    {
        if (!reader.Has("sharded"))
        {
            return null;
        }
        if (reader.Has("lanes"))
        {
            reader.Report("lanes", "a sharded destination has one per task: remove the key");
        }
        if (remoteWrite.Has("url"))
        {
            remoteWrite.Report("url", "the nodes of a sharded destination have each its own: remove the key");
        }
        return shardedReader.Read(reader.Mapping("sharded"));
    }

    /// <summary>Labels of all series that go there: the last relabeling, which says what they are.</summary>
    private static List<RelabelConfig> ReadLabels(ConfigReader reader)
    {
        var rules = new List<RelabelConfig>();
        if (reader.Find("labels") is not { } value)
        {
            return rules;
        }
        if (value.Kind != ConfigNodeKind.Mapping)
        {
            reader.Report("labels", "must map names of labels to values");
        }
        foreach (var entry in value.Entries)
        {
            if (entry.Key.Length == 0 || entry.Value.Kind != ConfigNodeKind.Scalar)
            {
                reader.Report("labels", $"\"{entry.Key}\" needs a name and a text as value");
                continue;
            }
            rules.Add(new RelabelConfig
            {
                TargetLabel = entry.Key,
                Replacement = entry.Value.Text.Replace("$", "$$", StringComparison.Ordinal),
            });
        }
        return rules;
    }

    private TimeSpan ReadDedupInterval(ConfigReader reader)
    {
        var dedup = reader.Duration("dedup_interval", TimeSpan.Zero, TimeSpan.Zero);
        if (dedup > TimeSpan.Zero && sectionDedupInterval > TimeSpan.Zero
            && dedup.Ticks % sectionDedupInterval.Ticks != 0)
        {
            reader.Report("dedup_interval", $"\"{reader.Text("dedup_interval")}\" is not a multiple of "
                + $"aggregation.dedup_interval, {ConfigQuantity.FormatDuration(sectionDedupInterval)}, which comes "
                + "before it: choose a multiple, or set only one of the two");
            return TimeSpan.Zero;
        }
        return dedup;
    }

    private static string ReadName(ConfigReader reader)
    {
        var name = RouteReader.ReadName(reader, "");
        foreach (var c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('_' or '-' or '.'))
            {
                reader.Report("name", $"\"{name}\" has the character \"{c}\": the name is also a directory, use "
                    + "letters, digits, dot, minus and underscore");
                break;
            }
        }
        if (name is "." or "..")
        {
            reader.Report("name", $"\"{name}\" cannot be the name of a directory: choose another");
        }
        return name;
    }

    private Uri? ReadUrl(ConfigReader reader, bool isWritten)
    {
        if (reader.Text("url") is not { } text)
        {
            if (isWritten && !isCanonical && reader.Find("url") is null)
            {
                reader.Report("url", "missing: write where to send to, as http://127.0.0.1:8428/api/v1/write");
            }
            return null;
        }
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || (url.Scheme != "http" && url.Scheme != "https")
            || url.Host.Length == 0)
        {
            reader.Report("url", $"\"{WithoutCredentials(text)}\" is not an absolute http or https URL: "
                + "write it as http://127.0.0.1:8428/api/v1/write");
            return null;
        }
        return url;
    }

    private static string WithoutCredentials(string url)
    {
        var at = url.LastIndexOf('@');
        return at < 0 ? url : "…" + url[at..];
    }

    private static Dictionary<string, string> ReadHeaders(ConfigReader reader)
    {
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        if (reader.Find("headers") is not { } value)
        {
            return headers;
        }
        if (value.Kind != ConfigNodeKind.Mapping)
        {
            reader.Report("headers", "must map header names to values");
            return headers;
        }
        foreach (var entry in value.Entries)
        {
            var error = !IsToken(entry.Key) ? "is not the name of a header: use letters, digits and minus"
                : Array.Exists(OwnHeaders, own => own.Equals(entry.Key, StringComparison.OrdinalIgnoreCase))
                    ? "is set by Millrace itself: remove it"
                : entry.Value.Kind != ConfigNodeKind.Scalar ? "needs a text as value"
                : entry.Value.Text.AsSpan().ContainsAnyInRange('\0', '\x1f') ? "has a control character in its value"
                : !headers.TryAdd(entry.Key, entry.Value.Text) ? "is given twice: names of headers ignore case"
                : null;
            if (error is not null)
            {
                reader.Context.Report(entry.Line, $"{reader.PathOf("headers")}.{entry.Key}",
                    $"\"{entry.Key}\" {error}");
            }
        }
        return headers;
    }

    internal static bool IsToken(string name)
    {
        foreach (var c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && !"!#$%&'*+-.^_`|~".Contains(c, StringComparison.Ordinal))
            {
                return false;
            }
        }
        return name.Length > 0;
    }
}
