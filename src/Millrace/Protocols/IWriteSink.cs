namespace Millrace.Protocols;

/// <summary>Type, help and unit of a metric family, as remote write carries them.</summary>
public sealed record MetricMetadata(string Family, MetricType Type, string Help, string Unit);

/// <summary>Numbers as in remote write 1.0 and 2.0, where they agree.</summary>
public enum MetricType : byte
{
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    GaugeHistogram = 4,
    Summary = 5,
    Info = 6,
    StateSet = 7,
}

/// <summary>
/// What a decoder tells of a body, in the body's order. Implemented by a struct so that the calls are inlined.
/// All spans are valid during the call only.
/// </summary>
internal interface IWriteSink
{
    /// <summary>
    /// True when a label block of these very bytes was given to <see cref="BeginSeries"/> before: the series is then
    /// the current one, as after that call, and nobody parses its labels again. The bytes need not be a label block:
    /// the decoder may ask on a guess, and only a block seen whole before may be answered with true.
    /// </summary>
    bool TryKnownSeries(ReadOnlySpan<byte> labels);

    /// <summary>
    /// A series begins. Its labels stand as in remote write 1.0's TimeSeries: repeated fields
    /// <c>0x0A length (0x0A length name 0x12 length value)</c>, in the order received, not yet validated beyond being
    /// well formed. Every protocol arrives in this form, so that equal series have equal bytes.
    /// </summary>
    void BeginSeries(ReadOnlySpan<byte> labels);

    /// <param name="timestampMs">Milliseconds since the epoch; <see cref="NoTimestamp"/>: the arrival.</param>
    /// <param name="value">The value; a stale marker is NaN with the bits 0x7ff0000000000002.</param>
    /// <param name="startTimestampMs">When the counter began (created timestamp); 0: not known.</param>
    void Sample(long timestampMs, double value, long startTimestampMs);

    /// <param name="histogram">
    /// The Histogram message without its tag and length; 1.0 and 2.0 number its fields alike. Valid by the rules of
    /// Prometheus.
    /// </param>
    void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs);

    /// <param name="labels">In the form of <see cref="BeginSeries"/>.</param>
    void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs);

    /// <summary>
    /// Metadata of a family; in 2.0 it comes with the series (the family is then the metric's name, suffixes
    /// included), in 1.0 beside them. Help and unit may be empty. UTF-8 as received, not validated.
    /// </summary>
    void Metadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit);

    /// <summary>
    /// Something in the body is refused while the rest goes on: a series whose references lead nowhere, a histogram
    /// that contradicts itself. The answer to the sender must then be 400, with the counts of what was taken.
    /// </summary>
    /// <param name="reason">A constant text, without values of the sender.</param>
    void Refused(string reason, int samples, int histograms, int exemplars);

    const long NoTimestamp = long.MinValue;
}
