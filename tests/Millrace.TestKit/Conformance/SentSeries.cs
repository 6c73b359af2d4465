using Millrace.Protocols;

namespace Millrace.TestKit.Conformance;

/// <summary>What a native histogram of a case is made of.</summary>
[Flags]
internal enum Shape
{
    Empty = 0,
    Positive = 1,
    Negative = 2,
    Zero = 4,
    CustomBuckets = 8,

    /// <summary>Its count is not the sum of its buckets.</summary>
    WrongCount = 16,

    Full = Positive | Negative | Zero,
}

/// <summary>A sample; its time counts from when the request is made.</summary>
internal sealed record SentSample(double Value, long AgoMs = 0, long? StartedAgoMs = null);

internal sealed record SentHistogram(Shape Shape, double Sum = 1, long? StartedAgoMs = null);

internal sealed record SentExemplar(double Value, long AgoMs, params (string Name, string Value)[] Labels);

internal sealed record SentMetadata(MetricType Type, string Help = "", string Unit = "");

/// <summary>A series of a request, as a case thinks of it.</summary>
internal sealed record SentSeries(params (string Name, string Value)[] Labels)
{
    public const string MetricName = "__name__";

    public IReadOnlyList<SentSample> Samples { get; init; } = [];

    public IReadOnlyList<SentHistogram> Histograms { get; init; } = [];

    public IReadOnlyList<SentExemplar> Exemplars { get; init; } = [];

    public SentMetadata? Metadata { get; init; }

    /// <summary>All of it must be refused, and the rest of the request taken.</summary>
    public bool IsRefused { get; init; }

    /// <summary>Label references of remote write 2.0 instead of those of the labels.</summary>
    public IReadOnlyList<uint>? References { get; init; }

    /// <summary>Labels as bytes, for what no string can say.</summary>
    public (byte[] Name, byte[] Value)? RawLabel { get; init; }

    public static SentSeries Named(string name, params (string Name, string Value)[] others) =>
        new([(MetricName, name), .. others]);

    public SentSeries With(double value) => this with { Samples = [new SentSample(value)] };

    public SentSeries With(Shape shape, double sum = 1) => this with { Histograms = [new SentHistogram(shape, sum)] };

    public SentSeries WithExemplar(double value, params (string Name, string Value)[] labels) =>
        this with { Exemplars = [.. Exemplars, new SentExemplar(value, 0, labels)] };

    public SentSeries Describe(MetricType type, string help = "", string unit = "") =>
        this with { Metadata = new SentMetadata(type, help, unit) };

    public SentSeries Refused() => this with { IsRefused = true };
}
