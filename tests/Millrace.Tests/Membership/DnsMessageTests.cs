using System.Text;
using Millrace.Membership;

namespace Millrace.Tests.Membership;

public class DnsMessageTests
{
    private const string Name = "_http._tcp.x.local";

    /// <summary>The question as RFC 1035 has it, counted out by hand.</summary>
    private const string Question = "05 5f68747470 04 5f746370 01 78 05 6c6f63616c 00 0021 0001";

    /// <summary>SRV 10 20 8480 a.x.local; its owner points to the question at 12, its target to x at 23.</summary>
    private const string RecordA = "c00c 0021 0001 0000001e 000a 000a 0014 2120 01 61 c017";

    [Fact]
    public void A_question_is_these_bytes()
    {
        var target = new byte[512];
        DnsMessage.TryWriteQuery(0xBEEF, Name, target, out var length).ShouldBeTrue();
        Convert.ToHexString(target, 0, length).ShouldBe(
            Hex("beef 0100 0001 0000 0000 0000" + Question), StringCompareShould.IgnoreCase);
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("a..b")]
    [InlineData("a.")]
    [InlineData("é.local")]
    public void What_is_no_name_is_not_asked_for(string name) =>
        DnsMessage.TryWriteQuery(1, name, new byte[512], out _).ShouldBeFalse();

    [Fact]
    public void Names_and_labels_that_are_too_long_are_not_asked_for()
    {
        DnsMessage.TryWriteQuery(1, new string('a', 63), new byte[512], out _).ShouldBeTrue();
        DnsMessage.TryWriteQuery(1, new string('a', 64), new byte[512], out _).ShouldBeFalse();
        var longest = string.Join('.', Enumerable.Repeat(new string('a', 63), 4));
        DnsMessage.TryWriteQuery(1, longest[..253], new byte[512], out _).ShouldBeTrue();
        DnsMessage.TryWriteQuery(1, longest[..254], new byte[512], out _).ShouldBeFalse();
        DnsMessage.TryWriteQuery(1, Name, new byte[20], out _).ShouldBeFalse();
    }

    [Fact]
    public void Records_are_read_with_their_pointers()
    {
        var (reading, found) = Read("beef 8180 0001 0001 0000 0000" + Question + RecordA);
        reading.ShouldBe(DnsReading.Answered);
        found.ShouldBe([new SrvRecord(10, 20, 8480, "a.x.local")]);
    }

    [Fact]
    public void Aliases_before_the_records_are_passed_over()
    {
        // CNAME to "y" and behind it a record that belongs to "y", in capitals.
        var (reading, found) = Read("beef 8180 0001 0002 0000 0000" + Question
            + "c00c 0005 0001 0000001e 0003 01 79 00" + "01 79 00 0021 0001 0000001e 000a 0001 0002 0003 02 4142 00");
        reading.ShouldBe(DnsReading.Answered);
        found.ShouldBe([new SrvRecord(1, 2, 3, "ab")]);
    }

    [Fact]
    public void The_root_as_target_means_that_nobody_is_there()
    {
        var (reading, found) = Read(
            "beef 8180 0001 0001 0000 0000" + Question + "c00c 0021 0001 0000001e 0007 0000 0000 0000 00");
        reading.ShouldBe(DnsReading.Answered);
        found.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("beef 8183 0001 0000 0000 0000", DnsReading.NoSuchName)]
    [InlineData("beef 8182 0001 0000 0000 0000", DnsReading.Refused)]
    [InlineData("beef 8185 0001 0000 0000 0000", DnsReading.Refused)]
    [InlineData("beef 8380 0001 0000 0000 0000", DnsReading.Truncated)]
    [InlineData("beef 8180 0001 0000 0000 0000", DnsReading.Answered)]
    [InlineData("beee 8180 0001 0000 0000 0000", DnsReading.NotOurs)] // another id
    [InlineData("beef 0180 0001 0000 0000 0000", DnsReading.NotOurs)] // a question
    [InlineData("beef 8980 0001 0000 0000 0000", DnsReading.NotOurs)] // another operation
    [InlineData("beef 8180 0000 0000 0000 0000", DnsReading.NotOurs)] // without our question
    [InlineData("beef 8180 0001 ffff 0000 0000", DnsReading.Malformed)] // more records than a fleet
    [InlineData("beef 8180 0001 0001 0000 0000", DnsReading.Malformed)] // a record that is not there
    public void The_header_says_what_it_is(string header, object expected) =>
        Read(header + Question).Reading.ShouldBe((DnsReading)expected);

    [Fact]
    public void The_answer_to_another_question_is_ignored()
    {
        Read("beef 8180 0001 0001 0000 0000" + Question + RecordA, "_http._tcp.y.local").Reading
            .ShouldBe(DnsReading.NotOurs);
        Read("beef 8180 0001 0001 0000 0000" + Question + RecordA, Name.ToUpperInvariant()).Reading
            .ShouldBe(DnsReading.Answered);
        Read("beef 8180 0001 0000 0000 0000" + Question.Replace("0021 0001", "0001 0001")).Reading
            .ShouldBe(DnsReading.NotOurs);
    }

    [Theory]
    [InlineData("c00c 0021 0001 0000001e 000a 0001 0001 0001 01 61 c036")] // to the name's own beginning
    [InlineData("c00c 0021 0001 0000001e 000a 0001 0001 0001 01 61 c0ff")] // forwards
    [InlineData("c00c 0021 0001 0000001e 000a 0001 0001 0001 01 61 c001")] // into the header
    [InlineData("c024 0021 0001 0000001e 000a 0001 0001 0001 01 61 c00c")] // the owner to itself
    [InlineData("c00c 0021 0001 0000001e 0008 0001 0001 0001 40 00")] // a length of no meaning
    [InlineData("c00c 0021 0001 0000001e 0009 0001 0001 0001 01 61 c0")] // half a pointer
    [InlineData("c00c 0021 0001 0000001e 0009 0001 0001 0001 05 61 00")] // a label past the end
    [InlineData("c00c 0021 0001 0000001e 000a 0001 0001 0001 01 61 00 00")] // content behind the name
    [InlineData("c00c 0021 0001 0000001e 0006 0001 0001 0001")] // no name
    [InlineData("c00c 0021 0001 0000001e 00ff 0001 0001 0001 01 61 00")] // a length past the end
    [InlineData("c00c 0021 0001 0000001e 0009 0001 0001 0001 01 2f 00")] // "/" is in no host
    [InlineData("c00c 0021 0001 0000001e 0009 0001 0001 0001 01 2e 00")] // a dot in a label
    [InlineData("c00c 0021 0001 0000001e 0009 0001 0001 0001 01 e9 00")]
    public void What_is_no_record_is_told_apart(string record) =>
        Read("beef 8180 0001 0001 0000 0000" + Question + record).Reading.ShouldBe(DnsReading.Malformed);

    [Fact]
    public void A_target_longer_than_a_name_may_be_is_refused()
    {
        var labels = string.Concat(Enumerable.Repeat("3f" + string.Concat(Enumerable.Repeat("61", 63)), 4));
        Read("beef 8180 0001 0001 0000 0000" + Question + "c00c 0021 0001 0000001e 0107 0001 0001 0001" + labels + "00")
            .Reading.ShouldBe(DnsReading.Malformed);
    }

    [Fact]
    public void Any_bytes_end_in_a_reading()
    {
        var random = new Random(20_261);
        var seed = Convert.FromHexString(Hex("beef 8180 0001 0003 0000 0000" + Question + RecordA + RecordA + RecordA));
        var readings = new HashSet<DnsReading>();
        for (var run = 0; run < 200_000; run++)
        {
            var message = new byte[run % 4 == 0 ? random.Next(0, 600) : seed.Length];
            if (run % 4 == 0)
            {
                random.NextBytes(message);
                seed.AsSpan(0, Math.Min(12, message.Length)).CopyTo(message);
            }
            else
            {
                seed.CopyTo(message, 0);
                for (var change = random.Next(1, 4); change > 0; change--)
                {
                    message[random.Next(message.Length)] = (byte)(random.Next(3) == 0 ? 0xC0 : random.Next(256));
                }
                message = message[..random.Next(message.Length * 3 / 4, message.Length + 1)];
            }
            var found = new List<SrvRecord>();
            readings.Add(DnsMessage.Read(message, 0xBEEF, Name, found));
            if (found.Count > 100 || found.Exists(static record => record.Target.Length is 0 or > 253))
            {
                throw new InvalidOperationException($"Run {run}: {Convert.ToHexString(message)}");
            }
        }
        readings.Count.ShouldBeGreaterThanOrEqualTo(5);
    }

    private static (DnsReading Reading, List<SrvRecord> Found) Read(string hex, string name = Name)
    {
        var found = new List<SrvRecord>();
        return (DnsMessage.Read(Convert.FromHexString(Hex(hex)), 0xBEEF, name, found), found);
    }

    private static string Hex(string text) => new StringBuilder(text).Replace(" ", "").ToString();
}
