using Millrace.Filtering;
using Millrace.Relabeling;

namespace Millrace.Routing;

/// <summary>One route: which series it takes, what it makes of them, where they go.</summary>
public sealed record RouteConfig
{
    public string Name { get; init; } = "default";

    /// <summary>
    /// Routes above this one whose results it takes, what they forward and what their rules write, instead of what is
    /// received. Empty: what is received.
    /// </summary>
    public IReadOnlyList<string> Inputs { get; init; } = [];

    /// <summary>A series selector; <c>{}</c> takes everything.</summary>
    public string Match { get; init; } = "{}";

    public IReadOnlyList<RelabelConfig> RelabelConfigs { get; init; } = [];

    /// <summary>True: every rule sees the series. False: none. See <see cref="AggregateRules"/>.</summary>
    public bool Aggregate { get; init; } = true;

    /// <summary>Names of the rules that see the series; null: all.</summary>
    public IReadOnlyList<string>? AggregateRules { get; init; }

    public bool KeepInput { get; init; }

    public bool DropInput { get; init; }

    /// <summary>Destinations of what is forwarded and of the rules' outputs; null: all.</summary>
    public IReadOnlyList<string>? To { get; init; }

    /// <summary>Overrides the global section for this route.</summary>
    public TimeWindowConfig? TimeWindow { get; init; }
}
