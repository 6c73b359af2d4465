namespace Millrace.Tests.Pipeline;

/// <summary>Two rules that take everything, one behind the other; a reload changes one, and may turn them.</summary>
public sealed class ChainTurnTests
{
    private static readonly string A = Rule("ra", "sum_samples");
    private static readonly string B = Rule("rb", "sum_samples");
    private static readonly string ChangedB = Rule("rb", "sum_samples, max");

    [Fact]
    public void A_rule_that_changes_goes_on_behind_the_other()
    {
        var rig = Played(Yaml(A, ChangedB, "ra", "rb"));
        rig.Points("storage").Where(IsAt80).ShouldBe(
            ["80 m:10s_sum_samples 10", "80 m:10s_sum_samples:10s_max 10",
                "80 m:10s_sum_samples:10s_sum_samples 10"], ignoreOrder: true);
    }

    [Fact]
    public void A_chain_that_is_turned_round_goes_on()
    {
        var rig = Played(Yaml(A, ChangedB, "rb", "ra"));
        rig.Points("storage").Where(IsAt80).ShouldBe(
            ["80 m:10s_max 1", "80 m:10s_max:10s_sum_samples 1", "80 m:10s_sum_samples 10",
                "80 m:10s_sum_samples:10s_sum_samples 10"], ignoreOrder: true);
    }

    private static ChainRig Played(string changed)
    {
        var rig = new ChainRig(Yaml(A, B, "ra", "rb")).Start();
        Run(rig, 35);
        rig.Reload(changed);
        Run(rig, 85);
        rig.Pipeline.Engine.Generation.Retiring.ShouldBeEmpty("the last window of the version before is closed");
        return rig;
    }

    private static void Run(ChainRig rig, int second)
    {
        for (var next = (int)rig.Second + 1; next <= second; next++)
        {
            rig.Push($"{next} m 1");
            rig.RunTo(next);
        }
    }

    private static bool IsAt80(string point) => point.StartsWith("80 ", StringComparison.Ordinal);

    private static string Rule(string name, string outputs) =>
        $$"""{name: {{name}}, match: '{__name__=~"m.*"}', interval: 10s, allowed_lateness: 1s, """
        + $"outputs: [{outputs}]}}";

    private static string Yaml(string a, string b, string first, string second) => $$"""
        aggregation: {catch_up: 0s, rules: [{{a}}, {{b}}]}
        routes:
        - {name: x, aggregate: [{{first}}], drop_input: true, to: [storage]}
        - {name: y, inputs: [x], aggregate: [{{second}}], drop_input: true, to: [storage]}
        route_mode: all
        destinations:
        - name: storage
          remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
        """;
}
