using Millrace.Membership;

namespace Millrace.Configuration;

/// <summary>Reads when a node of a sharded destination counts as down, and when it comes back.</summary>
internal static class HealthReader
{
    private static readonly TimeSpan LeastInterval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MostHoldDown = TimeSpan.FromDays(1);

    /// <param name="reader">The section <c>health</c>; where it is not written, the defaults come out.</param>
    public static HealthConfig Read(ConfigReader reader)
    {
        var defaults = new HealthConfig();
        var (policy, after) = ReadReturn(reader);
        var health = new HealthConfig
        {
            Path = NodeSetReader.ReadPath(reader, "path", defaults.Path),
            Interval = reader.Duration("interval", defaults.Interval, LeastInterval),
            Timeout = reader.Duration("timeout", defaults.Timeout, LeastInterval),
            FailAfter = (int)reader.Number("fail_after", defaults.FailAfter, 1, 1_000),
            FailFor = reader.Duration("fail_for", defaults.FailFor, TimeSpan.Zero),
            RiseAfter = (int)reader.Number("rise_after", defaults.RiseAfter, 1, 1_000),
            HoldDown = reader.Duration("hold_down", defaults.HoldDown, TimeSpan.Zero),
            MaxHoldDown = reader.Duration("max_hold_down", defaults.MaxHoldDown, TimeSpan.Zero),
            SlowFactor = (int)reader.Number("slow_factor", defaults.SlowFactor, 0, 1_000),
            SlowLeast = reader.Duration("slow_least", defaults.SlowLeast, TimeSpan.FromMilliseconds(1)),
            SlowFor = reader.Duration("slow_for", defaults.SlowFor, TimeSpan.Zero),
            MaxDownPercent = (int)reader.Number("max_down_percent", defaults.MaxDownPercent, 0, 100),
            Return = policy,
            ReturnAfter = after,
        };
        if (health.MaxHoldDown > MostHoldDown)
        {
            reader.Report("max_hold_down", $"\"{ConfigQuantity.FormatDuration(health.MaxHoldDown)}\" is too long: the "
                + $"most is {ConfigQuantity.FormatDuration(MostHoldDown)}; return: manual keeps a node down for good");
        }
        else if (health.MaxHoldDown < health.HoldDown)
        {
            reader.Report(reader.Has("max_hold_down") ? "max_hold_down" : "hold_down",
                $"max_hold_down, {ConfigQuantity.FormatDuration(health.MaxHoldDown)}, is shorter than hold_down, "
                + $"{ConfigQuantity.FormatDuration(health.HoldDown)}: make it at least as long");
        }
        reader.Finish();
        return health;
    }

    /// <summary>A word, or <c>{after: 1m}</c>.</summary>
    private static (ReturnPolicy Policy, TimeSpan After) ReadReturn(ConfigReader reader)
    {
        if (reader.Find("return") is { Kind: ConfigNodeKind.Mapping })
        {
            var section = reader.Mapping("return");
            var after = section.OptionalDuration("after", TimeSpan.Zero);
            if (section.Find("after") is null)
            {
                section.Report("after", "missing: write return: immediately, return: manual or return: {after: 1m}");
            }
            section.Finish();
            return (ReturnPolicy.After, after ?? TimeSpan.Zero);
        }
        return (reader.Choice("return", ReturnPolicy.Immediately,
            ("immediately", ReturnPolicy.Immediately), ("manual", ReturnPolicy.Manual)), TimeSpan.Zero);
    }
}
