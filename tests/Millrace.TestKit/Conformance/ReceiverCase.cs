using System.Globalization;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using Millrace.TestKit.Fleet;

namespace Millrace.TestKit.Conformance;

/// <summary>Counts of what a receiver says it has written.</summary>
internal readonly record struct Counts(int Samples, int Histograms, int Exemplars);

/// <summary>
/// One request to a receiver of remote write and what must come of it: 204 and everything is stored, 400 and only the
/// series that are not marked as refused are, or another status and nothing is.
/// </summary>
internal sealed record ReceiverCase(string Name, IReadOnlyList<SentSeries> Series)
{
    private const string V1ContentType = "application/x-protobuf";
    private const string V2ContentType = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    private const string Prefix = "X-Prometheus-Remote-Write-";

    public RemoteWriteVersion Version { get; init; } = RemoteWriteVersion.V2;

    /// <summary>Null: the header is left out.</summary>
    public string? ContentType { get; init; } = V2ContentType;

    public string? ContentEncoding { get; init; } = "snappy";

    /// <summary>Takes the place of the first byte of the compressed body.</summary>
    public byte? FirstByte { get; init; }

    /// <summary>The status, where it does not follow from the series.</summary>
    public int? OtherStatus { get; init; }

    public int Status => OtherStatus ?? (Series.Any(series => series.IsRefused) ? 400 : 204);

    /// <summary>What must be stored: nothing, when the request fails as a whole.</summary>
    public IEnumerable<SentSeries> Stored => OtherStatus is null ? Series.Where(series => !series.IsRefused) : [];

    public Counts Written => new(
        Stored.Sum(series => series.Samples.Count),
        Stored.Sum(series => series.Histograms.Count),
        Stored.Sum(series => series.Exemplars.Count));

    public static ReceiverCase Of(string name, params SentSeries[] series) => new(name, series);

    public ReceiverCase AsV1() => this with { Version = RemoteWriteVersion.V1, ContentType = V1ContentType };

    public byte[] Body(long nowMs)
    {
        var body = RemoteWriteBody.Compress(
            Version == RemoteWriteVersion.V2 ? SentBody.V2(Series, nowMs) : SentBody.V1(Series, nowMs));
        body[0] = FirstByte ?? body[0];
        return body;
    }

    public HttpRequestMessage Request(Uri url, long nowMs)
    {
        var content = new ByteArrayContent(Body(nowMs));
        if (ContentType is not null)
        {
            content.Headers.ContentType = MediaTypeHeaderValue.Parse(ContentType);
        }
        if (ContentEncoding is not null)
        {
            content.Headers.ContentEncoding.Add(ContentEncoding);
        }
        var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = content };
        if (Version == RemoteWriteVersion.V2)
        {
            request.Headers.Add($"{Prefix}Version", "2.0.0");
        }
        return request;
    }

    /// <summary>Null when the answer is right, else what is wrong with it.</summary>
    public string? Judge(HttpResponseMessage response)
    {
        if ((int)response.StatusCode != Status)
        {
            return $"{Name}: the status is {(int)response.StatusCode}, not {Status}";
        }
        var saysWritten = response.Headers.Any(
            header => header.Key.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase));
        if (saysWritten && Version == RemoteWriteVersion.V1)
        {
            return $"{Name}: counts are told to a sender of 1.0";
        }
        var told = new Counts(Told(response, "Samples"), Told(response, "Histograms"), Told(response, "Exemplars"));
        return Version == RemoteWriteVersion.V1 || told == Written ? null : $"{Name}: {told} is told, not {Written}";
    }

    /// <summary>A missing header says that nothing was written.</summary>
    private static int Told(HttpResponseMessage response, string kind) =>
        response.Headers.TryGetValues($"{Prefix}{kind}-Written", out var values)
            ? int.Parse(values.Single(), CultureInfo.InvariantCulture)
            : 0;
}
