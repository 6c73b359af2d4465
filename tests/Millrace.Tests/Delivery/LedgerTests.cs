using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

public sealed class LedgerTests
{
    private static readonly string[] Texts =
        ["", "out of order sample", "duplicate sample for timestamp", "too old sample", "out of bounds", "far in the future"];

    private static readonly int[] Statuses = [200, 204, 301, 400, 400, 400, 404, 409, 413, 415, 422, 429, 500, 503, 504];

    /// <summary>Whatever a backend answers, the samples are accounted for at every moment, and all leave in the end.</summary>
    [Fact]
    public void Every_sample_is_queued_once_and_leaves_once() =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), Run).Check(Config.QuickThrowOnFailure.WithMaxTest(100));

    private static void Run(int seed)
    {
        var random = new Random(seed);
        using var rig = new DestinationRig(
            DestinationRig.Plain with
            {
                Protocol = (RemoteWriteProtocol)random.Next(4),
                QueueMemoryBytes = random.Next(3) == 0 ? 200 : 100_000,
                QueueMaxBytes = random.Next(3) == 0 ? 1_000 : 1 << 20,
                QueueMaxAge = random.Next(3) == 0 ? TimeSpan.FromSeconds(20) : TimeSpan.FromHours(24),
            },
            new(Millrace.TestKit.BackendKind.VictoriaMetrics), seed);
        var outstanding = new List<Sending>();
        var queued = 0L;
        for (var round = 1; round <= 150; round++)
        {
            for (var i = random.Next(4); i > 0; i--)
            {
                var samples = new (string, long, double)[random.Next(1, 6)];
                for (var s = 0; s < samples.Length; s++)
                {
                    samples[s] = ($"m{random.Next(4)}", rig.NowMs + random.Next(-9_000_000, 900_000), s);
                }
                queued += samples.Length;
                rig.OfferRaw(random.Next(4), round * 10 + 4 - i, samples);
            }
            if (random.Next(5) == 0)
            {
                queued += 2;
                rig.OfferGroup((random.Next(4), "o", rig.NowMs, 1), (random.Next(4), "p", rig.NowMs, 1));
            }
            rig.NowMs += random.Next(3_000);
            while (random.Next(4) > 0 && rig.Destination.TryTakeDue(rig.NowMs, out var sending))
            {
                outstanding.Add(sending);
            }
            while (outstanding.Count > 0 && random.Next(3) > 0)
            {
                Answer(outstanding, random.Next(outstanding.Count), RandomResult(random), rig);
            }
            rig.Counters.Queued.ShouldBe(queued);
            if (random.Next(40) == 0 && outstanding.Count == 0)
            {
                rig.Restart();
                // Of a block sent in parts the parts already counted come again with the whole: one block per lane.
                // So do blocks that the size bound took from behind a request that was out.
                var again = 4 * 5 + rig.Counters.DroppedByReason[(int)DropReason.QueueFull];
                rig.Counters.Queued.ShouldBeInRange(queued, queued + again);
                queued = rig.Counters.Queued;
            }
        }
        while (rig.Counters.Pending > 0)
        {
            rig.NowMs += 60_000;
            while (rig.Destination.TryTakeDue(rig.NowMs, out var sending))
            {
                outstanding.Add(sending);
            }
            while (outstanding.Count > 0)
            {
                Answer(outstanding, 0, SendResult.WrittenBy(204, outstanding[0].SampleCount), rig);
            }
        }
        rig.Counters.Queued.ShouldBe(queued);
        rig.Destination.MemoryBytes.ShouldBe(0);
        rig.Destination.StoredBytes(Feed.Raw).ShouldBe(0);
        rig.Destination.StoredBytes(Feed.Outputs).ShouldBe(0);
    }

    private static void Answer(List<Sending> outstanding, int which, SendResult result, DestinationRig rig)
    {
        var sending = outstanding[which];
        outstanding.RemoveAt(which);
        rig.Destination.Complete(sending, result, rig.NowMs);
    }

    private static SendResult RandomResult(Random random) => random.Next(10) switch
    {
        0 => SendResult.NetworkError,
        1 => SendResult.Timeout,
        _ => new SendResult
        {
            StatusCode = Statuses[random.Next(Statuses.Length)],
            Body = Texts[random.Next(Texts.Length)],
            Written = random.Next(2) == 0 ? null : new WrittenCounts(random.Next(7), random.Next(2), 0),
            RetryAfter = random.Next(5) == 0 ? TimeSpan.FromSeconds(random.Next(-5, 100)) : null,
        },
    };
}
