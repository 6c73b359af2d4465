using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Tests.Protocols.RemoteWrite;

public sealed class RemoteWriteV1DecoderTests
{
    private static readonly SeriesModel Up =
        new(SeriesModel.LabelsOf("__name__", "up", "job", "api")) { Samples = [new(RemoteWriteBodies.Now, 1)] };

    private readonly RecordingSink.Record _record = new();

    [Fact]
    public void Tells_every_series_and_sample_in_order()
    {
        var series = RemoteWriteBodies.Scrape(50).ToList();

        Decode(RemoteWriteBodies.V1(series)).ShouldBe(series.SelectMany(s => s.Lines()));
    }

    [Fact]
    public void Known_series_are_taken_without_parsing_and_tell_the_same()
    {
        var series = RemoteWriteBodies.Scrape(50).ToList();
        var body = RemoteWriteBodies.V1(series);
        var first = Decode(body);

        Decode(body).ShouldBe(first);
        _record.Hits.ShouldBe(50);
    }

    [Theory]
    [InlineData(1L)]
    [InlineData(-1L)]
    [InlineData(0L)]
    [InlineData((1L << 35) - 1)]
    [InlineData(1L << 35)]
    [InlineData((1L << 42) - 1)]
    [InlineData(1L << 42)]
    [InlineData(long.MaxValue)]
    public void Timestamps_of_every_size_are_read_whether_the_series_is_known_or_not(long timestampMs)
    {
        var series = Up with { Samples = [new(timestampMs, double.NegativeInfinity)] };
        var body = RemoteWriteBodies.V1(series);

        Decode(body).ShouldBe(series.Lines());
        Decode(body).ShouldBe(series.Lines());
        _record.Hits.ShouldBe(1);
    }

    [Fact]
    public void The_mark_for_the_arrival_cannot_be_sent()
    {
        Decode(RemoteWriteBodies.V1(Up with { Samples = [new(long.MinValue, 1)] }))[1]
            .ShouldBe("sample -9223372036854775807 1 start 0");
    }

    [Fact]
    public void Takes_several_samples_with_start_timestamps_histograms_and_exemplars()
    {
        var series = Up with
        {
            Samples = [new(RemoteWriteBodies.Now, 1), new(RemoteWriteBodies.Now + 1, 0, 77), new(0, 2)],
            Histograms = [(RemoteWriteBodies.Now, 4.5)],
            Exemplars = [new(SeriesModel.LabelsOf("trace_id", "abc"), 0.25, RemoteWriteBodies.Now), new([], 1, 2)],
        };
        var body = RemoteWriteBodies.V1(series);

        Decode(body).ShouldBe(series.Lines());
        Decode(body).ShouldBe(series.Lines());
    }

    [Fact]
    public void A_stale_marker_keeps_its_bits()
    {
        var stale = BitConverter.UInt64BitsToDouble(0x7ff0000000000002);

        Decode(RemoteWriteBodies.V1(Up with { Samples = [new(1, stale)] }))[1]
            .ShouldBe("sample 1 nan:7ff0000000000002 start 0");
    }

    [Fact]
    public void Fields_may_stand_in_any_order_and_unknown_ones_are_skipped()
    {
        var body = new WireWriter()
            .Varint(1000, 1)
            .Message(1, m =>
            {
                m.Message(2, s => s.Varint(2, 5).Varint(9, 1).Double(1, 3).Text(10, "?"));
                RemoteWriteBodies.WriteLabel(m, new("__name__", "up"));
                m.Raw(0x7D, 1, 2, 3, 4).Double(16, 1);
                m.Message(1, l => l.Text(2, "api").Text(1, "job").Text(3, "new"));
            })
            .ToArray();

        Decode(body).ShouldBe(["series __name__=up,job=api", "sample 5 3 start 0"]);
    }

    [Fact]
    public void Labels_written_in_another_form_give_the_same_block()
    {
        Decode(RemoteWriteBodies.V1(Up));
        var scattered = new WireWriter().Message(1, m =>
        {
            m.Message(1, l => l.Text(1, "__name__").Text(2, "up"));
            m.Message(2, s => s.Varint(2, 5));
            m.Message(1, l => l.Text(2, "api").Text(1, "job"));
        });

        Decode(scattered.ToArray());
        _record.Known.Count.ShouldBe(1);
    }

    [Fact]
    public void Metadata_stands_beside_the_series()
    {
        var body = new WireWriter()
            .Message(3, m => m.Varint(1, 1).Text(2, "up").Text(4, "Is it?").Text(5, "s"))
            .Message(3, m => m.Varint(1, 99).Text(2, "new"))
            .ToArray();

        Decode(body).ShouldBe(["metadata up Counter 'Is it?' 's'", "metadata new Unknown '' ''"]);
    }

    [Fact]
    public void A_histogram_that_contradicts_itself_is_refused_alone()
    {
        var body = new WireWriter().Message(1, m =>
        {
            RemoteWriteBodies.WriteLabel(m, new("__name__", "h"));
            m.Message(4, h => h.Varint(1, 99).Varint(15, 7)).Bytes(4, RemoteWriteBodies.Histogram(8, 1));
        });

        var lines = Decode(body.ToArray());
        lines[1].ShouldBe("refused 0 1 0: a histogram's count differs from the sum of its buckets");
        lines[2].ShouldStartWith("histogram 8 ");
    }

    [Fact]
    public void A_label_value_that_looks_like_a_sample_is_not_taken_for_one()
    {
        // Without samples, the last 18 bytes of the message belong to the value.
        var fake = new WireWriter().Message(2, s => s.Double(1, 1).Varint(2, RemoteWriteBodies.Now)).ToArray();
        var body = new WireWriter()
            .Message(1, m => m.Message(1, l => l.Text(1, "a").Bytes(2, fake)))
            .ToArray();
        fake.Length.ShouldBe(18);

        Decode(body).Count.ShouldBe(1);
    }

    [Theory]
    [InlineData("0A05", 1, "a length reaches past the end of its message")]
    [InlineData("0A818080808080808080", 1, "a number is cut off")]
    [InlineData("0A8000", 1, "a number is longer than it needs to be")]
    [InlineData("08FFFFFFFFFFFFFFFFFF02", 1, "a known field has the wrong wire type")]
    [InlineData("A006FFFFFFFFFFFFFFFFFF02", 2, "a number has more than 64 bits")]
    [InlineData("4B4C", 1, "a field has a wire type that is not supported")]
    [InlineData("0200", 0, "a field number is out of range")]
    [InlineData("0A020A05", 3, "a length reaches past the end of its message")]
    [InlineData("0A031201FF", 4, "a number is cut off")]
    [InlineData("0A0412020901", 5, "a 64-bit value is cut off")]
    [InlineData("0A06120410808000", 5, "a number is longer than it needs to be")]
    [InlineData("0A021000", 3, "a known field has the wrong wire type")]
    [InlineData("0A040A020A05", 5, "a length reaches past the end of its message")]
    [InlineData("2200", 1, "this is a remote write 2.0 body, but its Content-Type says 1.0")]
    public void A_malformed_body_is_refused_with_place_and_reason(string hex, int offset, string reason)
    {
        var sink = new RecordingSink(_record);

        RemoteWriteV1Decoder.TryDecode(
            Convert.FromHexString(hex), ref sink, DecodeLimits.Default, out var error).ShouldBeFalse();
        error.ShouldBe($"The remote write 1.0 body is malformed at byte {offset}: {reason}.");
    }

    [Fact]
    public void Every_truncation_of_a_body_is_refused_or_ends_between_two_series()
    {
        var series = RemoteWriteBodies.Scrape(2).ToList();
        var body = RemoteWriteBodies.V1(series);
        var boundary = RemoteWriteBodies.V1(series[0]).Length;
        for (var length = 0; length < body.Length; length++)
        {
            var sink = default(CountingSink) with { KnowsNothing = true };
            RemoteWriteV1Decoder.TryDecode(body.AsSpan(0, length), ref sink, DecodeLimits.Default, out _)
                .ShouldBe(length == 0 || length == boundary);
        }
    }

    [Fact]
    public void The_number_of_series_is_bounded()
    {
        var sink = default(CountingSink);

        RemoteWriteV1Decoder.TryDecode(
            RemoteWriteBodies.V1(RemoteWriteBodies.Scrape(4)), ref sink, new DecodeLimits { MaxSeries = 3 },
            out var error)
            .ShouldBeFalse();
        error.ShouldContain("more series than one request may");
    }

    [Fact]
    public void Known_series_cost_no_allocation()
    {
        var several = Up with { Samples = [new(1, 1), new(2, 2, 1)], Histograms = [(1, 1)] };
        var body = RemoteWriteBodies.V1([.. RemoteWriteBodies.Scrape(1000), several]);

        Allocations.Of(() =>
        {
            var sink = default(CountingSink);
            RemoteWriteV1Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out _).ShouldBeTrue();
            return sink.Samples;
        }).ShouldBe((1002, 0));
    }

    private List<string> Decode(byte[] body)
    {
        _record.Lines.Clear();
        var sink = new RecordingSink(_record);
        RemoteWriteV1Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
        return [.. _record.Lines];
    }
}
