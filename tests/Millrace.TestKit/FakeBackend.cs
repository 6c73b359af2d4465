using System.Linq;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.TestKit;

/// <summary>Whose behaviour a <see cref="FakeBackend"/> has; measured on the real ones.</summary>
internal enum BackendKind
{
    /// <summary>Takes everything, in any order; keeps repeats as points of their own.</summary>
    VictoriaMetrics,

    /// <summary>With -dedup.minScrapeInterval: one point per time, the larger value.</summary>
    VictoriaMetricsDedup,

    /// <summary>1.0: one refused sample rolls back the request. 2.0: the valid part stays, and is counted.</summary>
    Prometheus,
}

/// <summary>What a backend makes of a body of remote write 2.0.</summary>
internal enum V2Support
{
    Counts,

    /// <summary>204, having read an empty message of 1.0.</summary>
    ReadsAsEmptyV1,

    Refuses,
}

/// <summary>What happens to one request instead of its proper answer.</summary>
internal readonly record struct BackendFault(SendResult Result, bool Commits, long DelayMs)
{
    public static BackendFault Status(int status, string body = "") => new(SendResult.Status(status, body), false, 0);

    public static BackendFault RetryAfter(int status, TimeSpan after) =>
        new(SendResult.Status(status) with { RetryAfter = after }, false, 0);

    /// <summary>The request never arrives.</summary>
    public static readonly BackendFault Unreachable = new(SendResult.NetworkError, false, 0);

    /// <summary>The request is committed; its answer is lost.</summary>
    public static readonly BackendFault LostAnswer = new(SendResult.NetworkError, true, 0);

    public static BackendFault TimesOut(long afterMs, bool commits = true) => new(SendResult.Timeout, commits, afterMs);
}

internal readonly record struct StoredPoint(long TimestampMs, double Value, int Request);

internal sealed record ReceivedRequest(
    int Number, int Lane, WireProtocol Protocol, byte[] Body, int Samples, SendResult Answer, bool Committed);

/// <summary>
/// A backend in memory: remembers every point and every request. Deterministic: faults come from a list, or from a
/// seeded chance. Not thread-safe.
/// </summary>
internal sealed class FakeBackend(BackendKind kind, int seed = 1)
{
    private readonly Random _random = new(seed);
    private readonly SortedDictionary<string, List<StoredPoint>> _series = new(StringComparer.Ordinal);
    private readonly Queue<BackendFault> _faults = new();
    private long _newestMs = long.MinValue;

    public V2Support V2 { get; init; } = kind == BackendKind.Prometheus ? V2Support.Counts : V2Support.ReadsAsEmptyV1;

    /// <summary>How far behind its newest sample a Prometheus takes samples: half of the head block.</summary>
    public long MaxAgeMs { get; init; } = 3_600_000;

    public long MaxAheadMs { get; init; } = 600_000;

    /// <summary>out_of_order_time_window; 0: none.</summary>
    public long OutOfOrderWindowMs { get; init; }

    /// <summary>Chance of a fault for each request without one of its own.</summary>
    public double FaultRate { get; set; }

    /// <summary>What a chance fault may be.</summary>
    public IReadOnlyList<BackendFault> ChanceFaults { get; init; } =
    [
        BackendFault.Status(503), BackendFault.Status(429), BackendFault.Status(500), BackendFault.Unreachable,
        BackendFault.LostAnswer, BackendFault.TimesOut(10_000), BackendFault.TimesOut(10_000, commits: false),
    ];

    /// <summary>A series that is refused with 400 wherever it appears, by label text.</summary>
    public string? PoisonSeries { get; set; }

    /// <summary>Bodies with more samples are refused with 413.</summary>
    public int MaxSamples { get; set; } = int.MaxValue;

    public long LatencyMs { get; set; } = 5;

    public List<ReceivedRequest> Requests { get; } = [];

    public IReadOnlyDictionary<string, List<StoredPoint>> Series => _series;

    public long PointCount => _series.Values.Sum(points => (long)points.Count);

    /// <summary>The next requests, in this order, get these instead of their answers.</summary>
    public void Inject(params ReadOnlySpan<BackendFault> faults)
    {
        foreach (var fault in faults)
        {
            _faults.Enqueue(fault);
        }
    }

    /// <summary>Takes a request and says what the sender sees of it, and after how long.</summary>
    public (SendResult Result, long DelayMs) Receive(Sending sending, long nowMs)
    {
        BackendFault? fault = _faults.TryDequeue(out var listed) ? listed
            : _random.NextDouble() < FaultRate ? ChanceFaults[_random.Next(ChanceFaults.Count)]
            : null;
        var answer = SendResult.Status(0);
        var committed = false;
        if (fault is null or { Commits: true })
        {
            answer = Apply(sending, nowMs);
            committed = answer.StatusCode < 300;
        }
        var seen = fault?.Result ?? answer;
        Requests.Add(new ReceivedRequest(
            Requests.Count, sending.Lane, sending.Protocol, sending.Body.ToArray(), sending.SampleCount, seen,
            committed));
        return (seen, LatencyMs + (fault?.DelayMs ?? 0));
    }

    private SendResult Apply(Sending sending, long nowMs)
    {
        if (sending.Protocol == WireProtocol.PrometheusV2 && V2 != V2Support.Counts)
        {
            return V2 == V2Support.Refuses
                ? SendResult.Status(415, "unsupported proto message") : SendResult.Status(204);
        }
        if (sending.Protocol == WireProtocol.VictoriaMetrics && kind == BackendKind.Prometheus)
        {
            return SendResult.Status(400, "snappy: corrupt input");
        }
        if (!TryDecode(sending, out var points))
        {
            return SendResult.Status(400, "cannot decode the body");
        }
        if (points.Count > MaxSamples)
        {
            return SendResult.Status(413, "body too large");
        }
        if (PoisonSeries is { } poison && points.Exists(p => p.Series.Contains(poison, StringComparison.Ordinal)))
        {
            return SendResult.Status(400, $"invalid series {poison}");
        }
        return kind == BackendKind.Prometheus ? ApplyAsPrometheus(sending, points, nowMs) : ApplyAsVictoria(points);
    }

    private SendResult ApplyAsVictoria(List<(string Series, long TimestampMs, double Value)> points)
    {
        foreach (var (series, timestampMs, value) in points)
        {
            var stored = PointsOf(series);
            var same = kind == BackendKind.VictoriaMetricsDedup
                ? stored.FindIndex(p => p.TimestampMs == timestampMs) : -1;
            if (same < 0)
            {
                stored.Add(new StoredPoint(timestampMs, value, Requests.Count));
            }
            else if (value > stored[same].Value)
            {
                stored[same] = new StoredPoint(timestampMs, value, Requests.Count);
            }
        }
        return SendResult.Status(204);
    }

    private SendResult ApplyAsPrometheus(
        Sending sending, List<(string Series, long TimestampMs, double Value)> points, long nowMs)
    {
        var refusal = "";
        var accepted = new List<(string Series, long TimestampMs, double Value)>();
        foreach (var point in points)
        {
            // Judged against what is committed: a sample behind another of the same request is lost in silence.
            var problem = Judge(point.Series, point.TimestampMs, point.Value, nowMs);
            if (problem.Length == 0)
            {
                accepted.Add(point);
            }
            else
            {
                refusal = problem;
            }
        }
        if (refusal.Length > 0 && sending.Protocol != WireProtocol.PrometheusV2)
        {
            return SendResult.Status(400, refusal);
        }
        foreach (var (series, timestampMs, value) in accepted)
        {
            var stored = PointsOf(series);
            var last = stored.Count == 0 ? long.MinValue : stored[^1].TimestampMs;
            if (timestampMs > last || (OutOfOrderWindowMs > 0 && !stored.Exists(p => p.TimestampMs == timestampMs)))
            {
                stored.Add(new StoredPoint(timestampMs, value, Requests.Count));
                stored.Sort((a, b) => a.TimestampMs.CompareTo(b.TimestampMs));
            }
            _newestMs = Math.Max(_newestMs, timestampMs);
        }
        return sending.Protocol == WireProtocol.PrometheusV2
            ? SendResult.WrittenBy(refusal.Length > 0 ? 400 : 204, accepted.Count, refusal)
            : SendResult.Status(204);
    }

    private string Judge(string series, long timestampMs, double value, long nowMs)
    {
        if (timestampMs > nowMs + MaxAheadMs)
        {
            return "out of bounds: timestamp is too far in the future";
        }
        var stored = _series.GetValueOrDefault(series);
        var hasLast = stored is { Count: > 0 };
        if (hasLast && timestampMs > stored![^1].TimestampMs)
        {
            hasLast = false;
        }
        if (hasLast && timestampMs == stored![^1].TimestampMs)
        {
            return BitConverter.DoubleToInt64Bits(stored[^1].Value) == BitConverter.DoubleToInt64Bits(value)
                ? "" : "duplicate sample for timestamp";
        }
        if (OutOfOrderWindowMs > 0)
        {
            return timestampMs < _newestMs - OutOfOrderWindowMs ? "too old sample" : "";
        }
        if (_newestMs != long.MinValue && timestampMs < _newestMs - MaxAgeMs)
        {
            return "out of bounds";
        }
        return hasLast ? "out of order sample" : "";
    }

    private List<StoredPoint> PointsOf(string series)
    {
        if (!_series.TryGetValue(series, out var points))
        {
            _series[series] = points = [];
        }
        return points;
    }

    private static bool TryDecode(Sending sending, out List<(string Series, long TimestampMs, double Value)> points)
    {
        points = [];
        if (!TryDecompress(sending, out var body))
        {
            return false;
        }
        var sink = new PointSink(points);
        return sending.Protocol == WireProtocol.PrometheusV2
            ? RemoteWriteV2Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out _)
            : RemoteWriteV1Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out _);
    }

    private static bool TryDecompress(Sending sending, out byte[] body)
    {
        body = [];
        if (sending.Protocol == WireProtocol.VictoriaMetrics)
        {
            var sound = Zstd.Decompress(sending.Body.Span, 256 << 20, ref body, out var size) == default;
            Array.Resize(ref body, size);
            return sound;
        }
        if (!Snappy.TryGetDecodedLength(sending.Body.Span, out var length))
        {
            return false;
        }
        body = new byte[length];
        return Snappy.TryDecode(sending.Body.Span, body);
    }

    private struct PointSink(List<(string Series, long TimestampMs, double Value)> points) : IWriteSink
    {
        private string _series = "";

        public readonly bool TryKnownSeries(ReadOnlySpan<byte> labels) => false;

        public void BeginSeries(ReadOnlySpan<byte> labels)
        {
            var parsed = new List<Label>();
            _ = LabelBlock.TryParse(labels, LabelLimits.Default, parsed, out _);
            _series = LabelSet.From(parsed).ToString();
        }

        public readonly void Sample(long timestampMs, double value, long startTimestampMs) =>
            points.Add((_series, timestampMs, value));

        /// <summary>A histogram is a point without a value.</summary>
        public readonly void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs) =>
            points.Add((_series, timestampMs, double.NaN));

        public readonly void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs)
        {
        }

        public readonly void Metadata(
            ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
        {
        }

        public readonly void Refused(string reason, int samples, int histograms, int exemplars)
        {
        }
    }
}
