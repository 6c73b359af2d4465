using System.IO;
using System.Net.Http;
using System.Text.Json;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Web;

namespace Millrace.Server.Commands;

/// <summary>
/// Decides about dead letters: in their folder when the gateway is stopped, by asking it while it runs and has them
/// locked.
/// </summary>
internal sealed class LetterSettler(MillraceConfig config, TextWriter output, TextWriter error)
{
    private static readonly TimeSpan GatewayTimeout = TimeSpan.FromSeconds(30);

    /// <returns>The exit code.</returns>
    public async Task<int> SettleAsync(
        string destination, string folder, LetterFate fate, LetterRange range, CancellationToken stop)
    {
        if (!Directory.Exists(folder))
        {
            output.WriteLine($"destination \"{destination}\": no blocks wait");
            return ExitCode.Ok;
        }
        try
        {
            using var letters = DeadLetters.OpenStopped(folder, new SystemDisk(), TimeProvider.System);
            var nowMs = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
            if (letters.Settle(fate, range, nowMs) is not { } sum)
            {
                error.WriteLine($"the dead letters in '{folder}' cannot be written: is the disk full?");
                return ExitCode.Failure;
            }
            Tell(destination, fate, sum.Letters, sum.Samples, "with the next start of the gateway");
            return ExitCode.Ok;
        }
        catch (LogOpenException e)
        {
            return await AskAsync(destination, fate, range, e.Message, stop);
        }
    }

    private async Task<int> AskAsync(
        string destination, LetterFate fate, LetterRange range, string locked, CancellationToken stop)
    {
        var verb = fate == LetterFate.Discarded ? "drop" : "replay";
        var address = $"http://{Address(config.Server.Listen)}";
        var query = $"destination={Uri.EscapeDataString(destination)}"
            + (range == LetterRange.All ? "" : $"&lsn={range.From}-{range.To}");
        using var client = new HttpClient { Timeout = GatewayTimeout };
        try
        {
            using var request = new HttpRequestMessage(
                HttpMethod.Post, $"{address}{LetterEndpoints.Path}/{verb}?{query}");
            request.Headers.Add(LocalCommand.Header, "deadletter");
            using var answer = await client.SendAsync(request, stop);
            var text = await answer.Content.ReadAsStringAsync(stop);
            if (!answer.IsSuccessStatusCode)
            {
                error.WriteLine($"the gateway at {address} answered {(int)answer.StatusCode}: {text.Trim()}");
                return ExitCode.Failure;
            }
            var report = JsonSerializer.Deserialize(text, StatusJson.Default.LetterSettlementReport)!;
            Tell(destination, fate, report.Letters, report.Samples, "now");
            return ExitCode.Ok;
        }
        catch (Exception e) when (e is HttpRequestException or TaskCanceledException or JsonException)
        {
            error.WriteLine(locked);
            error.WriteLine($"and a gateway at {address} (server.listen) does not answer: {e.Message}");
            return ExitCode.Failure;
        }
    }

    private void Tell(string destination, LetterFate fate, int letters, long samples, string when) =>
        output.WriteLine($"destination \"{destination}\": {letters} blocks with {samples} samples "
            + (fate == LetterFate.Discarded ? "dropped" : $"will be sent again {when}"));

    /// <summary>Where a listener of this machine is reached.</summary>
    public static string Address(string listen)
    {
        var colon = listen.LastIndexOf(':');
        var host = listen[..colon];
        return (host is "" or "0.0.0.0" or "*" ? "127.0.0.1" : host == "[::]" ? "[::1]" : host) + listen[colon..];
    }
}
