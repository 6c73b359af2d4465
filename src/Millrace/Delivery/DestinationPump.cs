using System.Net.Http;
using System.Net.Http.Headers;
using Microsoft.Extensions.Logging;

namespace Millrace.Delivery;

/// <summary>Sends what a destination gives out.</summary>
internal sealed class DestinationPump(Destination destination, TimeProvider time, ILogger logger) : IDisposable
{
    private readonly ILogger _logger = logger;
    private readonly HttpClient _client = new(new SocketsHttpHandler { UseProxy = false });

    public async Task RunAsync(CancellationToken stop)
    {
        using var wake = new SemaphoreSlim(0, int.MaxValue);
        destination.BlockOffered = () => wake.Release();
        var running = new List<Task>();
        try
        {
            while (!stop.IsCancellationRequested)
            {
                var now = time.GetUtcNow().ToUnixTimeMilliseconds();
                while (destination.TryTakeDue(now, out var sending))
                {
                    running.Add(SendAsync(sending, wake));
                }
                running.RemoveAll(static task => task.IsCompleted);
                await wake.WaitAsync(100, stop);
            }
        }
        catch (OperationCanceledException)
        {
        }
        await Task.WhenAll(running);
    }

    public void Dispose() => _client.Dispose();

    private async Task SendAsync(Sending sending, SemaphoreSlim wake)
    {
        SendResult result;
        try
        {
            using var content = new ReadOnlyMemoryContent(sending.Body);
            content.Headers.ContentType = MediaTypeHeaderValue.Parse(sending.ContentType);
            content.Headers.ContentEncoding.Add(sending.ContentEncoding);
            content.Headers.Add(sending.VersionHeader, sending.Version);
            using var response = await _client.PostAsync(destination.Config.Url, content);
            result = SendResult.Status((int)response.StatusCode, await response.Content.ReadAsStringAsync());
        }
        catch (HttpRequestException e) when (_logger.IsEnabled(LogLevel.Trace) || e is not null)
        {
            result = new SendResult { Outcome = SendOutcome.NetworkError, Body = "" };
        }
        destination.Complete(sending, result, time.GetUtcNow().ToUnixTimeMilliseconds());
        wake.Release();
    }
}
