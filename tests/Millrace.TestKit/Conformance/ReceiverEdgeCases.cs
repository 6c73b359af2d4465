using System.Linq;
using Millrace.Protocols;
using static Millrace.TestKit.Conformance.SentSeries;

namespace Millrace.TestKit.Conformance;

/// <summary>What the specifications say and the public suite does not try.</summary>
internal static class ReceiverEdgeCases
{
    public static IReadOnlyList<ReceiverCase> All { get; } =
        [.. Headers(), .. Labels(), .. Contents(), .. OlderVersion()];

    private static IEnumerable<ReceiverCase> Headers()
    {
        var good = ReceiverCase.Of("header", Named("up").With(1));
        var good1 = good.AsV1();
        yield return good1 with { Name = "header/no type", ContentType = null };
        yield return good1 with { Name = "header/no type, no encoding", ContentType = null, ContentEncoding = null };
        yield return good with { Name = "header/no encoding", ContentEncoding = null };
        yield return good1 with
        {
            Name = "header/1.0 by name",
            ContentType = "application/x-protobuf;proto=prometheus.WriteRequest",
        };
        yield return good with
        {
            Name = "header/blanks, quotes and case",
            ContentType = "Application/X-Protobuf; Proto=\"io.prometheus.write.v2.Request\"",
        };
        foreach (var proto in (string[])["io.prometheus.write.v3.Request", "IO.PROMETHEUS.WRITE.V2.REQUEST", "x"])
        {
            yield return good with
            {
                Name = $"header/message {proto}",
                ContentType = $"application/x-protobuf;proto={proto}",
                OtherStatus = 415,
            };
        }
        foreach (var encoding in (string[])["identity", "br", "x-snappy-framed"])
        {
            yield return good with { Name = $"header/{encoding}", ContentEncoding = encoding, OtherStatus = 415 };
        }
        yield return good with { Name = "header/zstd named, snappy sent", ContentEncoding = "zstd" };
        yield return good with
        {
            Name = "header/another name of protobuf",
            ContentType = "application/protobuf",
            OtherStatus = 415,
        };
    }

    private static IEnumerable<ReceiverCase> Labels()
    {
        var good = Named("up", ("job", "node")).With(1);
        ReceiverCase Beside(string name, SentSeries bad) => ReceiverCase.Of($"labels/{name}", bad.Refused(), good);

        yield return Beside("same name twice", Named("up", ("a", "1"), ("a", "2")).With(1));
        yield return Beside("same name twice, one empty", Named("up", ("b", "1"), ("a", "2"), ("b", "")).With(1));
        yield return Beside("empty label name", Named("up", ("", "x")).With(1));
        yield return Beside("not UTF-8 in a value", Named("up") with
        {
            RawLabel = ("a"u8.ToArray(), [0xC3, 0x28]),
            Samples = [new SentSample(1)],
        });
        yield return Beside("not UTF-8 in a name", Named("up") with
        {
            RawLabel = ([0xFF], "x"u8.ToArray()),
            Samples = [new SentSample(1)],
        });
        yield return Beside("a name without a value", Named("up").With(1) with { References = [1, 2, 1] });
        yield return Beside("references out of range", Named("up").With(1) with { References = [1, 4_000_000_000] });
        yield return Beside("too many labels",
            Named("up", [.. Enumerable.Range(0, 128).Select(i => ($"label_{i:d3}", "x"))]).With(1));
        yield return Beside("a long name", Named("up", (new string('n', 1025), "x")).With(1));
        yield return Beside("a long value", Named("up", ("a", new string('v', (16 << 10) + 1))).With(1));
        yield return ReceiverCase.Of("labels/as many as allowed",
            Named("up", [.. Enumerable.Range(0, 127).Select(i => ($"label_{i:d3}", "x"))]).With(1));
        yield return ReceiverCase.Of("labels/as long as allowed",
            Named("up", (new string('n', 1024), "x"), ("v", new string('v', 16 << 10))).With(1));
        yield return ReceiverCase.Of("labels/an empty value is no label", Named("up", ("zone", "")).With(1));
        yield return ReceiverCase.Of("labels/emoji names", Named("🚀", ("größe", "大")).With(1));
    }

    private static IEnumerable<ReceiverCase> Contents()
    {
        yield return ReceiverCase.Of("content/no series");
        yield return ReceiverCase.Of("content/a series of nothing", Named("up").Refused(), Named("down").With(1));
        yield return ReceiverCase.Of("content/samples and histograms in one series",
            (Named("up").With(1) with { Histograms = [new SentHistogram(Shape.Zero)] }).Refused(),
            Named("down").With(1));
        yield return ReceiverCase.Of("content/a bad histogram among good ones",
            Named("latency", ("n", "1")).With(Shape.Full),
            Named("latency", ("n", "2")).With(Shape.Full | Shape.WrongCount).Refused(),
            Named("latency", ("n", "3")).With(Shape.CustomBuckets));
        yield return ReceiverCase.Of("content/nameless metadata",
            new SentSeries().Describe(MetricType.Gauge, "Of what?").Refused(), Named("up").With(1));
        yield return ReceiverCase.Of("content/many samples of one series",
            Named("up") with { Samples = [.. Enumerable.Range(0, 500).Select(i => new SentSample(i, 500 - i))] });
        yield return ReceiverCase.Of("content/the same series twice", Named("up").With(1), Named("up").With(2));
    }

    private static IEnumerable<ReceiverCase> OlderVersion()
    {
        var good = Named("up", ("job", "node")).With(1);
        yield return ReceiverCase.Of("1.0/all kinds",
            Named("up").With(1).WithExemplar(1, ("trace_id", "t")), Named("latency").With(Shape.Full)).AsV1();
        yield return ReceiverCase.Of("1.0/no name", new SentSeries(("job", "a")).With(1).Refused(), good).AsV1();
        yield return ReceiverCase.Of(
            "1.0/same name twice", Named("up", ("a", "1"), ("a", "2")).With(1).Refused(), good).AsV1();
        yield return ReceiverCase.Of(
            "1.0/wrong count", Named("h").With(Shape.Full | Shape.WrongCount).Refused(), good).AsV1();
        yield return ReceiverCase.Of("1.0/unsorted labels", Named("up", ("z", "1"), ("a", "2")).With(1)).AsV1();
        yield return ReceiverCase.Of("1.0/no series").AsV1();
    }
}
