using Millrace.TestKit.Conformance;
using Millrace.TestKit.Simulation;

namespace Millrace.SystemTests.Conformance;

/// <summary>Random values through a live vmagent that rounds, beside the gateway with the converted flags.</summary>
public sealed class RoundingTests
{
    private const int Values = 2_000;

    [Theory]
    [InlineData(3, 100)]
    [InlineData(7, 100)]
    [InlineData(17, 100)]
    [InlineData(0, 0)]
    [InlineData(0, 4)]
    [InlineData(0, -3)]
    [InlineData(5, 2)]
    public async Task Rounds_to_the_same_bits_and_labels_alike(int figures, int digits)
    {
        await using var both = await SideBySide.StartAsync(
            new Dictionary<string, string>(), "", "-remoteWrite.forcePromProto",
            $"-remoteWrite.significantFigures={figures}", $"-remoteWrite.roundDigits={digits}",
            "-remoteWrite.label=site=a$1", "-remoteWrite.label=n=x");
        var random = new Random(figures * 1_000 + digits);
        var nowMs = LiveVmagent.NowMs;
        var series = PlainSeries.Of((PlainSeries.MetricName, "m"), ("n", "1"));
        var samples = Enumerable.Range(0, Values)
            .Select(i => new PlainSample(series, nowMs - 10L * (Values - i), Value(random))).ToArray();
        foreach (var part in samples.Chunk(1_000))
        {
            await both.PushAsync(part);
        }
        await both.WaitForAsync(Values, Values);

        var expected = both.Sink.ReceivedBy(SideBySide.Vmagent);
        var actual = both.Sink.ReceivedBy(SideBySide.Millrace).ToDictionary(sample => sample.TimestampMs);
        expected.Count.ShouldBe(Values);
        var sent = samples.ToDictionary(sample => sample.TimestampMs);
        foreach (var sample in expected)
        {
            var ours = actual[sample.TimestampMs];
            ours.Bits.ShouldBe(
                sample.Bits, $"{sent[sample.TimestampMs].Value:R}: vmagent {sample.Value:R}, here {ours.Value:R}");
            ours.Series.Text.ShouldBe(sample.Series.Text);
        }
    }

    private static double Value(Random random) => random.Next(8) switch
    {
        0 => random.Next(-1_000_000, 1_000_000),
        1 => random.NextDouble(),
        2 => random.Next(-1_000_000, 1_000_000) / 1_000.0,
        3 => random.NextDouble() * Math.Pow(10, random.Next(-12, 18)),
        4 => -random.NextDouble() * Math.Pow(10, random.Next(-100, 100)),
        5 => random.NextInt64(),
        6 => random.Next(100) / 8.0,
        _ => 0,
    };
}
