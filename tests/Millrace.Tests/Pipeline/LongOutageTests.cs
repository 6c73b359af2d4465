namespace Millrace.Tests.Pipeline;

/// <summary>Outages of as many windows as a rule may keep open, and of more: 64 of ten seconds.</summary>
public sealed class LongOutageTests
{
    private const int LastBefore = 45;

    private const string Yaml = """
        aggregation:
          rules:
          - {name: ra, match: m, interval: 10s, allowed_lateness: 1s, outputs: [sum_samples]}
          - {name: rb, match: '{__name__=~"m:.*"}', interval: 10s, allowed_lateness: 1s, outputs: [sum_samples]}
        routes:
        - {name: x, aggregate: [ra], drop_input: true, to: [storage]}
        - {name: y, inputs: [x], aggregate: [rb], drop_input: true, to: [storage]}
        route_mode: all
        destinations:
        - name: storage
          remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}
        """;

    [Theory]
    [InlineData(300, true)]
    [InlineData(600, true)]
    [InlineData(900, true)]
    [InlineData(900, false)]
    [InlineData(9_000, true)]
    public void What_was_accepted_before_and_after_a_long_outage_reaches_the_rule_behind(int outage, bool kills)
    {
        var rig = new ChainRig(Yaml).Start();
        for (var next = 2; next <= LastBefore; next++)
        {
            rig.Push($"{next} m 1");
            rig.RunTo(next);
        }
        if (!kills)
        {
            rig.Stop();
        }
        rig.Kill();
        rig.Advance(outage);
        rig.Start();
        // A sender delivers what it kept for the first window, and for the last ones.
        for (var next = LastBefore + 1; next <= LastBefore + outage; next++)
        {
            if (next <= 50 || next > LastBefore + outage - 100)
            {
                rig.Push($"{next} m 1");
            }
        }
        rig.RunTo(LastBefore + outage + 400);

        var ends = EndsOf(rig, "m:10s_sum_samples");
        ends.Length.ShouldBeGreaterThanOrEqualTo(12);
        EndsOf(rig, "m:10s_sum_samples:10s_sum_samples").ShouldBe(ends);
    }

    /// <summary>Of whole windows, in seconds.</summary>
    private static string[] EndsOf(ChainRig rig, string series) =>
        [.. rig.Points("storage").Select(point => point.Split(' '))
            .Where(words => words[1] == series && words[2] == "10").Select(words => words[0])];
}
