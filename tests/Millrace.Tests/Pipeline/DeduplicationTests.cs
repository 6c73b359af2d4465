using Millrace.Pipeline;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Protocols;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// Standalone deduplication, from the request to the backend. Close comes two seconds after the interval's end at the
/// latest (lateness <c>auto</c> begins with the interval).
/// </summary>
public sealed class DeduplicationTests
{
    private const string Destination = """
        destinations:
        - {name: s, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 2}
        """;

    private const string Global = "aggregation: {dedup_interval: 2s, drop_input_labels: [replica]}\n" + Destination;

    private static readonly double Stale = BitConverter.Int64BitsToDouble(0x7ff0000000000002);

    /// <summary>Scenario P5 of the reference.</summary>
    [Fact]
    public void Sends_one_sample_of_replicas_with_its_own_timestamp()
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        rig.Push(("d{replica=a}", 300, 1), ("d{replica=a}", 300, 5), ("d{replica=a}", 400, 2));
        rig.Push(("d{replica=b}", 350, 9));
        rig.GoTo(3_900);
        rig.Sent.ShouldBeEmpty();
        rig.GoTo(4_100);
        rig.Sent.ShouldBe(["s: d 2 @400"]);
    }

    /// <summary>Scenario P6, and what it leaves open: what survives does not depend on who came first.</summary>
    [Fact]
    public void Markers_give_way_to_numbers_of_their_time_and_numbers_to_other_nans()
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        rig.Push(("a", 300, 4), ("a", 300, Stale), ("b", 300, Stale), ("b", 300, 4), ("c", 300, 4), ("c", 301, Stale));
        rig.Push(("d", 300, double.NaN), ("d", 300, 1), ("e", 300, 1), ("e", 300, double.NaN));
        rig.GoTo(4_100);
        rig.Sent.Order().ShouldBe(["s: a 4 @300", "s: b 4 @300", "s: c NaN @301", "s: d NaN @300", "s: e NaN @300"]);
    }

    [Fact]
    public void What_came_late_or_from_the_future_is_passed_on_at_the_next_close()
    {
        var rig = new DeduplicationRig("time_window: {max_future: off}\n" + Global);
        rig.GoTo(500);
        rig.Push(("a", 300, 1), ("a", -1_800_000, 7), ("a", -1_799_000, 8), ("a", 3_600_000, 9));
        rig.GoTo(4_100);
        rig.Sent.ShouldBe(["s: a 7 @-1800000", "s: a 8 @-1799000", "s: a 1 @300", "s: a 9 @3600000"]);
        rig.Push(("a", 200, 2));
        rig.GoTo(8_100);
        rig.Sent.Skip(4).ShouldBe(["s: a 2 @200"]);
    }

    /// <summary>vmagent loses what is pending (scenario P7).</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_is_pending_survives_the_process(bool isKilled)
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        rig.Push(("a", 300, 1), ("b", 300, 1), ("b{x=1}", 300, 1));
        if (isKilled)
        {
            rig.Kill();
        }
        else
        {
            rig.StopAndStart();
        }
        rig.GoTo(700);
        rig.Push(("a", 600, 2));
        rig.GoTo(10_000);
        rig.GoTo(20_000);
        rig.Sent.Order().ShouldBe(["s: a 2 @600", "s: b 1 @300", "s: b{x=1} 1 @300"]);
    }

    [Fact]
    public void What_was_sent_is_not_sent_again_after_a_restart()
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        rig.Push(("a", 300, 1));
        rig.GoTo(4_100);
        rig.Kill();
        rig.GoTo(5_000);
        rig.Push(("a", 4_500, 2));
        rig.GoTo(20_000);
        rig.Sent.ShouldBe(["s: a 1 @300", "s: a 2 @4500"]);
    }

    [Fact]
    public void A_destination_with_an_interval_of_its_own_deduplicates_behind_its_relabeling()
    {
        var rig = new DeduplicationRig("""
            destinations:
            - name: thin
              remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
              relabel_configs: [{action: labeldrop, regex: pod}]
              dedup_interval: 4s
              drop_input_labels: [replica]
              lanes: 2
            - {name: full, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
            """);
        rig.GoTo(500);
        rig.Push(("d{pod=1,replica=a}", 300, 1), ("d{pod=2,replica=b}", 400, 2));
        rig.GoTo(3_000);
        rig.Push(("d{pod=1,replica=a}", 2_500, 3));
        rig.GoTo(12_000);
        rig.Sent.Where(line => line.StartsWith("thin", StringComparison.Ordinal)).ShouldBe(["thin: d 3 @2500"]);
        rig.Sent.Where(line => line.StartsWith("full", StringComparison.Ordinal)).Count().ShouldBe(3);
    }

    [Fact]
    public void A_destinations_longer_interval_and_the_sections_apply_together()
    {
        var rig = new DeduplicationRig("""
            aggregation: {dedup_interval: 1s}
            destinations:
            - name: slow
              remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
              dedup_interval: 2s
            - {name: fast, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}}
            """);
        rig.GoTo(100);
        rig.Push(("a", 100, 1), ("a", 900, 2), ("a", 1_100, 3), ("a", 1_900, 4), ("a", 2_100, 5));
        rig.GoTo(12_000);
        rig.Sent.Where(line => line.StartsWith("slow", StringComparison.Ordinal))
            .ShouldBe(["slow: a 4 @1900", "slow: a 5 @2100"]);
        rig.Sent.Where(line => line.StartsWith("fast", StringComparison.Ordinal))
            .ShouldBe(["fast: a 2 @900", "fast: a 4 @1900", "fast: a 5 @2100"]);
    }

    [Fact]
    public void Takes_what_routes_forward_and_leaves_alone_what_rules_take()
    {
        var rig = new DeduplicationRig("""
            aggregation:
              dedup_interval: 1s
              rules: [{match: taken, interval: 2s, outputs: [count_samples], partial_windows: emit}]
            routes:
            - {name: web, match: '{job="web"}', aggregate: false, to: [second]}
            - {name: rest, to: [first]}
            destinations:
            - {name: first, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
            - {name: second, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
            """);
        rig.GoTo(100);
        rig.Push(("taken", 100, 1), ("taken", 200, 2), ("taken", 1_200, 2), ("up", 100, 1), ("up", 200, 2));
        rig.Push(("up{job=web}", 100, 3), ("up{job=web}", 200, 4));
        rig.GoTo(12_000);
        rig.Sent.Order().ShouldBe(
            ["first: taken:2s_count_samples 2 @2000", "first: up 2 @200", "second: up{job=web} 4 @200"]);
        var ledger = rig.Pipeline.Engine.Ledger.Total;
        ledger.Aggregated.ShouldBe(7);
        ledger.ForwardedOnly.ShouldBe(0);
        rig.Pipeline.Engine.Shards.Sum(shard => shard.Counters.DedupDropped).ShouldBe(3);
    }

    [Fact]
    public void Histograms_and_exemplars_pass_and_start_timestamps_stay()
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        var t0 = DeduplicationRig.T0;
        rig.Push(
            RemoteWriteBodies.V2(
                new SeriesModel(SeriesModel.LabelsOf("__name__", "a"))
                {
                    Samples = [new(t0 + 300, 1, t0 - 5_000), new(t0 + 400, 2, t0 - 4_000)],
                    Exemplars = [new(SeriesModel.LabelsOf("trace_id", "x"), 1, t0 + 300)],
                },
                new SeriesModel(SeriesModel.LabelsOf("__name__", "h")) { Histograms = [(t0 + 300, 5)] }),
            new(BodyProtocol.RemoteWriteV2, BodyCompression.None));
        rig.GoTo(4_100);
        var lines = rig.Bodies.SelectMany(Lines).ToList();
        lines.ShouldContain($"sample {t0 + 400} {RecordingSink.Bits(2)} start {t0 - 4_000}");
        lines.Count(line => line.StartsWith("sample", StringComparison.Ordinal)).ShouldBe(1);
        lines.Count(line => line.StartsWith("histogram", StringComparison.Ordinal)).ShouldBe(1);
        lines.Count(line => line.StartsWith("exemplar", StringComparison.Ordinal)).ShouldBe(1);
    }

    /// <summary>Off, on, other length, and with samples held for a later interval.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("aggregation: {dedup_interval: 4s}\n")]
    [InlineData("aggregation: {rules: [{interval: 1m, outputs: [max], match: x}]}\n")]
    public void A_reload_loses_nothing_that_is_held(string section)
    {
        var rig = new DeduplicationRig(Global);
        rig.GoTo(500);
        rig.Push(("a", 300, 1), ("a", 400, 2), ("a", 2_300, 3));
        rig.Reload(section + Destination);
        rig.Push(("a", 450, 4));
        rig.GoTo(600);
        rig.Reload(Global);
        rig.Push(("a", 470, 5), ("b", 470, 5));
        rig.Reload(section + Destination);
        rig.GoTo(10_000);
        rig.GoTo(20_000);
        rig.GoTo(30_000);
        // Of the new configuration and of the old one; which of them gave way depends on when they were asked.
        rig.Sent.Distinct().Count().ShouldBe(rig.Sent.Count);
        rig.Sent.ShouldContain("s: a 3 @2300");
        rig.Sent.ShouldContain("s: b 5 @470");
        rig.Sent.ShouldContain("s: a 5 @470");
    }

    [Fact]
    public void Replicas_are_deduplicated_by_choice()
    {
        var rig = new DeduplicationRig("""
            aggregation:
              dedup_interval: 2s
              ha: {replica_label: replica}
              rules: [{match: c, interval: 2s, by: [job], outputs: [count_samples], partial_windows: emit}]

            """ + Destination);
        rig.GoTo(500);
        rig.Push(("d{replica=a}", 300, 1), ("d{replica=b}", 400, 9), ("d{replica=a}", 100, 7));
        rig.Push(("c{job=x,replica=a}", 300, 1), ("c{job=x,replica=b}", 350, 1), ("c{job=x,replica=b}", 450, 1));
        rig.StopAndStart();
        rig.GoTo(600);
        rig.Push(("d{replica=b}", 500, 9));
        rig.GoTo(10_000);
        rig.Sent.Order().ShouldBe(["s: c:2s_by_job_count_samples{job=x} 1 @2000", "s: d 1 @300"]);
    }

    [Fact]
    public void A_series_that_has_only_dropped_labels_is_unused()
    {
        var rig = new DeduplicationRig(
            "aggregation: {dedup_interval: 2s, drop_input_labels: [__name__]}\n" + Destination);
        rig.GoTo(500);
        rig.Push(("a", 300, 1), ("b{x=1}", 300, 1));
        rig.Pipeline.Engine.Ledger.Total.Unused.ShouldBe(1);
        rig.GoTo(4_100);
        rig.Sent.ShouldBe(["s: {x=1} 1 @300"]);
    }

    private static IEnumerable<string> Lines(byte[] body)
    {
        Snappy.TryGetDecodedLength(body, out var size).ShouldBeTrue();
        var plain = new byte[size];
        Snappy.TryDecode(body, plain).ShouldBeTrue();
        var record = new RecordingSink.Record();
        var sink = new RecordingSink(record);
        RemoteWriteV1Decoder.TryDecode(plain, ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
        return record.Lines;
    }
}
