using Millrace.Aggregation.Histograms;
using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Protocols;
using WireWriter = Millrace.Tests.Protocols.WireWriter;

namespace Millrace.Tests.Aggregation.Histograms;

public sealed class HistogramCodecTests
{
    [Fact]
    public void What_is_written_is_read_again_and_valid_to_a_receiver()
    {
        var random = new Random(1);
        for (var round = 0; round < 2_000; round++)
        {
            var histogram = Histograms.Random(random);
            var message = HistogramCodec.Write(histogram);
            HistogramCodec.TryRead(message, 0, out var read).ShouldBeTrue();
            Histograms.Text(read).ShouldBe(Histograms.Text(histogram));
            var reader = new FieldReader(message);
            var seen = HistogramMessage.Read(ref reader);
            reader.IsFaulty.ShouldBeFalse();
            // Sums of integers are checked; those of floats are not, and here a count need not agree with them.
            seen.Defect.ShouldBeNull($"{Histograms.Text(histogram)}");
        }
    }

    [Fact]
    public void Reads_what_a_sender_writes()
    {
        HistogramCodec.TryRead(RemoteWriteBodies.Histogram(1_000, 5.5), 0, out var packed).ShouldBeTrue();
        Histograms.Text(packed).ShouldBe("0/0.001 count 4 sum 5.5 zero 1 [-2:1 -1:2] [] False Unknown");

        var unpacked = new WireWriter().Double(2, 3.5).Double(3, 1).SInt(4, -53)
            .Message(11, span => span.Varint(2, 2)).Double(13, 1.5).Double(13, 2).Double(16, 0.5).Varint(17, 77)
            .ToArray();
        HistogramCodec.TryRead(unpacked, 0, out var custom).ShouldBeTrue();
        Histograms.Text(custom).ShouldBe("-53/0 count 3.5 sum 1 zero 0 [0:1.5 1:2] []0.5 True Unknown");
        custom.StartMs.ShouldBe(77);
    }

    [Fact]
    public void A_stale_marker_is_no_histogram()
    {
        var stale = BitConverter.UInt64BitsToDouble(0x7FF0000000000002);
        HistogramCodec.TryRead(new WireWriter().Double(3, stale).ToArray(), 0, out _).ShouldBeFalse();
        HistogramCodec.TryRead(new WireWriter().Double(3, double.NaN).ToArray(), 0, out _).ShouldBeTrue();
    }
}
