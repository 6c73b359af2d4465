namespace Millrace.Delivery;

/// <summary>What to do with a part of a block after an answer.</summary>
internal enum VerdictKind : byte
{
    /// <summary>It is in the backend.</summary>
    Taken,

    /// <summary>The backend counted what it wrote; the rest is refused for good.</summary>
    TakenInPart,

    /// <summary>The same bytes again, later.</summary>
    Retry,

    /// <summary>The same samples at once, in the older protocol.</summary>
    Downgrade,

    /// <summary>In halves, until the bad series stands alone.</summary>
    Split,

    /// <summary>Without the samples beyond the backend's time bound.</summary>
    Trim,

    /// <summary>Refused for good: to the dead letters.</summary>
    Park,
}

/// <summary>Why a backend said no, as far as its status and text tell.</summary>
internal enum Refusal : byte
{
    None,
    Duplicate,
    OutOfOrder,
    TooOld,
    TooFarAhead,
    TooLarge,
    Unsupported,

    /// <summary>2xx to remote write 2.0 without counts: the receiver read an empty 1.0 message.</summary>
    NothingWritten,

    /// <summary>A bad request whose text we do not know.</summary>
    Invalid,

    /// <summary>Overloaded, failing, wrongly addressed or away: nothing is wrong with the block.</summary>
    Unavailable,
}

/// <summary>What is known of the part when its answer is judged.</summary>
/// <param name="Protocol">The protocol it was sent in.</param>
/// <param name="Proven">The backend has taken a block in this protocol before.</param>
/// <param name="HasOlder">There is an older protocol to fall back to.</param>
/// <param name="Repeated">These bytes may have been committed by an earlier request whose answer was lost.</param>
/// <param name="SampleCount">Samples and histograms in the part.</param>
internal readonly record struct SendContext(
    WireProtocol Protocol, bool Proven, bool HasOlder, bool Repeated, int SampleCount);

/// <summary>
/// What an answer means for a block: a pure function of status, headers, text and what was sent.
/// </summary>
/// <remarks>
/// The rows follow the measured behaviour of the backends:
/// <list type="bullet">
/// <item>Prometheus applies a 1.0 request as a whole: one refused sample rolls back all of it. So a duplicate refusal
/// of bytes that may have been committed before means that they were; of fresh bytes it says nothing about the
/// others.</item>
/// <item>Remote write 2.0 commits the valid part on 4xx and counts it.</item>
/// <item>Receivers of 1.0 answer 204 to 2.0, having read an empty message: only the counts tell.</item>
/// <item>A proxy may answer 400 for a moment: once a protocol has worked, 400 speaks of the block.</item>
/// <item>401, 403, 404 and the like are set right by an operator: the data waits, as with vmagent.</item>
/// </list>
/// </remarks>
internal readonly record struct Verdict(VerdictKind Kind, Refusal Refusal)
{
    public static Verdict Judge(in SendResult result, in SendContext context)
    {
        if (result.Outcome != SendOutcome.Answered)
        {
            return new Verdict(VerdictKind.Retry, Refusal.Unavailable);
        }
        switch (result.StatusCode)
        {
            case >= 200 and < 300:
                return JudgeSuccess(result, context);
            case 400 or 409 or 422:
                return JudgeRefusal(result, context);
            case 413:
                return new Verdict(VerdictKind.Split, Refusal.TooLarge);
            case 415:
                return new Verdict(context.HasOlder ? VerdictKind.Downgrade : VerdictKind.Park, Refusal.Unsupported);
            default:
                return new Verdict(VerdictKind.Retry, Refusal.Unavailable);
        }
    }

    /// <summary>True when the answer leaves open whether the request was committed.</summary>
    public static bool MayHaveCommitted(in SendResult result) =>
        // 502 and 504 come from something between us and the backend, which may have done its work.
        result.Outcome != SendOutcome.Answered ? !result.WasNeverSent : result.StatusCode is 408 or 502 or 504;

    private static Verdict JudgeSuccess(in SendResult result, in SendContext context)
    {
        if (context.Protocol != WireProtocol.PrometheusV2 || context.SampleCount == 0)
        {
            // Prometheus 3.8.0 sends the counts on 1.0 as well, and wrong: they are not looked at.
            return new Verdict(VerdictKind.Taken, Refusal.None);
        }
        var written = result.Written is { } counts ? counts.Samples + counts.Histograms : 0;
        if (written >= context.SampleCount)
        {
            return new Verdict(VerdictKind.Taken, Refusal.None);
        }
        if (context.HasOlder && (result.Written is null || (written == 0 && !context.Proven)))
        {
            return new Verdict(VerdictKind.Downgrade, Refusal.NothingWritten);
        }
        return new Verdict(VerdictKind.TakenInPart, result.Written is null ? Refusal.NothingWritten : Refusal.Invalid);
    }

    private static Verdict JudgeRefusal(in SendResult result, in SendContext context)
    {
        var refusal = Classify(result.Body);
        var meansRepeat = refusal is Refusal.Duplicate or Refusal.OutOfOrder;
        if (meansRepeat && context.Repeated)
        {
            return new Verdict(VerdictKind.Taken, refusal);
        }
        if (context.Protocol == WireProtocol.PrometheusV2 && result.Written is not null)
        {
            return new Verdict(VerdictKind.TakenInPart, refusal);
        }
        if (refusal == Refusal.Invalid && result.StatusCode == 400 && !context.Proven && context.HasOlder)
        {
            return new Verdict(VerdictKind.Downgrade, refusal);
        }
        return refusal switch
        {
            Refusal.TooOld or Refusal.TooFarAhead => new Verdict(VerdictKind.Trim, refusal),
            Refusal.Invalid when result.StatusCode == 409 => new Verdict(VerdictKind.Park, refusal),
            _ => new Verdict(VerdictKind.Split, refusal),
        };
    }

    /// <summary>
    /// The words of Prometheus, Thanos, Cortex and Mimir. The future comes first: its text also says "out of
    /// bounds".
    /// </summary>
    public static Refusal Classify(string? body)
    {
        if (Says(body, "future"))
        {
            return Refusal.TooFarAhead;
        }
        if (Says(body, "too old") || Says(body, "too-old") || Says(body, "out of bounds"))
        {
            return Refusal.TooOld;
        }
        if (Says(body, "duplicate sample") || Says(body, "duplicate-timestamp") || Says(body, "same timestamp"))
        {
            return Refusal.Duplicate;
        }
        if (Says(body, "out of order") || Says(body, "out-of-order"))
        {
            return Refusal.OutOfOrder;
        }
        return Refusal.Invalid;
    }

    private static bool Says(string? body, string words) =>
        body is not null && body.Contains(words, StringComparison.OrdinalIgnoreCase);
}
