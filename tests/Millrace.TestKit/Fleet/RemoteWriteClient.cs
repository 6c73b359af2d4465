using System.Globalization;
using System.Net;
using System.Net.Http;

namespace Millrace.TestKit.Fleet;

/// <summary>
/// A sender with Prometheus' manners: what got no answer, a 5xx or a 429 is sent again as the same bytes until it is
/// taken, after a pause that doubles or that the receiver named; any other refusal is final.
/// </summary>
public sealed class RemoteWriteClient(Uri url, RemoteWriteVersion version = RemoteWriteVersion.V1) : IDisposable
{
    private const string WrittenSamplesHeader = "X-Prometheus-Remote-Write-Samples-Written";
    private static readonly TimeSpan MinBackoff = TimeSpan.FromMilliseconds(30);

    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(30) };
    private long _acceptedSamples;
    private long _retries;

    /// <summary>Prometheus waits up to 5 s; shorter keeps tests short.</summary>
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(5);

    public long AcceptedSamples => Interlocked.Read(ref _acceptedSamples);

    public long Retries => Interlocked.Read(ref _retries);

    /// <summary>Returns when the samples are taken; a final refusal is an exception with the receiver's text.</summary>
    public async Task SendAsync(IReadOnlyList<FleetSample> samples, CancellationToken cancellation = default)
    {
        if (samples.Count == 0)
        {
            return;
        }
        var body = RemoteWriteBody.Encode(samples, version);
        var pause = MinBackoff;
        while (true)
        {
            var wait = await TrySendAsync(body, samples.Count, cancellation);
            if (wait is null)
            {
                Interlocked.Add(ref _acceptedSamples, samples.Count);
                return;
            }
            Interlocked.Increment(ref _retries);
            await Task.Delay(wait > TimeSpan.Zero ? wait.Value : pause, cancellation);
            pause = pause * 2 < MaxBackoff ? pause * 2 : MaxBackoff;
        }
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Null: taken. Zero: try again. More: try again after that time.</summary>
    private async Task<TimeSpan?> TrySendAsync(byte[] body, int samples, CancellationToken cancellation)
    {
        using var content = new ByteArrayContent(body);
        // As text: MediaTypeHeaderValue writes "; proto=" with a space, which Prometheus does not read.
        content.Headers.TryAddWithoutValidation("Content-Type", version == RemoteWriteVersion.V1
            ? "application/x-protobuf"
            : "application/x-protobuf;proto=io.prometheus.write.v2.Request");
        content.Headers.ContentEncoding.Add("snappy");
        using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = content };
        request.Headers.Add(
            "X-Prometheus-Remote-Write-Version", version == RemoteWriteVersion.V1 ? "0.1.0" : "2.0.0");
        try
        {
            using var response = await _http.SendAsync(request, cancellation);
            if (response.IsSuccessStatusCode)
            {
                CheckWritten(response, samples);
                return null;
            }
            if (response.StatusCode == HttpStatusCode.TooManyRequests || (int)response.StatusCode >= 500)
            {
                return response.Headers.RetryAfter?.Delta ?? TimeSpan.Zero;
            }
            var text = await response.Content.ReadAsStringAsync(cancellation);
            throw new InvalidOperationException($"{url} refused a request: {(int)response.StatusCode} {text}");
        }
        catch (HttpRequestException)
        {
            return TimeSpan.Zero;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return TimeSpan.Zero;
        }
    }

    /// <summary>A receiver of 2.0 must say how much it wrote; Prometheus takes silence as "not written".</summary>
    private void CheckWritten(HttpResponseMessage response, int samples)
    {
        if (version == RemoteWriteVersion.V1)
        {
            return;
        }
        var written = response.Headers.TryGetValues(WrittenSamplesHeader, out var values)
            ? string.Join(',', values)
            : "nothing";
        if (written != samples.ToString(CultureInfo.InvariantCulture))
        {
            throw new InvalidOperationException($"{url} wrote {written} of {samples} samples.");
        }
    }
}
