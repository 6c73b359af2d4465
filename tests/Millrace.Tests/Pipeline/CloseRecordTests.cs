using FsCheck;
using FsCheck.Fluent;
using Millrace.Pipeline;

namespace Millrace.Tests.Pipeline;

public sealed class CloseRecordTests
{
    [Fact]
    public void Reads_what_it_wrote() => Prop.ForAll<(ulong High, ulong Low, long Window)[]>(entries =>
    {
        var closes = entries.Select(entry => (new UInt128(entry.High, entry.Low), entry.Window)).ToList();
        var read = new List<(UInt128, long)>();
        return CloseRecord.TryRead(CloseRecord.Write(closes), read) && read.SequenceEqual(closes);
    }).QuickCheckThrowOnFailure();

    /// <summary>Stored in logs: the layout does not change.</summary>
    [Fact]
    public void Has_the_layout_that_older_logs_have()
    {
        var payload = CloseRecord.Write([(new UInt128(0x0102030405060708, 0x1112131415161718), 0x2122)]);
        Convert.ToHexString(payload).ShouldBe("0100000008070605040302011817161514131211" + "2221000000000000");
    }

    [Fact]
    public void Refuses_what_is_too_short_too_long_or_lies_about_its_length()
    {
        var closes = new List<(UInt128, long)>();
        var payload = CloseRecord.Write([(1, 1), (2, 2)]);
        CloseRecord.TryRead([], closes).ShouldBeFalse();
        CloseRecord.TryRead(payload.AsSpan(..^1), closes).ShouldBeFalse();
        CloseRecord.TryRead([.. payload, 0], closes).ShouldBeFalse();
        payload[3] = 0xFF;
        CloseRecord.TryRead(payload, closes).ShouldBeFalse();
        closes.ShouldBeEmpty();
    }
}
