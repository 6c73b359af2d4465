using Millrace.TestKit.Fleet;

namespace Millrace.SystemTests;

/// <summary>
/// The rule that most tests run, <c>increase</c> of the fleet's counters without the instance: its configuration, its
/// output's name and its truth, in one place.
/// </summary>
internal sealed record IncreaseRule(TimeSpan Interval)
{
    /// <summary>Longer than a loaded machine holds back a request, so that nothing is late by accident.</summary>
    public TimeSpan AllowedLateness { get; init; } = TimeSpan.FromSeconds(4);

    public FirstSampleAdds FirstSample { get; init; } = FirstSampleAdds.Nothing;

    public string Protocol { get; init; } = "auto";

    public long IntervalMs => (long)Interval.TotalMilliseconds;

    public string OutputName => $"{SimulatedFleet.CounterName}:{Interval.TotalSeconds}s_without_instance_increase";

    public string OutputSelector => $"{{__name__=\"{OutputName}\"}}";

    public WindowTable TruthOf(SimulatedFleet fleet) =>
        fleet.TrueIncrease(IntervalMs, FirstSample, SimulatedFleet.InstanceLabel);

    public WindowTable TruthOf(IncreaseOracle oracle) =>
        oracle.Compute(IntervalMs, FirstSample, SimulatedFleet.InstanceLabel);

    public string ConfigText(Uri destination) => $$"""
        aggregation:
          rules:
          - name: fleet
            match: '{{SimulatedFleet.CounterName}}'
            interval: {{Interval.TotalSeconds}}s
            without: [{{SimulatedFleet.InstanceLabel}}]
            outputs: [increase]
            allowed_lateness: {{AllowedLateness.TotalMilliseconds}}ms
            first_sample: {{(FirstSample == FirstSampleAdds.Nothing ? "zero" : "count")}}
        destinations:
        - name: storage
          remote_write:
            url: {{destination}}
            protocol: {{Protocol}}
        """;

    /// <summary>
    /// The beginning of a window that no running gateway has seen a part of: one whole window from now at the least, so
    /// that the rule was there before it began.
    /// </summary>
    public long NextUntouchedWindowMs() =>
        IncreaseOracle.WindowEnd(TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds(), IntervalMs) + IntervalMs;

    /// <summary>Waits until <see cref="NextUntouchedWindowMs"/>.</summary>
    public async Task WaitForUntouchedWindowAsync()
    {
        var wait = NextUntouchedWindowMs() - TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        await Task.Delay(TimeSpan.FromMilliseconds(wait + 1));
    }
}
