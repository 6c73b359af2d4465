namespace Millrace.Relabeling;

/// <summary>One relabel rule as written: Prometheus' keys and vmagent's extensions. Null means not written.</summary>
public sealed record RelabelConfig
{
    /// <summary>Selectors of vmagent's <c>if</c>: any of them must match. Null: no condition.</summary>
    public IReadOnlyList<string>? If { get; init; }

    /// <summary>The action in lower case; <c>replace</c> when not written.</summary>
    public string Action { get; init; } = "replace";

    public IReadOnlyList<string>? SourceLabels { get; init; }

    public string? Separator { get; init; }

    public string? TargetLabel { get; init; }

    /// <summary>The regular expression; a list in YAML arrives joined by <c>|</c>.</summary>
    public string? Regex { get; init; }

    public ulong Modulus { get; init; }

    public string? Replacement { get; init; }

    /// <summary>For <c>graphite</c>: the glob on the metric name.</summary>
    public string? Match { get; init; }

    /// <summary>For <c>graphite</c>: label name to template.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>Where the rule stands, for error texts.</summary>
    public string File { get; init; } = "";

    public int Line { get; init; }

    public string Path { get; init; } = "";
}
