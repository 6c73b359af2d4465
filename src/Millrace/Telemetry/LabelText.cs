using System.Globalization;

namespace Millrace.Telemetry;

/// <summary>Numbers in label values.</summary>
internal static class LabelText
{
    public static string Of(int number) => number.ToString(CultureInfo.InvariantCulture);

    /// <summary>The upper bound of a bucket, as in Prometheus: <c>10s</c>, <c>1h</c>; <c>more</c> above the last.</summary>
    public static string OfBucket(ReadOnlySpan<long> boundsMs, int bucket) =>
        bucket < boundsMs.Length ? Of(boundsMs[bucket]) : "more";

    private static string Of(long milliseconds) => milliseconds switch
    {
        _ when milliseconds % 3_600_000 == 0 => Text(milliseconds / 3_600_000, "h"),
        _ when milliseconds % 60_000 == 0 => Text(milliseconds / 60_000, "m"),
        _ when milliseconds % 1_000 == 0 => Text(milliseconds / 1_000, "s"),
        _ => Text(milliseconds, "ms"),
    };

    private static string Text(long number, string unit) => number.ToString(CultureInfo.InvariantCulture) + unit;
}
