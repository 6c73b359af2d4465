using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

public sealed class VerdictTests
{
    private static readonly SendContext V1 = new(WireProtocol.PrometheusV1, true, false, false, 10);
    private static readonly SendContext V2 = new(WireProtocol.PrometheusV2, true, true, false, 10);
    private static readonly SendContext NewV2 = V2 with { Proven = false };
    private static readonly SendContext Zstd = new(WireProtocol.VictoriaMetrics, true, true, false, 10);
    private static readonly SendContext NewZstd = Zstd with { Proven = false };

    [Theory]
    [InlineData(200)]
    [InlineData(202)]
    [InlineData(204)]
    public void A_2xx_to_1_0_means_taken_whatever_the_counts_say(int status)
    {
        Kind(SendResult.Status(status), V1).ShouldBe(VerdictKind.Taken);
        Kind(SendResult.WrittenBy(status, 0), V1).ShouldBe(VerdictKind.Taken);
    }

    [Fact]
    public void A_2xx_to_2_0_means_taken_when_the_counts_agree()
    {
        Kind(SendResult.WrittenBy(204, 10), V2).ShouldBe(VerdictKind.Taken);
        Kind(SendResult.Status(204) with { Written = new WrittenCounts(4, 6, 0) }, V2).ShouldBe(VerdictKind.Taken);
    }

    [Fact]
    public void A_2xx_to_2_0_without_counts_was_read_as_an_empty_1_0_message()
    {
        Judge(SendResult.Status(204), NewV2).ShouldBe(new Verdict(VerdictKind.Downgrade, Refusal.NothingWritten));
        Kind(SendResult.Status(204), V2).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.WrittenBy(204, 0), NewV2).ShouldBe(VerdictKind.Downgrade);
    }

    [Fact]
    public void A_2xx_to_2_0_with_fewer_written_is_taken_in_part() =>
        Kind(SendResult.WrittenBy(200, 7), V2).ShouldBe(VerdictKind.TakenInPart);

    [Theory]
    [InlineData(429)]
    [InlineData(408)]
    [InlineData(500)]
    [InlineData(502)]
    [InlineData(503)]
    [InlineData(504)]
    [InlineData(401)] // an operator sets these right; vmagent waits too
    [InlineData(403)]
    [InlineData(404)]
    [InlineData(301)]
    public void Nothing_is_wrong_with_the_block_when_the_backend_is(int status) =>
        Judge(SendResult.Status(status), V1).ShouldBe(new Verdict(VerdictKind.Retry, Refusal.Unavailable));

    [Fact]
    public void A_lost_answer_is_retried_and_may_have_been_committed()
    {
        Kind(SendResult.NetworkError, V2).ShouldBe(VerdictKind.Retry);
        Kind(SendResult.Timeout, V1).ShouldBe(VerdictKind.Retry);
        Verdict.MayHaveCommitted(SendResult.NetworkError).ShouldBeTrue();
        Verdict.MayHaveCommitted(SendResult.NetworkError with { WasNeverSent = true }).ShouldBeFalse();
        Verdict.MayHaveCommitted(SendResult.Timeout).ShouldBeTrue();
        Verdict.MayHaveCommitted(SendResult.Status(502)).ShouldBeTrue();
        Verdict.MayHaveCommitted(SendResult.Status(504)).ShouldBeTrue();
        Verdict.MayHaveCommitted(SendResult.Status(503)).ShouldBeFalse();
        Verdict.MayHaveCommitted(SendResult.Status(500)).ShouldBeFalse(); // Prometheus rolls back
    }

    [Fact]
    public void An_unsupported_protocol_gives_way_to_the_older_one()
    {
        Kind(SendResult.Status(415), NewV2).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.Status(415), V2).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.Status(415), NewZstd).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.Status(415), V1).ShouldBe(VerdictKind.Park);
    }

    [Fact]
    public void A_400_on_the_first_use_of_a_protocol_speaks_of_the_protocol_and_later_of_the_block()
    {
        Kind(SendResult.Status(400, "snappy: corrupt input"), NewZstd).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.Status(400, "bad"), NewV2).ShouldBe(VerdictKind.Downgrade);
        Kind(SendResult.Status(400, "bad"), Zstd).ShouldBe(VerdictKind.Split);
        Kind(SendResult.Status(400, "bad"), V1).ShouldBe(VerdictKind.Split);
        // A text about samples comes from a receiver that understood the protocol.
        Kind(SendResult.Status(400, "out of order sample"), NewV2).ShouldBe(VerdictKind.Split);
    }

    [Fact]
    public void A_body_that_is_too_large_is_split() =>
        Judge(SendResult.Status(413), V2).ShouldBe(new Verdict(VerdictKind.Split, Refusal.TooLarge));

    [Theory]
    [InlineData("out of order sample")]
    [InlineData("duplicate sample for timestamp")]
    [InlineData("user=x: err: out-of-order-sample. The affected sample has timestamp 1")]
    [InlineData("err-mimir-sample-duplicate-timestamp")]
    public void A_duplicate_refusal_means_taken_for_repeated_bytes_and_nothing_for_fresh_ones(string text)
    {
        var repeated = V1 with { Repeated = true };
        Kind(SendResult.Status(400, text), repeated).ShouldBe(VerdictKind.Taken);
        Kind(SendResult.Status(409, text), repeated).ShouldBe(VerdictKind.Taken);
        Kind(SendResult.Status(400, text), V1).ShouldBe(VerdictKind.Split);
        Kind(SendResult.Status(400, "something else"), repeated).ShouldBe(VerdictKind.Split);
    }

    [Theory]
    [InlineData("out of bounds", (int)Refusal.TooOld)]
    [InlineData("too old sample", (int)Refusal.TooOld)]
    [InlineData("err-mimir-sample-timestamp-too-old", (int)Refusal.TooOld)]
    [InlineData("out of bounds: timestamp is too far in the future", (int)Refusal.TooFarAhead)]
    public void A_refusal_by_time_is_answered_by_trimming_also_for_repeated_bytes(string text, int refusal)
    {
        Judge(SendResult.Status(400, text), V1).ShouldBe(new Verdict(VerdictKind.Trim, (Refusal)refusal));
        Kind(SendResult.Status(400, text), V1 with { Repeated = true }).ShouldBe(VerdictKind.Trim);
    }

    [Fact]
    public void A_4xx_to_2_0_with_counts_committed_the_valid_part()
    {
        Judge(SendResult.WrittenBy(400, 9, "out of order sample"), V2)
            .ShouldBe(new Verdict(VerdictKind.TakenInPart, Refusal.OutOfOrder));
        Judge(SendResult.WrittenBy(400, 9, "out of bounds"), NewV2)
            .ShouldBe(new Verdict(VerdictKind.TakenInPart, Refusal.TooOld));
        Kind(SendResult.WrittenBy(400, 9, "out of order sample"), V2 with { Repeated = true })
            .ShouldBe(VerdictKind.Taken);
    }

    [Fact]
    public void A_conflict_without_known_words_is_parked() =>
        Kind(SendResult.Status(409, "no"), V1).ShouldBe(VerdictKind.Park);

    private static VerdictKind Kind(SendResult result, SendContext context) => Judge(result, context).Kind;

    private static Verdict Judge(SendResult result, SendContext context) => Verdict.Judge(result, context);
}
