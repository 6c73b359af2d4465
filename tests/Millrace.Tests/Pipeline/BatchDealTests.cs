using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Memory;
using Millrace.Pipeline;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Pipeline;

public sealed class BatchDealTests
{
    private const long NowMs = 1_760_000_000_000;

    private const string Yaml = """
        aggregation:
          tasks: {count: 4}
          rules:
          - {match: 'requests_total', interval: 1m, without: [pod], outputs: [total]}
          - {match: 'requests_total', interval: 1m, by: [pod], outputs: [increase]}
        relabel_configs: [{action: drop, source_labels: [__name__], regex: noise}]
        routes: [{name: all, keep_input: true}]
        destinations:
        - {name: storage, remote_write: {url: 'http://127.0.0.1:1/'}, lanes: 3}
        """;

    private readonly BatchDeal _deal = new();
    private readonly DecodedBatch _batch = new();

    [Fact]
    public void Every_sample_has_exactly_one_fate()
    {
        Deal(
            Sample("requests_total", "a", NowMs), Sample("up", "a", NowMs), Sample("noise", "a", NowMs),
            Sample("requests_total", "a", NowMs - 3_600_001), Sample("up", "a", NowMs + 300_001));
        var ledger = _deal.Ledger;
        ledger.Samples.ShouldBe(5);
        ledger.Aggregated.ShouldBe(1);
        ledger.ForwardedOnly.ShouldBe(1);
        ledger.Relabeled.ShouldBe(1);
        ledger.TooOld.ShouldBe([0, 1, 0, 0]);
        ledger.TooFarAhead.ShouldBe(1);
    }

    [Fact]
    public void Each_task_and_each_lane_gets_its_samples_in_the_order_of_the_batch()
    {
        var samples = new List<PlainSample>();
        for (var i = 0; i < 100; i++)
        {
            samples.Add(Sample("requests_total", $"pod{i % 7}", NowMs + i));
        }
        Deal([.. samples]);
        var times = new List<long>();
        for (var task = 0; task < 4; task++)
        {
            var last = 0L;
            foreach (ref readonly var sample in _deal.ForTask(task))
            {
                ((int)_batch.Cache.PlaceOf(sample.Target).Task).ShouldBe(task);
                sample.TimeMs.ShouldBeGreaterThanOrEqualTo(last); // a sample may be there for both rules
                last = sample.TimeMs;
                times.Add(sample.TimeMs);
            }
        }
        times.Count.ShouldBe(200);
        times.GroupBy(time => time).ShouldAllBe(same => same.Count() == 2);

        var ordinals = new List<int>();
        for (var lane = 0; lane < 3; lane++)
        {
            var last = -1;
            foreach (ref readonly var sample in _deal.ForLane(lane))
            {
                sample.Ordinal.ShouldBeGreaterThan(last);
                sample.TimeMs.ShouldBe(NowMs + sample.Ordinal);
                last = sample.Ordinal;
                ordinals.Add(last);
            }
        }
        ordinals.Order().ShouldBe(Enumerable.Range(0, 100));
    }

    [Fact]
    public void Dealing_again_forgets_what_was_dealt_before()
    {
        Deal(Sample("requests_total", "a", NowMs), Sample("requests_total", "b", NowMs));
        Deal(Sample("up", "a", NowMs));
        Enumerable.Range(0, 4).Sum(task => _deal.ForTask(task).Length).ShouldBe(0);
        Enumerable.Range(0, 3).Sum(lane => _deal.ForLane(lane).Length).ShouldBe(1);
        _deal.Ledger.Samples.ShouldBe(1);
    }

    private void Deal(params PlainSample[] samples)
    {
        var config = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? Yaml : null).Config!;
        DestinationConfig[] destinations = [.. config.Destinations];
        var generation = new Generation(config, destinations, new KeyedHash(new Random(1)));
        new BodyDecoder().Decode(
            PlainRemoteWrite.Encode(samples), new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy),
            generation, BodyLimits.None, _batch, out _).ShouldBe(DecodeOutcome.Ok);
        _deal.Deal(_batch, NowMs, taskCount: 4, laneCount: 3);
    }

    private static PlainSample Sample(string metric, string pod, long timestampMs) =>
        new(PlainSeries.Of((PlainSeries.MetricName, metric), ("pod", pod)), timestampMs, 1);
}
