using Millrace.Telemetry;

namespace Millrace.Tests.Telemetry;

public class ExpositionWriterTests
{
    [Fact]
    public void Writes_help_type_and_samples()
    {
        var page = new ExpositionWriter();
        page.Counter("a_total", "What \\ is\ncounted.", 3);
        page.Gauge("b", "Now.");
        page.Sample(1.5, ("x", "1"), ("y", "2"));
        page.Sample(double.PositiveInfinity, ("x", "2"), ("y", ""));

        page.ToString().ShouldBe("""
            # HELP a_total What \\ is\ncounted.
            # TYPE a_total counter
            a_total 3
            # HELP b Now.
            # TYPE b gauge
            b{x="1",y="2"} 1.5
            b{x="2",y=""} +Inf

            """);
    }

    [Fact]
    public void Escapes_what_stands_in_label_values()
    {
        var page = new ExpositionWriter();
        page.Gauge("a", "h");
        page.Sample(1, ("x", "q\"b\\n\nü"));

        page.ToString().ShouldEndWith("a{x=\"q\\\"b\\\\n\\nü\"} 1\n");
        new ExpositionPage(page.ToString()).Samples.ShouldHaveSingleItem().Labels["x"].ShouldBe("q\"b\\n\nü");
    }

    [Fact]
    public void Adds_up_buckets()
    {
        var page = new ExpositionWriter();
        page.Histogram("t_seconds", "h");
        page.Buckets([0.1, 2], [3, 0, 2], 7.5, ("d", "x"));

        page.ToString().ShouldEndWith("""
            t_seconds_bucket{d="x",le="0.1"} 3
            t_seconds_bucket{d="x",le="2"} 3
            t_seconds_bucket{d="x",le="+Inf"} 5
            t_seconds_sum{d="x"} 7.5
            t_seconds_count{d="x"} 5

            """);
    }

    [Fact]
    public void A_family_is_written_once()
    {
        var page = new ExpositionWriter();
        page.Gauge("a", "h", 1);
        Should.Throw<InvalidOperationException>(() => page.Gauge("a", "h", 1)).Message.ShouldContain("twice");
    }

    [Theory]
    [InlineData(0, "1s")]
    [InlineData(1, "2m")]
    [InlineData(2, "6h")]
    [InlineData(3, "more")]
    public void Buckets_are_named_by_their_upper_bound(int bucket, string expected) =>
        LabelText.OfBucket([1_000, 120_000, 21_600_000], bucket).ShouldBe(expected);
}
