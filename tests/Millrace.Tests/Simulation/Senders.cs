using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>A request of a sender, repeated until it is answered with 2xx.</summary>
internal sealed class SentRequest(int number, byte[] body, List<PlainSample> samples)
{
    public int Number { get; } = number;

    public byte[] Body { get; } = body;

    public List<PlainSample> Samples { get; } = samples;

    public long DueMs { get; set; }

    /// <summary>A 2xx was given, whether or not the sender saw it.</summary>
    public bool IsAcknowledged { get; set; }

    /// <summary>The LSN under which it was acknowledged.</summary>
    public long Lsn { get; set; }

    /// <summary>
    /// How often it came before the log was replayed: then a repeat may be stored, and means nothing.
    /// </summary>
    public int TimesDuringReplay { get; set; }
}

/// <summary>
/// The fleet and its collectors: tens of counters and gauges with births, deaths and resets, and all the requests that
/// carry them. Made before the run, so that nothing that happens in it changes what is sent.
/// </summary>
internal sealed class Senders
{
    private sealed class Source(PlainSeries series, bool isCounter, long bornMs, long diesMs)
    {
        public PlainSeries Series { get; } = series;

        public bool IsCounter { get; } = isCounter;

        public long BornMs { get; } = bornMs;

        public long DiesMs { get; } = diesMs;

        public double Value { get; set; }

        public bool SaidItIsStale { get; set; }
    }

    private static readonly string[] Metrics =
        ["requests_total", "errors_total", "bytes_total", "temperature", "queue_length", "noise"];

    private readonly Random _fleet;
    private readonly Random _delays;
    private readonly PriorityQueue<SentRequest, (long DueMs, int Number)> _due = new();
    private readonly List<SentRequest> _requests = [];

    public Senders(Scenario scenario, long startMs)
    {
        _fleet = new Random(scenario.FleetSeed);
        _delays = new Random(scenario.DelaySeed);
        var targets = _fleet.Next(2, 6);
        for (var target = 0; target < targets; target++)
        {
            MakeRequests(scenario, target, startMs);
        }
        foreach (var request in _requests)
        {
            _due.Enqueue(request, (request.DueMs, request.Number));
        }
    }

    public IReadOnlyList<SentRequest> Requests => _requests;

    public bool AllDone => _due.Count == 0;

    public bool TryNext(long nowMs, out SentRequest request)
    {
        if (_due.TryPeek(out request!, out var due) && due.DueMs <= nowMs)
        {
            _due.Dequeue();
            return true;
        }
        return false;
    }

    public void Again(SentRequest request, long dueMs)
    {
        request.DueMs = dueMs;
        _due.Enqueue(request, (dueMs, request.Number));
    }

    private void MakeRequests(Scenario scenario, int target, long startMs)
    {
        var endMs = startMs + scenario.DurationMs;
        var sources = MakeSources(scenario, target, startMs);
        var periodMs = _fleet.Next(700, 3_000);
        var scrapesPerRequest = _fleet.Next(1, 4);
        while (scrapesPerRequest > 1 && (scrapesPerRequest - 1) * periodMs + 3 * scenario.StepMs > scenario.LatenessMs)
        {
            scrapesPerRequest--; // Or all of its requests would be late.
        }
        var pending = new List<PlainSample>();
        var scrapes = 0;
        for (var nowMs = startMs + _fleet.Next(periodMs); nowMs < endMs; nowMs += periodMs)
        {
            foreach (var source in sources)
            {
                Scrape(source, nowMs, pending);
            }
            if (++scrapes % scrapesPerRequest == 0 && pending.Count > 0)
            {
                // Some collectors send scrape by scrape, some series by series.
                var samples = _fleet.Next(2) == 0 ? pending
                    : [.. pending.OrderBy(sample => sample.Series.Text, StringComparer.Ordinal)];
                var families = _fleet.Next(10) == 0 ? new[] { "requests_total", "temperature" } : [];
                var body = PlainRemoteWrite.Encode(samples, families);
                _requests.Add(new SentRequest(_requests.Count, body, samples)
                {
                    DueMs = nowMs + DelayMs(scenario, (scrapesPerRequest - 1) * periodMs),
                });
                pending = [];
            }
        }
    }

    private long DelayMs(Scenario scenario, long alreadyMs)
    {
        var luck = _delays.NextDouble();
        var most = Math.Max(1, scenario.LatenessMs - alreadyMs - 2 * scenario.StepMs);
        if (luck < scenario.Faults.LateRequests)
        {
            return scenario.LatenessMs + _delays.Next(scenario.IntervalMs * 3);
        }
        return luck < 0.5 ? _delays.Next(100) % most : _delays.NextInt64(most);
    }

    private List<Source> MakeSources(Scenario scenario, int target, long startMs)
    {
        var sources = new List<Source>();
        foreach (var metric in Metrics)
        {
            var paths = _fleet.Next(1, 4);
            for (var path = 0; path < paths; path++)
            {
                var bornMs = _fleet.Next(3) > 0 ? startMs : startMs + _fleet.NextInt64(scenario.DurationMs);
                var diesMs = _fleet.Next(3) > 0 ? long.MaxValue : bornMs + _fleet.NextInt64(scenario.DurationMs);
                var series = PlainSeries.Of(
                    (PlainSeries.MetricName, metric), ("instance", $"host{target}"), ("path", $"/{path}"),
                    ("dc", "north"));
                sources.Add(new Source(series, metric.EndsWith("_total", StringComparison.Ordinal), bornMs, diesMs)
                {
                    Value = _fleet.Next(8_000) * 0.25,
                });
            }
        }
        return sources;
    }

    private void Scrape(Source source, long nowMs, List<PlainSample> samples)
    {
        if (nowMs < source.BornMs || source.SaidItIsStale || _fleet.Next(30) == 0)
        {
            return;
        }
        if (nowMs >= source.DiesMs)
        {
            source.SaidItIsStale = true;
            const long StaleMarker = 0x7FF0_0000_0000_0002;
            samples.Add(new PlainSample(source.Series, nowMs, BitConverter.Int64BitsToDouble(StaleMarker)));
            return;
        }
        if (!source.IsCounter)
        {
            source.Value = _fleet.Next(-50_000, 50_000) / 1000.0;
        }
        else if (source.Value > 1_000 && _fleet.Next(20) == 0)
        {
            // Far below what it was: no order of arrival hides the reset.
            source.Value = _fleet.Next(10) * 0.25;
        }
        else
        {
            source.Value += _fleet.Next(4) == 0 ? 0 : _fleet.Next(50) * 0.25;
        }
        samples.Add(new PlainSample(source.Series, nowMs, source.Value));
    }
}
