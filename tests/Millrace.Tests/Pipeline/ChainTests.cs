using Millrace.Configuration;
using Millrace.Log;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.TestKit;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// Routes behind others: rules that take what other rules write. Windows of 10 s at the first level; the first window,
/// in which the process starts, is never written.
/// </summary>
public sealed class ChainTests
{
    private const string Sum = "{name: sum, match: m, interval: 10s, allowed_lateness: 2s, by: [job, pod], "
        + "outputs: [sum_samples]}";

    private const string Max = "{name: max, match: 'm:.*', interval: 10s, allowed_lateness: 0s, by: [job], "
        + "outputs: [max]}";

    [Fact]
    public void A_rule_takes_what_another_wrote_in_the_same_window()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), "")).Start();
        Feed(rig, 40);
        // At 10 the process had not seen the window from its beginning.
        rig.Points("storage").Take(2).ShouldBe([
            "20 m:10s_by_job_pod_sum_samples:10s_by_job_max{job=\"j\"} 40",
            "30 m:10s_by_job_pod_sum_samples:10s_by_job_max{job=\"j\"} 60",
        ]);
        rig.Pipeline.Engine.Ledger.Total.Derived.ShouldBe(2 * 3);
    }

    [Theory]
    [InlineData(false, false, "m:10s_by_job_pod_count_samples up")]
    [InlineData(true, false, "m m:10s_by_job_pod_count_samples m:10s_by_job_pod_sum_samples up")]
    [InlineData(false, true, "")]
    [InlineData(true, true, "m m:10s_by_job_pod_sum_samples")]
    public void What_rules_write_is_input_that_is_kept_or_dropped(bool keeps, bool drops, string expected)
    {
        var both = Sum.Replace("[sum_samples]", "[sum_samples, count_samples]", StringComparison.Ordinal);
        var max = Name(Max).Replace("m:.*", "m:.*_sum_samples|m", StringComparison.Ordinal);
        var rig = new ChainRig(Yaml(
            both, max, $"keep_input: {Word(keeps)}, drop_input: {Word(drops)},", head: "keep_input: true,")).Start();
        Feed(rig, 25);
        rig.Push("25 up{job=j} 1");
        rig.RunTo(30);
        string.Join(' ', rig.Points("storage").Select(point => point.Split(' ')[1].Split('{')[0]).Distinct()
            .Where(name => !name.EndsWith("_max", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            .ShouldBe(expected);
    }

    [Fact]
    public void Raw_samples_come_to_the_next_route_as_the_first_one_leaves_them()
    {
        var raw = "{name: max, match: up, interval: 10s, allowed_lateness: 0s, by: [u], outputs: [max]}";
        var rig = new ChainRig(Yaml(Sum, raw, "relabel_configs: [{target_label: u, replacement: url1}],")).Start();
        rig.RunTo(11);
        rig.Push("11 up{job=j} 7", "11 m{job=j,pod=a} 1");
        rig.RunTo(25);
        rig.Points("storage").ShouldBe([
            "20 m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"a\",u=\"url1\"} 1",
            "20 up:10s_by_u_max{u=\"url1\"} 7",
        ]);
    }

    [Fact]
    public void Three_levels_close_one_after_the_other()
    {
        var yaml = $$"""
            aggregation:
              catch_up: 0s
              rules:
              - {{Sum}}
              - {{Name(Max).Replace("name: max", "name: one", StringComparison.Ordinal)}}
              - {name: two, match: '{__name__=~".*_max"}', interval: 20s, by: [job], outputs: [sum_samples]}
            routes:
            - {name: a, aggregate: [sum], to: []}
            - {name: b, inputs: [a], aggregate: [one], to: []}
            - {name: c, inputs: [b], aggregate: [two]}
            {{Storage}}
            """;
        var rig = new ChainRig(yaml).Start();
        Feed(rig, 80);
        rig.Points("storage").Where(point => point.Contains("_sum_samples{", StringComparison.Ordinal)).ShouldBe([
            Two(40, 60 + 80), Two(60, 100 + 120),
        ]);

        static string Two(int second, int value) =>
            $"{second} m:10s_by_job_pod_sum_samples:10s_by_job_max:20s_by_job_sum_samples{{job=\"j\"}} {value}";
    }

    [Theory]
    [InlineData("2s", "0s")]
    [InlineData("1s", "5s")]
    [InlineData("9s", "0s")]
    [InlineData("25s", "1s")]
    public void No_window_is_closed_before_what_it_is_made_of_has_come(string lateness, string latenessAfter)
    {
        var rig = new ChainRig(Yaml(
            Sum.Replace("lateness: 2s", $"lateness: {lateness}", StringComparison.Ordinal),
            Name(Max).Replace("lateness: 0s", $"lateness: {latenessAfter}", StringComparison.Ordinal), "")).Start();
        Feed(rig, 60);
        rig.RunTo(110);
        // The pods are gone then, but not yet stale.
        Values(rig).Where(value => value != "70: 0").ShouldBe(
            ["20: 40", "30: 60", "40: 80", "50: 100", "60: 120"]);
        Late(rig).ShouldBe(0);
    }

    [Fact]
    public void In_arrival_time_what_is_written_at_the_end_of_a_window_is_of_the_next_one()
    {
        var rig = new ChainRig(Yaml(Arrival(Sum), Arrival(Name(Max)), "")).Start();
        Feed(rig, 45, stepMs: 100);
        Values(rig).ShouldBe(["30: 54", "40: 58"]); // With what came before the first boundary.

        static string Arrival(string rule) => System.Text.RegularExpressions.Regex.Replace(
            rule, "allowed_lateness: .s", "time: arrival");
    }

    [Fact]
    public void Windows_that_close_at_once_come_in_their_order()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), "")).Start();
        Feed(rig, 29);
        rig.RunTo(61, stepMs: 32_000);
        rig.RunTo(62);
        Values(rig).ShouldBe(["20: 40", "30: 54"]);
    }

    [Fact]
    public void A_running_total_goes_on_as_the_counter_it_is()
    {
        var total = "{name: sum, match: m, interval: 10s, allowed_lateness: 0s, by: [job], outputs: [total], "
            + "zero_injection: true}";
        var increase = "{name: max, match: 'm:.*', interval: 20s, allowed_lateness: 0s, outputs: [increase]}";
        var rig = new ChainRig(Yaml(total, Name(increase), "")).Start();
        for (var second = 2; second <= 70; second++)
        {
            rig.Push($"{second} m{{job=j}} {second * 3}");
            rig.RunTo(second + 1);
        }
        Values(rig).ShouldBe(["40: 60", "60: 60"]);
    }

    [Fact]
    public void Threads_change_nothing()
    {
        var alone = new ChainRig(Yaml(Sum, Name(Max), "keep_input: true,")).Start();
        Feed(alone, 60);
        var threaded = new ChainRig(Yaml(Sum, Name(Max), "keep_input: true,")) { Workers = 3 }.Start();
        Feed(threaded, 60);
        alone.RunTo(69);
        threaded.RunTo(69);
        threaded.Points("storage").ShouldBe(alone.Points("storage"));
        threaded.Points("storage").Count().ShouldBe(5 * 4);
        threaded.Stop();
    }

    [Fact]
    public void Needs_no_log_on_disk()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), ""), config => config with
        {
            Log = config.Log with { Durability = Durability.Memory },
        }).Start();
        Feed(rig, 40);
        Values(rig).ShouldBe(["20: 40", "30: 60"]);
    }

    [Fact]
    public void More_outputs_than_a_record_holds_come_in_several()
    {
        const int Series = 45_000;
        var rig = new ChainRig(Yaml(Sum, Name(Max).Replace("[max]", "[count_series]", StringComparison.Ordinal), ""))
            .Start();
        rig.RunTo(11);
        var pad = new string('x', 60);
        rig.Push(Enumerable.Range(0, Series).Select(i => ChainRig.Read($"12 m{{job=j,pod=p{i}{pad}}} 1")));
        rig.RunTo(24);
        Values(rig).ShouldBe([$"20: {Series}"]);
        DerivedRecords(rig).Count.ShouldBe(2);
    }

    [Fact]
    public void A_damaged_record_is_refused_or_read_and_never_a_crash()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), "")).Start();
        Feed(rig, 25);
        var payload = DerivedRecords(rig).Single();
        var (decoder, batch) = (new DerivedDecoder(), new DecodedBatch());
        var generation = rig.Pipeline.Engine.Generation;
        decoder.TryDecode(payload, generation, batch, out var part).ShouldBeTrue();
        (batch.Count, part.Part).ShouldBe((3, 0));
        for (var length = 0; length < payload.Length; length++)
        {
            decoder.TryDecode(payload.AsMemory(0, length), generation, batch, out _).ShouldBeFalse();
        }
        var random = new Random(1);
        for (var i = 0; i < 5_000; i++)
        {
            var damaged = payload.ToArray();
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            decoder.TryDecode(damaged, generation, batch, out _);
        }
    }

    [Fact]
    public void A_point_is_explained_by_the_outputs_that_it_was_made_of()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), "")).Start();
        Feed(rig, 25);
        var inquiry = new WindowInquiry(rig.Pipeline.InputLog!, rig.Config, LabelSet.Of(
            ("__name__", "m:10s_by_job_pod_sum_samples:10s_by_job_max"), ("job", "j")));
        inquiry.Run(rig.OriginMs + 20_000, CancellationToken.None);
        inquiry.Rule!.Name.ShouldBe("max");
        inquiry.CutLsn.ShouldBeGreaterThan(0);
        inquiry.Contributions.Select(one => $"{one.Series} {one.Samples.Values.Single()}").ShouldBe([
            "m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"a\"} 20",
            "m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"b\"} 40",
            "m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"c\"} 10",
        ]);
    }

    [Fact]
    public void Outputs_have_no_replicas()
    {
        var rig = new ChainRig(Yaml(Sum, Name(Max), "").Replace(
            "catch_up: 0s,", "catch_up: 0s, ha: {replica_label: r, failover_timeout: 30s},", StringComparison.Ordinal))
            .Start();
        for (var second = 2; second <= 45; second++)
        {
            rig.Push($"{second} m{{job=j,pod=a,r=x}} 1", $"{second} m{{job=j,pod=a,r=y}} 1");
            rig.RunTo(second + 1);
        }
        Values(rig).ShouldBe(["20: 10", "30: 10", "40: 10"]);
    }

    [Fact]
    public void By_two_ways_to_one_route_a_series_comes_once()
    {
        var behind = Name(Max).Replace("[max]", "[sum_samples]", StringComparison.Ordinal);
        var yaml = $$"""
            aggregation: {catch_up: 0s, rules: [{{Sum}}, {{behind}}]}
            route_mode: all
            routes:
            - {name: a, aggregate: [sum], keep_input: true, to: []}
            - {name: b, inputs: [a], aggregate: false, to: []}
            - {name: c, inputs: [a, b], aggregate: [max], to: [storage]}
            {{Storage}}
            """;
        var rig = new ChainRig(yaml).Start();
        rig.RunTo(11);
        rig.Push("12 m{job=j,pod=a} 5");
        rig.RunTo(30);
        rig.Points("storage").ShouldBe([
            "12 m{job=\"j\",pod=\"a\"} 5", "20 m:10s_by_job_pod_sum_samples:10s_by_job_sum_samples{job=\"j\"} 5",
        ]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_restart_at_any_write_gives_the_same(bool writesBases)
    {
        var yaml = Yaml(Sum, Name(Max), "keep_input: true,");
        MillraceConfig Change(MillraceConfig config) => WithBases(config, writesBases);
        var expected = Play(new ChainRig(yaml, Change), int.MaxValue);
        expected.All.Count.ShouldBe(3 + 2 * 3);
        var writes = expected.Disk.WriteCount;
        for (var after = 0; after < writes; after++)
        {
            var rig = Play(new ChainRig(yaml, Change), after);
            rig.Points("storage").ShouldBe(expected.Points("storage"), $"killed after {after} writes");
            rig.Pipeline.Engine.Ledger.Total.Derived.ShouldBe(
                expected.Pipeline.Engine.Ledger.Total.Derived, $"killed after {after} writes");
            Late(rig).ShouldBe(0, $"killed after {after} writes");
        }

        static ChainRig Play(ChainRig rig, int writes)
        {
            rig.Start();
            rig.RunTo(11);
            if (writes < int.MaxValue)
            {
                rig.Disk.HaltAfterWrites(writes);
            }
            for (var second = 12; second < 36; second += 6)
            {
                rig.Push($"{second} m{{job=j,pod=a}} {second}", $"{second} m{{job=j,pod=b}} {second * 0.1}");
                rig.RunTo(second + 6, stepMs: 1_000);
            }
            rig.RunTo(48, stepMs: 1_000);
            return rig;
        }
    }

    [Theory]
    [InlineData(nameof(CrashKind.PowerLossPrefix), false)]
    [InlineData(nameof(CrashKind.PowerLossPrefix), true)]
    [InlineData(nameof(CrashKind.PowerLossSubset), true)]
    public void A_power_loss_at_any_write_loses_no_window_of_the_rules_behind(string kind, bool writesBases)
    {
        var yaml = Yaml(Sum, Name(Max), "", to: "[storage]");
        string[] expected = [
            "20 m:10s_by_job_pod_sum_samples:10s_by_job_max{job=\"j\"} 5",
            "20 m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"a\"} 5",
            "30 m:10s_by_job_pod_sum_samples:10s_by_job_max{job=\"j\"} 7",
            "30 m:10s_by_job_pod_sum_samples{job=\"j\",pod=\"a\"} 7",
        ];
        for (var after = 0; after < 60; after++)
        {
            var rig = new ChainRig(yaml, config => WithBases(config, writesBases))
            {
                HaltKind = Enum.Parse<CrashKind>(kind),
            };
            rig.Start();
            rig.RunTo(11);
            rig.Push("12 m{job=j,pod=a} 5", "22 m{job=j,pod=a} 7");
            rig.RunTo(13);
            rig.Disk.HaltAfterWrites(after);
            rig.RunTo(40, stepMs: 1_000);
            var points = rig.Points("storage")
                .Where(point => !point.StartsWith("40", StringComparison.Ordinal)).ToList();
            points.Sort(StringComparer.Ordinal);
            string.Join('\n', points).ShouldBe(string.Join('\n', expected), $"no power after {after} writes");
            Late(rig).ShouldBe(0);
        }
    }

    private const string Storage = """
        destinations:
        - {name: storage, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}}
        """;

    /// <summary>A rule of the first level, a rule behind it, and what else stands in their routes.</summary>
    private static string Yaml(string rule, string behind, string more, string head = "", string to = "[]") => $$"""
        aggregation: {catch_up: 0s, tasks: {count: 3}, rules: [{{rule}}, {{behind}}]}
        routes:
        - {name: global, {{head}} aggregate: [sum], to: {{to}}}
        - {name: url, {{more}} inputs: [global], aggregate: [max], to: [storage]}
        {{Storage}}
        """;

    private static string Name(string rule) =>
        rule.Replace("'m:.*'", "'{__name__=~\"m:.*\"}'", StringComparison.Ordinal);

    private static IEnumerable<string> Values(ChainRig rig) =>
        rig.Points("storage").Select(point => point.Split(' ')[0] + ": " + point.Split(' ')[2]);

    private static MillraceConfig WithBases(MillraceConfig config, bool writesBases) => config with
    {
        Log = config.Log with { BaseInterval = TimeSpan.FromMilliseconds(writesBases ? 3_000 : 300_000) },
    };

    private static string Word(bool flag) => flag ? "true" : "false";

    private static List<byte[]> DerivedRecords(ChainRig rig)
    {
        var payloads = new List<byte[]>();
        using var reader = rig.Pipeline.InputLog!.OpenReader(rig.Pipeline.InputLog.FirstLsn);
        while (reader.NextLsn < rig.Pipeline.InputLog.NextLsn && reader.TryRead(out var record))
        {
            if (record.Header.Type == RecordType.Derived)
            {
                payloads.Add(record.Payload.ToArray());
            }
        }
        return payloads;
    }

    private static long Late(ChainRig rig) =>
        rig.Pipeline.Engine.Shards.Sum(shard => shard.Counters.LateSamples.Sum());

    /// <summary>Each second 1, 2 and 4 of three pods: sums of a window of 10 s are 10, 20 and 40 … rising.</summary>
    private static void Feed(ChainRig rig, int until, long stepMs = 500)
    {
        for (var second = 2; second <= until; second++)
        {
            var window = (second + 9) / 10;
            rig.Push($"{second} m{{job=j,pod=a}} {window}", $"{second} m{{job=j,pod=b}} {window * 2}",
                $"{second} m{{job=j,pod=c}} 1");
            rig.RunTo(second + 1, stepMs);
        }
    }
}
