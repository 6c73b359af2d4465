namespace Millrace.Tests.Pipeline;

/// <summary>
/// Reloads where rules stand behind rules. One sample of value 1 per second; windows of 10 s before, of 20 s behind.
/// </summary>
public sealed class ChainReloadTests
{
    private const string Sum =
        "{name: sum, match: m, interval: 10s, allowed_lateness: 2s, outputs: [sum_samples]}";

    private const string Behind = "{name: behind, match: '{__name__=~\"m:.*\"}', interval: 20s, allowed_lateness: 0s, "
        + "outputs: [sum_samples]}";

    private readonly ChainRig _rig = new ChainRig(Yaml(Sum, Behind)).Start();

    [Fact]
    public void A_rule_goes_on_with_what_the_next_version_of_the_one_before_it_writes()
    {
        RunTo(35);
        // Two outputs where there was one: from 40 on.
        _rig.Reload(Yaml(Sum.Replace("[sum_samples]", "[sum_samples, max]", StringComparison.Ordinal), Behind));
        RunTo(85);
        Points("behind").ShouldBe("40: m:10s_sum_samples 20; 60: m:10s_max 2; 60: m:10s_sum_samples 20; "
            + "80: m:10s_max 2; 80: m:10s_sum_samples 20");
    }

    [Fact]
    public void A_rule_that_stays_gets_the_last_windows_of_one_that_is_removed()
    {
        RunTo(35);
        _rig.Reload(Yaml("", Behind));
        RunTo(85);
        // Nothing holds it after that: a window without input is not written, but closed.
        Points("behind").ShouldBe("40: m:10s_sum_samples 20; 60: m:10s_sum_samples 0");
        _rig.Pipeline.Engine.ClosedThroughMs(Single(_rig, "behind"))!.Value.ShouldBe(_rig.OriginMs + 80_000);
        _rig.Pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
    }

    [Fact]
    public void A_changed_rule_takes_over_at_its_boundary()
    {
        RunTo(35);
        _rig.Reload(Yaml(Sum, Behind.Replace("[sum_samples]", "[sum_samples, max]", StringComparison.Ordinal)));
        RunTo(65);
        Points("behind").ShouldBe("40: m:10s_sum_samples 20; 60: m:10s_sum_samples 10; 60: m:10s_sum_samples 20");
    }

    [Fact]
    public void Both_change_and_no_window_lacks_anything()
    {
        RunTo(25);
        // The rule before changes at 30, the one behind at 40.
        _rig.Reload(Yaml(
            Sum.Replace("interval: 10s", "interval: 10s, staleness_interval: 30s", StringComparison.Ordinal),
            Behind.Replace("interval: 20s", "interval: 20s, staleness_interval: 40s", StringComparison.Ordinal)));
        RunTo(65);
        Points("behind").ShouldBe("40: m:10s_sum_samples 20; 60: m:10s_sum_samples 20");
    }

    [Fact]
    public void A_chain_that_is_taken_apart_leaves_the_rules_as_they_are()
    {
        RunTo(35);
        _rig.Reload(Yaml(Sum, Behind).Replace("inputs: [a], ", "match: none, ", StringComparison.Ordinal));
        RunTo(65);
        // What came to the open window stays in it.
        Points("behind").ShouldBe("40: m:10s_sum_samples 10");
        Points("sum").ShouldBe("");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Survives_a_kill_around_the_reload(bool withBase)
    {
        RunTo(25);
        _rig.Reload(Yaml("", Behind.Replace("[sum_samples]", "[sum_samples, max]", StringComparison.Ordinal)));
        RunTo(27);
        if (withBase)
        {
            _rig.Stop();
        }
        _rig.Kill();
        _rig.Start();
        RunTo(65);
        // The removed rule's last window ends at 30, the old rule behind ends at 40.
        Points("behind").ShouldBe("40: m:10s_sum_samples 10");
    }

    [Fact]
    public void Reloads_and_kills_in_turn_change_nothing()
    {
        for (var seed = 1; seed <= 100; seed++)
        {
            var undisturbed = Play(seed, kills: false);
            var disturbed = Play(seed, kills: true);
            disturbed.Points("storage").ShouldBe(undisturbed.Points("storage"), $"seed {seed}");
            undisturbed.Pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
            disturbed.Pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
        }
    }

    private static ChainRig Play(int seed, bool kills)
    {
        var (random, chance) = (new Random(seed), new Random(seed + 1));
        var bases = random.Next(2, 40);
        var rig = new ChainRig(Variant(random), config => config with
        {
            Log = config.Log with { BaseInterval = TimeSpan.FromSeconds(bases) },
        }).Start();
        var reloads = Enumerable.Range(1, 15).Where(_ => random.Next(3) == 0).Select(i => 5 * i + 4).ToHashSet();
        for (var second = 2; second <= 130; second++)
        {
            // Whether a window closes before or behind a reload makes a difference: what is due is closed before.
            var isQuiet = second > 110 || Enumerable.Range(second, 7).Any(reloads.Contains);
            if (kills)
            {
                rig.Disk.HaltAfterWrites(
                    reloads.Contains(second) ? chance.Next(4) : isQuiet ? int.MaxValue : chance.Next(60));
            }
            if (reloads.Contains(second))
            {
                rig.Reload(Variant(random));
            }
            rig.Push($"{second} m{{pod=a}} {second}", $"{second} m{{pod=b}} {second * 0.1}");
            rig.RunTo(second, stepMs: 1_000);
        }
        return rig;
    }

    private static string Variant(Random random)
    {
        var outputs = random.Next(2) == 0 ? "[sum_samples]" : "[sum_samples, max]";
        var sum = Sum.Replace("2s, ", $"{random.Next(1, 3)}s, ", StringComparison.Ordinal)
            .Replace("[sum_samples]", outputs, StringComparison.Ordinal)
            .Replace("10s", random.Next(3) == 0 ? "5s" : "10s", StringComparison.Ordinal);
        var behind = Behind.Replace("20s", random.Next(3) == 0 ? "10s" : "20s", StringComparison.Ordinal)
            .Replace("[sum_samples]", random.Next(2) == 0 ? "[sum_samples]" : "[last]", StringComparison.Ordinal);
        var yaml = Yaml(random.Next(5) == 0 ? "" : sum, behind).Replace(
            "to: []", random.Next(2) == 0 ? "to: []" : "to: [storage]", StringComparison.Ordinal);
        return random.Next(5) == 0 ? yaml.Replace("inputs: [a], ", "match: none, ", StringComparison.Ordinal) : yaml;
    }

    private static Millrace.Aggregation.AggregationRule Single(ChainRig rig, string name) =>
        rig.Pipeline.Engine.Generation.Rules.Single(rule => rule.Name == name);

    private void RunTo(int second)
    {
        for (var next = (int)_rig.Second + 1; next <= second; next++)
        {
            _rig.Push($"{next} m 1");
            _rig.RunTo(next);
        }
    }

    /// <summary>"second: input value", in order.</summary>
    private string Points(string rule) => string.Join("; ", _rig.Points("storage")
        .Select(point => point.Split(' '))
        .Where(words => words[1].Count(c => c == ':') == (rule == "behind" ? 2 : 1))
        .Select(words => $"{words[0]}: {words[1][..words[1].LastIndexOf(':')]} {words[2]}"));

    private static string Yaml(string sum, string behind) => $$"""
        aggregation: {catch_up: 0s, rules: [{{sum}}{{(sum.Length > 0 ? ", " : "")}}{{behind}}]}
        routes:
        - {name: a, aggregate: [{{(sum.Length > 0 ? "sum" : "")}}], drop_input: true, to: []}
        - {name: b, inputs: [a], aggregate: [behind], drop_input: true, to: [storage]}
        route_mode: all
        destinations:
        - name: storage
          remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
        """;
}
