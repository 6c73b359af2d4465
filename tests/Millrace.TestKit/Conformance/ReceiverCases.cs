using System.Linq;
using Millrace.Protocols;
using static Millrace.TestKit.Conformance.SentSeries;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// What the public compliance suite of Prometheus asks of a receiver of remote write 2.0, case for case, in our words:
/// it accepts 400 or 204 for many of them, we ask for the stricter. <see cref="ReceiverEdgeCases"/> asks for more.
/// </summary>
internal static class ReceiverCases
{
    private const long HourMs = 3_600_000;

    public static IReadOnlyList<ReceiverCase> All { get; } =
    [
        .. Samples(), .. Histograms(), .. Exemplars(), .. Metadata(), .. Together(), .. Requests(), .. OlderVersion(),
    ];

    /// <summary>Sub-tests of the suite that these cases stand for: it runs most good ones once more, for 204.</summary>
    public static int SuiteSubTests => All.Sum(SubTestsOf);

    private static double Stale => BitConverter.UInt64BitsToDouble(0x7ff0000000000002);

    private static int SubTestsOf(ReceiverCase one) => one.Name.EndsWith('*') || one.Status != 204 ? 1 : 2;

    private static IEnumerable<ReceiverCase> Samples()
    {
        (string, double)[] values =
        [
            ("number", 1), ("stale marker", Stale), ("NaN", double.NaN), ("infinity", double.PositiveInfinity),
            ("negative infinity", double.NegativeInfinity),
        ];
        foreach (var (what, value) in values)
        {
            SentSeries Host(int number) =>
                Named("up", ("job", "node"), ("instance", $"10.0.0.{number}:9100")).With(value);
            SentSeries Nameless(int number) =>
                new SentSeries(("job", "node"), ("instance", $"10.0.0.{number}:9100")).With(value).Refused();

            yield return ReceiverCase.Of($"sample/{what}/name only", Named("up").With(value));
            yield return ReceiverCase.Of($"sample/{what}/unsorted labels", Host(1));
            yield return ReceiverCase.Of($"sample/{what}/line ends in a value",
                Named("up", ("job", "first\nsecond\n")).With(value));
            yield return ReceiverCase.Of($"sample/{what}/dots in names",
                Named("system.cpu.time", ("service.name", "cart")).With(value));
            yield return ReceiverCase.Of($"sample/{what}/blanks in names",
                Named("system cpu time", ("service name", "cart")).With(value));
            yield return ReceiverCase.Of($"sample/{what}/no name", Nameless(1));
            yield return ReceiverCase.Of($"sample/{what}/no labels", new SentSeries().With(value).Refused());
            yield return ReceiverCase.Of($"samples/{what}/four series", Host(1), Host(2), Host(3), Host(4));
            yield return ReceiverCase.Of($"samples/{what}/none has a name",
                Nameless(1), Nameless(2), Nameless(3), Nameless(4));
            yield return ReceiverCase.Of($"samples/{what}/one has no name", Nameless(1), Host(2), Host(3), Host(4));
        }
        yield return ReceiverCase.Of("sample/counter with its start *",
            Named("jobs_total", ("job", "api")) with { Samples = [new SentSample(100, 0, HourMs)] });
    }

    private static IEnumerable<ReceiverCase> Histograms()
    {
        yield return ReceiverCase.Of("histogram/all kinds of buckets", Named("latency").With(Shape.Full));
        yield return ReceiverCase.Of("histogram/custom buckets", Named("latency").With(Shape.CustomBuckets));
        yield return ReceiverCase.Of("histogram/positive and zero",
            Named("latency", ("job", "api")).With(Shape.Positive | Shape.Zero));
        yield return ReceiverCase.Of("histogram/negative", Named("latency", ("host", "a")).With(Shape.Negative));
        yield return ReceiverCase.Of("histogram/zero", Named("latency").With(Shape.Zero));
        yield return ReceiverCase.Of("histogram/wrong count",
            Named("latency").With(Shape.Positive | Shape.WrongCount).Refused());
        yield return ReceiverCase.Of("histogram/with its start *",
            Named("latency", ("job", "api")) with { Histograms = [new SentHistogram(Shape.Full, 1.5, HourMs / 2)] });
        yield return ReceiverCase.Of("histogram/two",
            Named("latency", ("job", "a")).With(Shape.Positive | Shape.Zero, 10.5),
            Named("size", ("job", "a")).With(Shape.Negative, 5.25));
        yield return ReceiverCase.Of("histogram/empty", Named("latency").With(Shape.Empty, 0));
        yield return ReceiverCase.Of("histogram/with metadata",
            Named("latency", ("job", "api")).With(Shape.Full).Describe(MetricType.Histogram, "How long", "seconds"));
        yield return ReceiverCase.Of("histogram/with exemplar",
            Named("latency", ("method", "GET")).With(Shape.Positive | Shape.Zero)
                .WithExemplar(1.25, ("trace_id", "5b8aa5a2"), ("span_id", "051581bf")));
        yield return ReceiverCase.Of("histogram/with metadata and exemplar",
            Named("size", ("service", "upload")).With(Shape.Full, 1e7).WithExemplar(1e7, ("trace_id", "9f2c"))
                .Describe(MetricType.Histogram, "How large", "bytes"));
        yield return ReceiverCase.Of("histogram/two with metadata",
            Named("cpu", ("host", "a")).With(Shape.Positive | Shape.Zero)
                .Describe(MetricType.Histogram, "CPU", "ratio"),
            Named("memory", ("host", "a")).With(Shape.Positive | Shape.Negative, 8e9)
                .Describe(MetricType.Histogram, "Memory", "bytes"));
    }

    private static IEnumerable<ReceiverCase> Exemplars()
    {
        static ReceiverCase Case(string name, SentSeries series, double value, params (string, string)[] labels) =>
            ReceiverCase.Of($"exemplar/{name}", series.With(value).WithExemplar(value, labels));

        yield return Case("trace", Named("requests_total", ("job", "api")), 1, ("trace_id", "5b8aa5a2"));
        yield return Case("trace and span", Named("latency"), 0.125, ("trace_id", "5b8a"), ("span_id", "0515"));
        yield return Case("no trace", Named("cpu", ("host", "a")), 0.85, ("user", "u-17"));
        yield return Case(
            "several labels", Named("latency"), 0.05, ("trace_id", "5b"), ("user", "root"), ("path", "/in"));
        yield return Case("no labels", Named("requests_total"), 1);
        yield return Case("punctuation", Named("requests_total"), 42, ("trace_id", "a-b_c.d"));
        yield return Case(
            "beyond ASCII", Named("requests_total", ("region", "🌍")), 100, ("trace_id", "spur-测试"));
        yield return ReceiverCase.Of("exemplar/beside a start *",
            Named("requests_total") with
            {
                Samples = [new SentSample(250, 0, 2 * HourMs)],
                Exemplars = [new SentExemplar(250, 0, ("trace_id", "abc"))],
            });
        yield return ReceiverCase.Of("exemplar/three",
            Named("latency", ("method", "GET")).With(0.1).WithExemplar(0.1, ("trace_id", "1")),
            Named("latency", ("method", "PUT")).With(0.25).WithExemplar(0.25, ("trace_id", "2")),
            Named("errors_total", ("service", "pay")).With(1).WithExemplar(1, ("trace_id", "3"), ("user", "x")));
        yield return ReceiverCase.Of("exemplar/of three times",
            [.. new[] { HourMs, 60_000, 0L }.Select(ago => Named("latency") with
            {
                Samples = [new SentSample(ago / 1e6, ago)],
                Exemplars = [new SentExemplar(ago / 1e6, ago, ("trace_id", $"t{ago}"))],
            })]);
        yield return ReceiverCase.Of("exemplar/series without a name *",
            new SentSeries(("job", "a")).With(1).WithExemplar(1, ("trace_id", "t")).Refused());
        yield return ReceiverCase.Of("exemplar/series with an empty name *",
            Named("").With(1).WithExemplar(1, ("trace_id", "t")).Refused());
        yield return ReceiverCase.Of("exemplar/series with a name *",
            Named("requests_total").With(1).WithExemplar(1, ("trace_id", "t")));
        double[] values =
            [0, -123.5, 1e10, 1e-10, double.NaN, double.PositiveInfinity, double.NegativeInfinity];
        foreach (var value in values)
        {
            yield return Case(
                FormattableString.Invariant($"value {value}"), Named("latency"), value, ("trace_id", "t"));
        }
    }

    private static IEnumerable<ReceiverCase> Metadata()
    {
        static ReceiverCase Case(string name, MetricType type, string help = "", string unit = "") =>
            ReceiverCase.Of(
                $"metadata/{name}",
                Named("metric_" + name.Replace(' ', '_')).With(1).Describe(type, help, unit));

        yield return Case("counter", MetricType.Counter, "How many", "requests");
        yield return Case("gauge", MetricType.Gauge, "How full", "percent");
        yield return ReceiverCase.Of("metadata/histogram",
            Named("latency").With(Shape.Full).Describe(MetricType.Histogram, "How long", "seconds"));
        yield return Case("type only", MetricType.Counter);
        yield return Case("special characters", MetricType.Gauge, "two\nlines and \"quotes\"", "bytes/sec");
        yield return Case("no type", MetricType.Unknown, "Who knows");
        yield return Case("info", MetricType.Info, "The build");
        yield return Case("state set", MetricType.StateSet, "The state");
        yield return Case("summary", MetricType.Summary, "How long", "seconds");
        yield return Case("gauge histogram", MetricType.GaugeHistogram, "How warm", "celsius");
        yield return ReceiverCase.Of("metadata/counter with its start *",
            (Named("jobs_total", ("job", "api")) with { Samples = [new SentSample(150, 0, HourMs)] })
                .Describe(MetricType.Counter, "How many", "jobs"));
        yield return ReceiverCase.Of("metadata/other labels than its series",
            Named("jobs_total", ("job", "test")).With(42).Describe(MetricType.Counter, "How many", "jobs"));
        yield return ReceiverCase.Of("metadata/three families",
            Named("cpu").With(85.5).Describe(MetricType.Gauge, "CPU", "percent"),
            Named("memory").With(4e9).Describe(MetricType.Gauge, "Memory", "bytes"),
            Named("disk", ("device", "sda")).With(75.25).Describe(MetricType.Gauge, "Disk", "percent"));
        yield return ReceiverCase.Of("metadata/histogram of many labels",
            Named("latency", ("job", "api"), ("instance", "10.0.0.1:80"), ("method", "GET"), ("code", "200"),
                    ("path", "/"))
                .With(Shape.Full, 0.25).Describe(MetricType.Histogram, "How long", "seconds"));
        yield return ReceiverCase.Of("metadata/series without a name *",
            new SentSeries(("job", "a")).With(1).Describe(MetricType.Counter, "How many", "jobs").Refused());
        yield return ReceiverCase.Of("metadata/series with an empty name *",
            Named("").With(1).Describe(MetricType.Gauge, "How many", "jobs").Refused());
        yield return ReceiverCase.Of("metadata/series with a name *",
            Named("jobs_total").With(1).Describe(MetricType.Counter, "How many", "jobs"));
    }

    private static IEnumerable<ReceiverCase> Together()
    {
        yield return ReceiverCase.Of("together/sample, metadata, exemplar",
            Named("requests_total", ("method", "PUT")).With(1).WithExemplar(1, ("trace_id", "t"), ("user", "u"))
                .Describe(MetricType.Counter, "How many", "requests"));
        yield return ReceiverCase.Of("together/histogram, metadata, exemplar",
            Named("latency", ("service", "auth")).With(Shape.Full, 0.5).WithExemplar(0.5, ("trace_id", "slow"))
                .Describe(MetricType.Histogram, "How long", "seconds"));
        yield return ReceiverCase.Of("together/two samples, one exemplar",
            Named("cpu", ("host", "a")).With(0.85).WithExemplar(0.85, ("trace_id", "t"))
                .Describe(MetricType.Gauge, "CPU"),
            Named("memory", ("host", "a")).With(8e9).Describe(MetricType.Gauge, "Memory", "bytes"));
        yield return ReceiverCase.Of("together/two histograms, one exemplar",
            Named("latency", ("path", "/a")).With(Shape.Positive | Shape.Zero).WithExemplar(0.1, ("trace_id", "t"))
                .Describe(MetricType.Histogram, "How long", "seconds"),
            Named("size", ("method", "PUT")).With(Shape.Negative | Shape.Zero, 1024)
                .Describe(MetricType.Histogram, "How large", "bytes"));
        yield return ReceiverCase.Of("together/two families",
            Named("requests_total", ("code", "200")).With(1000).WithExemplar(1000, ("trace_id", "ok"))
                .Describe(MetricType.Counter, "How many", "requests"),
            Named("temperature", ("room", "1")).With(23.5).Describe(MetricType.Gauge, "How warm", "celsius"));
        yield return ReceiverCase.Of("together/histogram family",
            Named("latency", ("handler", "/metrics")).With(Shape.Positive | Shape.Zero, 0.003)
                .WithExemplar(0.003, ("trace_id", "scrape")).Describe(MetricType.Histogram, "How long", "seconds"));
        yield return ReceiverCase.Of("together/metadata alone *",
            Named("orphan").Describe(MetricType.Counter, "Nobody has samples of it", "count"));
        yield return ReceiverCase.Of("together/exemplar alone *", Named("orphan").WithExemplar(42, ("trace_id", "t")));
        yield return ReceiverCase.Of("together/mixed times *",
            Named("old") with
            {
                Samples = [new SentSample(1, HourMs)],
                Exemplars = [new SentExemplar(1, HourMs / 2, ("trace_id", "t"))],
            },
            Named("new").With(2));
        yield return ReceiverCase.Of("together/fifty samples",
            [.. Enumerable.Range(0, 50).Select(i => Named($"many_{i}_total", ("number", $"{i}")).With(i * 100)
                .WithExemplar(i, ("trace_id", $"t{i}")).Describe(MetricType.Counter, $"Number {i}", "count"))]);
        yield return ReceiverCase.Of("together/fifty histograms",
            [.. Enumerable.Range(0, 50).Select(i => Named($"many_{i}", ("number", $"{i}"))
                .With(i % 2 == 0 ? Shape.Full : Shape.Positive | Shape.Zero, i / 10.0)
                .WithExemplar(i, ("trace_id", $"t{i}")).Describe(MetricType.Histogram, $"Number {i}", "seconds"))]);
        yield return ReceiverCase.Of("together/special characters",
            Named("metric", ("job", "a-b_c.d@e"), ("stage", "test🚀")).With(42)
                .WithExemplar(42, ("trace_id", "äöü-123"), ("span_id", "a.b-c_d"))
                .Describe(MetricType.Gauge, "äöü,\nlines and \"quotes\"", "special/units"));
        yield return ReceiverCase.Of("together/custom buckets, exemplar",
            Named("latency", ("version", "2")).With(Shape.CustomBuckets, 0.05)
                .WithExemplar(0.05, ("trace_id", "t"), ("bucket", "0.1")));
    }

    private static IEnumerable<ReceiverCase> Requests()
    {
        var request = ReceiverCase.Of("request", Named("up").With(1)) with { FirstByte = (byte)'0' };
        foreach (var contentType in (string[])["application/json", "image/png"])
        {
            yield return request with
            {
                Name = $"request/type {contentType}",
                ContentType = contentType,
                OtherStatus = 415,
            };
        }
        foreach (var encoding in (string[])["gzip", "deflate"])
        {
            yield return request with
            {
                Name = $"request/encoding {encoding}",
                ContentEncoding = encoding,
                OtherStatus = 415,
            };
        }
        yield return request with { Name = "request/corrupt body", OtherStatus = 400 };
    }

    private static IEnumerable<ReceiverCase> OlderVersion()
    {
        yield return ReceiverCase.Of("1.0/two samples *",
            Named("up", ("job", "node")).With(1), Named("requests_total").With(100)).AsV1();
        yield return ReceiverCase.Of("1.0/corrupt body", Named("up").With(1)).AsV1() with
        {
            FirstByte = 0xFF,
            OtherStatus = 400,
        };
    }
}
