using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Tests.Protocols.RemoteWrite;

public sealed class HistogramMessageTests
{
    [Fact]
    public void The_histograms_of_the_compliance_suite_are_good()
    {
        DefectOf(h => Exponential(h, count: 27)).ShouldBeEmpty();
        DefectOf(h => Custom(h)).ShouldBeEmpty();
        DefectOf(h => h.Varint(1, 0)).ShouldBeEmpty();
        DefectOf(_ => { }).ShouldBeEmpty();
    }

    [Fact]
    public void A_count_that_is_not_the_sum_of_the_buckets_is_a_defect_unless_NaN_was_observed()
    {
        DefectOf(h => Exponential(h, count: 99)).ShouldContain("differs from the sum");
        DefectOf(h => Exponential(h, count: 99).Double(3, double.NaN)).ShouldBeEmpty();
        DefectOf(h => Exponential(h, count: 26).Double(3, double.NaN)).ShouldContain("smaller than its buckets");
    }

    [Fact]
    public void Float_histograms_are_not_held_to_their_count()
    {
        DefectOf(h => h.Double(2, 99).Message(11, s => s.Varint(2, 2)).PackedDoubles(13, 1.5, 2)).ShouldBeEmpty();
        DefectOf(h => h.Double(2, 99).Message(11, s => s.Varint(2, 2)).Double(13, 1.5).Double(13, -2))
            .ShouldContain("negative bucket");
        DefectOf(h => h.Double(2, -1)).ShouldContain("negative count");
    }

    [Fact]
    public void Spans_and_buckets_must_fit_each_other()
    {
        DefectOf(h => h.Varint(1, 1).Message(8, s => s.Varint(2, 2)).Packed(9, WireWriter.ZigZag(1)))
            .ShouldContain("another number of buckets");
        DefectOf(h => h.Varint(1, 2).Message(8, s => s.Varint(2, 1)).Message(8, s => s.SInt(1, -1).Varint(2, 1))
            .Packed(9, WireWriter.ZigZag(1), 0)).ShouldContain("goes back");
        DefectOf(h => h.Varint(1, 0).Message(8, s => s.Varint(2, 1)).SInt(9, -1)).ShouldContain("negative bucket");
    }

    [Theory]
    [InlineData(-5)]
    [InlineData(9)]
    [InlineData(-54)]
    public void Schemas_that_nobody_knows_are_a_defect(int schema)
    {
        DefectOf(h => h.SInt(4, schema)).ShouldContain("schema");
    }

    [Fact]
    public void Custom_bounds_must_rise_and_hold_the_buckets()
    {
        DefectOf(h => Custom(h).Double(16, 10)).ShouldContain("do not rise");
        DefectOf(h => Custom(h).Double(16, double.PositiveInfinity)).ShouldContain("+Inf");
        DefectOf(h => Custom(h).Double(16, double.NaN)).ShouldContain("do not rise");
        DefectOf(h => Custom(h).Message(11, s => s.Varint(2, 2)).SInt(12, 0).SInt(12, 0))
            .ShouldContain("outside of its custom bounds");
        DefectOf(h => Custom(h).Varint(6, 1)).ShouldContain("zero buckets");
        DefectOf(h => h.Varint(1, 0).Double(16, 1)).ShouldContain("custom bounds");
    }

    [Fact]
    public void A_malformed_histogram_is_a_fault_of_the_reader()
    {
        var reader = new FieldReader([0x62, 0x01, 0x80]);

        HistogramMessage.Read(ref reader);
        reader.Fault.ShouldBe("a number is cut off");
        reader.FaultOffset.ShouldBe(2);
    }

    private static WireWriter Exponential(WireWriter h, ulong count) => h
        .Varint(1, count).Double(3, 1).Varint(6, 1)
        .Message(8, s => s.Varint(2, 2)).Packed(9, WireWriter.ZigZag(1), WireWriter.ZigZag(1))
        .Message(11, s => s.Varint(2, 3)).Message(11, s => s.SInt(1, 2).Varint(2, 2))
        .Packed(12, new long[] { 1, 2, 1, 3, 1 }.Select(WireWriter.ZigZag));

    private static WireWriter Custom(WireWriter h) => h
        .Varint(1, 30).Double(3, 1).SInt(4, -53)
        .Message(11, s => s.Varint(2, 6))
        .Packed(12, new long[] { 2, 1, 2, 3, -1, -2 }.Select(WireWriter.ZigZag))
        .PackedDoubles(16, 0.1, 0.5, 1, 2.5, 5, 10);

    private static string DefectOf(Action<WireWriter> write)
    {
        var writer = new WireWriter();
        write(writer);
        var reader = new FieldReader(writer.ToArray());
        var histogram = HistogramMessage.Read(ref reader);
        reader.Fault.ShouldBeNull();
        return histogram.Defect ?? "";
    }
}
