using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Millrace.Delivery;

namespace Millrace.Web;

/// <summary>
/// The dead letters of a running gateway: <c>/api/v1/deadletters</c> lists them, a POST to its <c>replay</c> and
/// <c>drop</c> decides about them. Only for this machine: letters hold samples, and deciding changes something. The
/// header of <see cref="LocalCommand"/> keeps web pages away, which a browser here might show.
/// </summary>
internal sealed class LetterEndpoints(GatewayState state)
{
    public const string Path = "/api/v1/deadletters";

    private const int DefaultLimit = 100;
    private const int MaxLimit = 10_000;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(Path, (RequestDelegate)ListAsync);
        routes.MapPost($"{Path}/replay", (RequestDelegate)(context => SettleAsync(
            context, (destination, range) => destination.Replay(range, state.Pipeline.Ingest.NowMs))));
        routes.MapPost($"{Path}/drop", (RequestDelegate)(context => SettleAsync(
            context, (destination, range) => destination.Discard(range, state.Pipeline.Ingest.NowMs))));
    }

    private Task ListAsync(HttpContext context)
    {
        if (!TryFind(context, out var destination, out var range, out var problem))
        {
            return RefuseAsync(context, problem);
        }
        var limit = int.TryParse(context.Request.Query["limit"], out var asked) ? asked : DefaultLimit;
        var letters = new List<LetterReport>();
        foreach (var letter in destination.DeadLetters.Read(range))
        {
            if (letters.Count >= Math.Clamp(limit, 1, MaxLimit))
            {
                break;
            }
            letters.Add(LetterReport.Of(letter));
        }
        return JsonSerializer.SerializeAsync(
            Json(context), letters, StatusJson.Default.IReadOnlyListLetterReport, context.RequestAborted);
    }

    private Task SettleAsync(HttpContext context, Func<Destination, LetterRange, LetterSum?> settle)
    {
        (int, string)? problem = LocalCommand.Refusal(context);
        if (problem is not null || !TryFind(context, out var destination, out var range, out problem))
        {
            return RefuseAsync(context, problem);
        }
        if (settle(destination, range) is not { } sum)
        {
            return RefuseAsync(context, (
                StatusCodes.Status503ServiceUnavailable, "The disk of the dead letters refused it: try again."));
        }
        return JsonSerializer.SerializeAsync(
            Json(context), new LetterSettlementReport(sum.Letters, sum.Samples),
            StatusJson.Default.LetterSettlementReport, context.RequestAborted);
    }

    private bool TryFind(
        HttpContext context, out Destination destination, out LetterRange range, out (int, string)? problem)
    {
        (destination, range, problem) = (null!, LetterRange.All, null);
        var name = context.Request.Query["destination"].ToString();
        if (!LocalCommand.IsOfThisMachine(context.Connection))
        {
            problem = (StatusCodes.Status403Forbidden, "Dead letters are shown to this machine only.");
        }
        else if (context.Request.Query["lsn"].ToString() is { Length: > 0 } text
            && !LetterRange.TryParse(text, out range))
        {
            problem = (StatusCodes.Status400BadRequest, $"lsn: \"{text}\" is no number and no range such as 7-12.");
        }
        else if (FindDestination(name) is not { } found)
        {
            problem = (StatusCodes.Status404NotFound, $"destination: there is none called \"{name}\".");
        }
        else
        {
            destination = found;
        }
        return problem is null;
    }

    private Destination? FindDestination(string name)
    {
        foreach (var destination in state.Pipeline.Destinations)
        {
            if (string.Equals(destination.Name, name, StringComparison.Ordinal))
            {
                return destination;
            }
        }
        return null;
    }

    private static System.IO.Stream Json(HttpContext context)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.Body;
    }

    private static Task RefuseAsync(HttpContext context, (int Status, string Text)? problem)
    {
        context.Response.StatusCode = problem!.Value.Status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(problem.Value.Text + "\n");
    }
}

/// <summary>A dead letter, in <c>/api/v1/deadletters</c>. Times are milliseconds since the epoch.</summary>
internal sealed record LetterReport
{
    public long Lsn { get; init; }

    public long AtMs { get; init; }

    public required string Refusal { get; init; }

    public int Status { get; init; }

    public int Samples { get; init; }

    /// <summary>Of them: what the backend did not take.</summary>
    public int LostSamples { get; init; }

    public long FromMs { get; init; }

    public long ToMs { get; init; }

    public int Bytes { get; init; }

    /// <summary>To be sent again, and waits for its turn.</summary>
    public bool Wanted { get; init; }

    /// <summary>What the backend said.</summary>
    public required string Text { get; init; }

    public static LetterReport Of(DeadLetter letter) => new()
    {
        Lsn = letter.Lsn,
        AtMs = letter.AtMs,
        Refusal = LetterText.NameOf(letter.Letter.Refusal),
        Status = letter.Letter.StatusCode,
        Samples = letter.Letter.Block.SampleCount,
        LostSamples = letter.Letter.LostSamples,
        FromMs = letter.Letter.Block.MinTimestampMs,
        ToMs = letter.Letter.Block.MaxTimestampMs,
        Bytes = letter.Letter.Block.Bytes.Length,
        Wanted = letter.IsWanted,
        Text = letter.Letter.Text,
    };
}

/// <summary>What a replay or drop concerned.</summary>
internal sealed record LetterSettlementReport(int Letters, long Samples);
