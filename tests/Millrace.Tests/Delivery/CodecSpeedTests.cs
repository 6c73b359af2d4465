using Millrace.Delivery;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Protocols.Compression;
using Random = System.Random;

namespace Millrace.Tests.Delivery;

/// <summary>
/// Speed of the codecs against their goals; for an optimised build on a quiet machine, so only where
/// <c>MILLRACE_MEASURE=1</c> asks for it.
/// </summary>
public class CodecSpeedTests
{
    private const long T0 = 1_700_000_000_000;

    [Fact]
    public void Snappy_is_as_fast_as_the_budget_assumes()
    {
        RequireMeasuring();
        var (_, builder, series) = BlockBuilderTests.Pods(podCount: 11);
        foreach (var one in series)
        {
            builder.Add(one, T0, one * 0.25);
        }
        var ours = BlockBuilderTests.Seal(builder);
        var body = SnappyTests.Decode(ours);
        var senders = SnappyTests.Encode(body);
        var target = new byte[Snappy.MaxEncodedLength(body.Length)];

        var decodeOurs = BytesPerSecond(body.Length, () => Snappy.TryDecode(ours, target));
        var decodeSenders = BytesPerSecond(body.Length, () => Snappy.TryDecode(senders, target));
        var encode = BytesPerSecond(body.Length, () => Snappy.Encode(body, target) > 0);
        Console.Error.WriteLine(
            $"snappy: decode {decodeOurs / 1e9:F2} GB/s (own blocks), {decodeSenders / 1e9:F2} (encoded whole, "
            + $"{senders.Length / (double)series.Length:F1} B/sample); encode {encode / 1e9:F2} GB/s");
        decodeOurs.ShouldBeGreaterThan(1.4e9);
        decodeSenders.ShouldBeGreaterThan(1.4e9);
        encode.ShouldBeGreaterThan(0.6e9);
    }

    [Fact]
    public void A_known_series_is_added_in_15_ns()
    {
        RequireMeasuring();
        var (_, builder, series) = BlockBuilderTests.Pods(podCount: 220);
        var time = T0;
        var warm = SecondsPerRound(() => Fill(builder, series, ++time)) / series.Length * 1e9;
        var oneBlock = series[..9000];
        var hot = SecondsPerRound(() => Fill(builder, oneBlock, ++time)) / oneBlock.Length * 1e9;
        var withStart = SecondsPerRound(() => Fill(builder, oneBlock, ++time, T0)) / oneBlock.Length * 1e9;
        var orders = new[] { [.. oneBlock], (int[])[.. oneBlock] };
        new Random(1).Shuffle(orders[0]);
        new Random(2).Shuffle(orders[1]);
        var turn = 0;
        var rebuilt = SecondsPerRound(() => Fill(builder, orders[turn++ & 1], ++time)) / oneBlock.Length * 1e9;
        Console.Error.WriteLine(
            $"block builder: {warm:F1} ns a sample over {series.Length} series, {hot:F1} ns over {oneBlock.Length}, "
            + $"{withStart:F1} ns with start; {rebuilt:F0} ns when the order changes each time");
        hot.ShouldBeLessThan(15);
    }

    [Fact]
    public void Another_protocol_costs_less_than_half_a_microsecond_a_sample()
    {
        RequireMeasuring();
        var (_, builder, series) = BlockBuilderTests.Pods(podCount: 20);
        foreach (var one in series)
        {
            builder.Add(one, T0, one * 0.25, T0 - 5000);
        }
        var block = BlockBuilderTests.Seal(builder);
        var transcoder = new RemoteWriteTranscoder();
        byte[] body = [];
        var lengths = new int[3];
        var v2 = SecondsPerRound(() =>
            transcoder.TryToV2(block, null, ref body, out lengths[0], out _).ShouldBeTrue()) / series.Length * 1e9;
        var plain = SecondsPerRound(() =>
            transcoder.TryToPlainV1(block, ref body, out lengths[1]).ShouldBeTrue()) / series.Length * 1e9;
        var zstd = SecondsPerRound(() =>
            transcoder.TryToVictoriaMetrics(block, ref body, out lengths[2]).ShouldBeTrue()) / series.Length * 1e9;
        Console.Error.WriteLine(
            $"transcoder: 2.0 {v2:F0} ns a sample ({lengths[0] / (double)series.Length:F1} B), "
            + $"plain 1.0 {plain:F0} ns ({lengths[1] / (double)series.Length:F1} B), "
            + $"zstd {zstd:F0} ns ({lengths[2] / (double)series.Length:F1} B)");
        v2.ShouldBeLessThan(500);
    }

    private static void RequireMeasuring() => Assert.SkipUnless(
        Environment.GetEnvironmentVariable("MILLRACE_MEASURE") == "1", "Measures only with MILLRACE_MEASURE=1.");

    private static void Fill(BlockBuilder builder, int[] series, long timestampMs, long startTimestampMs = 0)
    {
        foreach (var one in series)
        {
            if (builder.Add(one, timestampMs, one, startTimestampMs) != AddResult.Added)
            {
                builder.Seal(out _);
                builder.Add(one, timestampMs, one, startTimestampMs);
            }
        }
        builder.Seal(out _);
    }

    private static double BytesPerSecond(int sizeBytes, Func<bool> action) =>
        sizeBytes / SecondsPerRound(() => action().ShouldBeTrue());

    /// <summary>
    /// CPU time of the process, because the budgets are in it and other processes disturb it less; the best of some
    /// repetitions, the first of which are the JIT's.
    /// </summary>
    private static double SecondsPerRound(Action action)
    {
        var best = double.MaxValue;
        for (var repetition = 0; repetition < 8; repetition++)
        {
            var rounds = 0;
            var start = Environment.CpuUsage.TotalTime;
            TimeSpan elapsed;
            do
            {
                action();
                rounds++;
                elapsed = Environment.CpuUsage.TotalTime - start;
            }
            while (elapsed.TotalSeconds < 0.25);
            best = Math.Min(best, elapsed.TotalSeconds / rounds);
        }
        return best;
    }
}
