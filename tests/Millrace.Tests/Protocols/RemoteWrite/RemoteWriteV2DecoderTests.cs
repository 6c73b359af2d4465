using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Tests.Protocols.RemoteWrite;

public sealed class RemoteWriteV2DecoderTests
{
    private const string Name = "__name__";

    private readonly RecordingSink.Record _record = new();

    [Fact]
    public void Tells_what_remote_write_1_tells_with_the_same_label_bytes()
    {
        var series = RemoteWriteBodies.Scrape(50).ToList();
        series.Add(new SeriesModel(SeriesModel.LabelsOf(Name, "h"))
        {
            Histograms = [(RemoteWriteBodies.Now, 4.5)],
            Exemplars = [new(SeriesModel.LabelsOf("trace_id", "abc"), 0.25, RemoteWriteBodies.Now), new([], 1, 2)],
        });
        var sink = new RecordingSink(_record);
        RemoteWriteV1Decoder.TryDecode(
            RemoteWriteBodies.V1(series), ref sink, DecodeLimits.Default, out _).ShouldBeTrue();
        var lines = _record.Lines.ToArray();

        Decode(RemoteWriteBodies.V2(series)).ShouldBe(lines);
        _record.Hits.ShouldBe(51);
    }

    [Fact]
    public void A_created_timestamp_of_the_series_is_the_start_of_samples_that_name_none()
    {
        var body = Body(["", Name, "up"], m => m
            .Packed(1, 1, 2)
            .Message(2, s => s.Double(1, 1).Varint(2, RemoteWriteBodies.Now))
            .Message(2, s => s.Double(1, 2).Varint(2, 6).Varint(3, 4))
            .Varint(6, 3));

        Decode(body).ShouldBe(["series __name__=up", "sample 1760000000000 1 start 3", "sample 6 2 start 4"]);
    }

    [Fact]
    public void A_start_timestamp_of_a_histogram_goes_before_the_created_one()
    {
        var body = Body(["", Name, "h"], m => m
            .Packed(1, 1, 2)
            .Message(3, h => h.Varint(1, 0).Varint(15, 9).Varint(17, 4))
            .Message(3, h => h.Varint(1, 0).Varint(15, 10))
            .Varint(6, 3));

        var lines = Decode(body);
        lines[1].ShouldEndWith("start 4");
        lines[2].ShouldEndWith("start 3");
    }

    [Fact]
    public void References_may_be_packed_unpacked_or_split_and_symbols_may_come_last()
    {
        var body = new WireWriter()
            .Message(5, m => m
                .Message(2, s => s.Varint(2, 5))
                .Varint(1, 1).Packed(1, 2, 3).Packed(1).Varint(1, 4))
            .Text(4, "").Text(4, Name).Text(4, "up").Text(4, "job").Text(4, "api")
            .ToArray();

        Decode(body).ShouldBe(["series __name__=up,job=api", "sample 5 0 start 0"]);
    }

    [Fact]
    public void Metadata_is_told_once_for_the_series_of_a_family()
    {
        void Series(WireWriter m, ulong name, ulong help) => m
            .Packed(1, 1, name)
            .Message(2, s => s.Varint(2, 5))
            .Message(5, w => w.Varint(1, 1).Varint(3, help).Varint(4, 5));
        var body = Body(
            ["", Name, "a", "b", "Help.", "seconds"],
            m => Series(m, 2, 4), m => Series(m, 2, 4), m => Series(m, 3, 4), m => Series(m, 3, 0));

        Decode(body).Where(line => line.StartsWith("metadata", StringComparison.Ordinal)).ShouldBe([
            "metadata a Counter 'Help.' 'seconds'", "metadata b Counter 'Help.' 'seconds'",
            "metadata b Counter '' 'seconds'"]);
    }

    [Theory]
    [InlineData("out of range", "a reference leads outside of the symbol table")]
    [InlineData("odd", "a series or exemplar has a label name without a value")]
    [InlineData("both", "a series holds samples and histograms")]
    [InlineData("nothing", "a series holds neither samples nor histograms")]
    public void A_series_with_a_defect_is_refused_with_its_counts_and_the_rest_goes_on(string defect, string reason)
    {
        ulong[] references = defect switch
        {
            "out of range" => [1, 2, 1, 3],
            "odd" => [1, 2, 1],
            _ => [1, 2],
        };
        var body = Body(
            ["", Name, "up"],
            m =>
            {
                m.Packed(1, references).Bytes(5);
                if (defect == "nothing")
                {
                    return;
                }
                m.Message(2, s => s.Varint(2, 5)).Message(2, s => s.Varint(2, 6));
                m.Message(4, e => e.Double(2, 1));
                if (defect == "both")
                {
                    m.Message(3, h => h.Varint(1, 0));
                }
            },
            m => m.Packed(1, 1, 2).Message(2, s => s.Varint(2, 7)));

        var counts = defect switch { "nothing" => "0 0 0", "both" => "2 1 1", _ => "2 0 1" };
        Decode(body).ShouldBe([$"refused {counts}: {reason}", "series __name__=up", "sample 7 0 start 0"]);
    }

    [Fact]
    public void Exemplars_alone_and_metadata_alone_are_taken()
    {
        var body = Body(
            ["", Name, "up"],
            m => m.Packed(1, 1, 2).Message(4, e => e.Double(2, 1).Varint(3, 9)),
            m => m.Packed(1, 1, 2).Message(5, w => w.Varint(1, 2)));

        Decode(body).ShouldBe([
            "series __name__=up", "exemplar 9 1 ", "series __name__=up", "metadata up Gauge '' ''"]);
    }

    [Fact]
    public void An_exemplar_or_metadata_with_a_defect_leaves_the_samples_alone()
    {
        var body = Body(["", Name, "up"], m => m
            .Packed(1, 1, 2)
            .Message(2, s => s.Varint(2, 7))
            .Message(4, e => e.Packed(1, 1, 9))
            .Message(5, w => w.Varint(1, 1).Varint(3, 9)));

        Decode(body).ShouldBe([
            "series __name__=up", "refused 0 0 0: a reference leads outside of the symbol table",
            "sample 7 0 start 0", "refused 0 0 1: a reference leads outside of the symbol table"]);
    }

    [Theory]
    [InlineData("0A00", "this is a remote write 1.0 body, but its Content-Type says 2.0")]
    [InlineData("2A00", "the symbol table does not begin with the empty string")]
    [InlineData("220161", "the symbol table does not begin with the empty string")]
    [InlineData("2200" + "2A02" + "0A05", "a length reaches past the end of its message")]
    [InlineData("2200" + "2A03" + "0A0180", "a number is cut off")]
    [InlineData("2200" + "2A08" + "0A06" + "8080808010" + "00", "a number has more than 32 bits")]
    [InlineData("2200" + "2A02" + "1000", "a known field has the wrong wire type")]
    [InlineData("2001", "a known field has the wrong wire type")]
    [InlineData("2205", "a length reaches past the end of its message")]
    [InlineData("2200" + "2A06" + "0A00" + "1202" + "0900", "a 64-bit value is cut off")]
    public void A_malformed_body_is_refused_as_a_whole(string hex, string reason)
    {
        Fault(Convert.FromHexString(hex), DecodeLimits.Default).ShouldEndWith($": {reason}.");
    }

    [Fact]
    public void Symbols_series_and_label_bytes_are_bounded()
    {
        var body = RemoteWriteBodies.V2(RemoteWriteBodies.Scrape(4));

        Fault(body, new DecodeLimits { MaxSymbols = 5 }).ShouldContain("more symbols than one request may");
        Fault(body, new DecodeLimits { MaxSeries = 3 }).ShouldContain("more series than one request may");
        Fault(body, new DecodeLimits { MaxExpandedBytes = 300 }).ShouldContain("written out, are longer than");
    }

    [Fact]
    public void A_label_block_that_grows_too_large_refuses_its_series_only()
    {
        var body = Body(
            ["", "long", new string('x', 1000)],
            m => m.Packed(1, Enumerable.Repeat(new ulong[] { 1, 2 }, 100).SelectMany(r => r))
                .Message(2, s => s.Varint(2, 7)),
            m => m.Packed(1, 1, 1).Message(2, s => s.Varint(2, 7)));
        var sink = new RecordingSink(_record);

        RemoteWriteV2Decoder.TryDecode(body, ref sink, new DecodeLimits { MaxLabelBlockBytes = 5000 }, out _)
            .ShouldBeTrue();
        _record.Lines[0].ShouldBe("refused 1 0 0: the labels of a series are longer than allowed");
        _record.Lines[1].ShouldBe("series long=long");
    }

    [Fact]
    public void An_empty_body_holds_nothing()
    {
        Decode([]).ShouldBeEmpty();
    }

    [Fact]
    public void Known_series_cost_no_allocation()
    {
        var body = RemoteWriteBodies.V2(RemoteWriteBodies.Scrape(1000));

        Allocations.Of(() =>
        {
            var sink = default(CountingSink);
            RemoteWriteV2Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out _).ShouldBeTrue();
            return sink.Samples;
        }).ShouldBe((1000, 0));
    }

    private static byte[] Body(string[] symbols, params Action<WireWriter>[] series)
    {
        var body = new WireWriter();
        Array.ForEach(symbols, s => body.Text(4, s));
        Array.ForEach(series, s => body.Message(5, s));
        return body.ToArray();
    }

    private List<string> Decode(byte[] body)
    {
        _record.Lines.Clear();
        var sink = new RecordingSink(_record);
        RemoteWriteV2Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
        return [.. _record.Lines];
    }

    private static string Fault(byte[] body, DecodeLimits limits)
    {
        var sink = default(CountingSink);
        RemoteWriteV2Decoder.TryDecode(body, ref sink, limits, out var error).ShouldBeFalse();
        return error;
    }
}
