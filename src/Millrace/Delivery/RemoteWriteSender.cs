using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using Millrace.Delivery.Authentication;

namespace Millrace.Delivery;

/// <summary>Makes the requests of a destination over HTTP/1.1 and tells what came back.</summary>
internal sealed class RemoteWriteSender : IDisposable
{
    /// <summary>How much of an answer's text is looked at: enough for what backends say of a sample.</summary>
    private const int MaxBodyBytes = 2_048;

    private readonly HttpClient _client;
    private readonly DestinationConfig _config;
    private readonly TimeProvider _time;
    private readonly string _userAgent;

    /// <param name="handler">The connections; null: our own. Disposed with the sender.</param>
    public RemoteWriteSender(DestinationConfig config, TimeProvider time, HttpMessageHandler? handler = null)
    {
        (_config, _time) = (config, time);
        _userAgent = $"Millrace/{typeof(RemoteWriteSender).Assembly.GetName().Version?.ToString(2) ?? "0.0"}";
        _client = new HttpClient(handler ?? HttpConnections.Create(config, time))
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>The address without what could be a secret: user info and query.</summary>
    public static string Masked(Uri url) =>
        $"{url.Scheme}://{url.Authority}{url.AbsolutePath}{(url.Query.Length > 0 ? "?…" : "")}";

    /// <summary>Never throws for what the network or the backend does.</summary>
    /// <exception cref="OperationCanceledException">Given up by <paramref name="abandon"/>: nobody knows the
    /// answer.</exception>
    public async Task<SendResult> SendAsync(Sending sending, CancellationToken abandon)
    {
        using var timeout = new CancellationTokenSource(_config.SendTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(
            timeout.Token, sending.Part.GivenUp, abandon);
        try
        {
            using var request = RequestOf(sending);
            using var response = await _client.SendAsync(
                request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return new SendResult
            {
                Outcome = SendOutcome.Answered,
                StatusCode = (int)response.StatusCode,
                RetryAfter = RetryAfterOf(response),
                Written = WrittenOf(response),
                Body = response.IsSuccessStatusCode ? "" : await ReadTextAsync(response, either.Token),
            };
        }
        catch (OperationCanceledException) when (!abandon.IsCancellationRequested)
        {
            return SendResult.Timeout with
            {
                Body = timeout.IsCancellationRequested
                    ? $"no answer within {_config.SendTimeout.TotalSeconds:0.#} s" : "the node was given up",
            };
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            var error = (e as HttpRequestException)?.HttpRequestError ?? HttpRequestError.Unknown;
            return SendResult.NetworkError with
            {
                // What is wrong with a certificate stands in the inner one.
                Body = e.InnerException is { } inner ? $"{e.Message} {inner.Message}" : e.Message,
                WasNeverSent = error is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError
                    or HttpRequestError.SecureConnectionError,
            };
        }
    }

    public void Dispose() => _client.Dispose();

    private HttpRequestMessage RequestOf(Sending sending)
    {
        var content = new ReadOnlyMemoryContent(sending.Body);
        // As text: a parsed value is written with a blank before "proto", and Prometheus 3.5 then takes 2.0 for 1.0.
        content.Headers.TryAddWithoutValidation("Content-Type", sending.ContentType);
        content.Headers.ContentEncoding.Add(sending.ContentEncoding);
        var url = sending.Node.Url;
        var request = new HttpRequestMessage(HttpMethod.Post, WithoutUserInfo(url))
        {
            Content = content,
            Version = System.Net.HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        // What the protocol says of a request is not for the configuration to change.
        foreach (var (name, value) in _config.Headers)
        {
            if (!IsOurs(name))
            {
                request.Headers.TryAddWithoutValidation(name, value);
            }
        }
        if (url.UserInfo.Length > 0 && !request.Headers.Contains("Authorization"))
        {
            request.Headers.Authorization = new AuthenticationHeaderValue(
                "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(Uri.UnescapeDataString(url.UserInfo))));
        }
        request.Headers.TryAddWithoutValidation("User-Agent", _userAgent);
        request.Headers.TryAddWithoutValidation(sending.VersionHeader, sending.Version);
        return request;
    }

    private static bool IsOurs(string header) =>
        header.StartsWith("Content-", StringComparison.OrdinalIgnoreCase)
        || header.Equals("User-Agent", StringComparison.OrdinalIgnoreCase)
        || header.Equals("X-Prometheus-Remote-Write-Version", StringComparison.OrdinalIgnoreCase)
        || header.Equals("X-VictoriaMetrics-Remote-Write-Version", StringComparison.OrdinalIgnoreCase);

    private TimeSpan? RetryAfterOf(HttpResponseMessage response)
    {
        var header = response.Headers.RetryAfter;
        return header?.Delta ?? (header?.Date is { } date ? date - _time.GetUtcNow() : null);
    }

    private static WrittenCounts? WrittenOf(HttpResponseMessage response)
    {
        var samples = CountOf(response, "X-Prometheus-Remote-Write-Samples-Written");
        var histograms = CountOf(response, "X-Prometheus-Remote-Write-Histograms-Written");
        var exemplars = CountOf(response, "X-Prometheus-Remote-Write-Exemplars-Written");
        return samples is null && histograms is null && exemplars is null
            ? null
            : new WrittenCounts(samples ?? 0, histograms ?? 0, exemplars ?? 0);
    }

    private static long? CountOf(HttpResponseMessage response, string header)
    {
        if (!response.Headers.TryGetValues(header, out var values))
        {
            return null;
        }
        foreach (var value in values)
        {
            if (long.TryParse(value, System.Globalization.CultureInfo.InvariantCulture, out var count) && count >= 0)
            {
                return count;
            }
        }
        return null;
    }

    private static async Task<string> ReadTextAsync(HttpResponseMessage response, CancellationToken stop)
    {
        var text = new byte[MaxBodyBytes];
        var length = 0;
        try
        {
            await using var stream = await response.Content.ReadAsStreamAsync(stop);
            length = await stream.ReadAtLeastAsync(text, text.Length, throwOnEndOfStream: false, stop);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            // The status has been read: the answer stands without its text.
        }
        return Encoding.UTF8.GetString(text, 0, length);
    }

    private static Uri WithoutUserInfo(Uri url) =>
        url.UserInfo.Length == 0 ? url : new UriBuilder(url) { UserName = "", Password = "" }.Uri;
}
