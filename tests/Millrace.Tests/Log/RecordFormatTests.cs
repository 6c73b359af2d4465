using System.Text;
using Millrace.Log;

namespace Millrace.Tests.Log;

public class RecordFormatTests
{
    // The check value of CRC-32C, and the vectors of RFC 3720, B.4.
    [Fact]
    public void The_checksum_is_crc32c()
    {
        Crc32C.Compute(Encoding.ASCII.GetBytes("123456789")).ShouldBe(0xE3069283);
        Crc32C.Compute(new byte[32]).ShouldBe(0x8A9136AAu);
        Crc32C.Compute(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()).ShouldBe(0x46DD794Eu);
        Crc32C.Compute([]).ShouldBe(0u);
    }

    [Theory]
    [InlineData(3071)]
    [InlineData(3072)]
    [InlineData(3073)]
    [InlineData(200_001)]
    public void The_checksum_of_much_is_that_of_its_pieces(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        var piecewise = 0u;
        foreach (var piece in bytes.Chunk(1000))
        {
            piecewise = Crc32C.Extend(piecewise, piece);
        }

        Crc32C.Compute(bytes).ShouldBe(piecewise);
    }

    [Fact]
    public void The_checksum_of_two_pieces_is_that_of_the_whole()
    {
        var random = new Random(1);
        foreach (var length in (int[])[0, 1, 7, 8, 9, 100, 1023, 1024, 3071, 3072, 3073, 10_000, 200_000])
        {
            var bytes = new byte[length];
            random.NextBytes(bytes);
            var cut = random.Next(length + 1);

            Crc32C.Extend(Crc32C.Compute(bytes.AsSpan(0, cut)), bytes.AsSpan(cut)).ShouldBe(Crc32C.Compute(bytes));
            Crc32C.Compute(bytes).ShouldBe(BytewiseCrc(bytes), $"length {length}");
        }
    }

    [Fact]
    public void Stored_numbers_of_record_types_never_change() =>
        Enum.GetValues<RecordType>().Select(type => $"{type}={(byte)type}").ShouldBe(
        [
            "Batch=1", "Close=2", "Configuration=3", "Base=4", "OutputGroup=5", "Block=6", "Ledger=7", "Derived=8",
            "LetterSettlement=9",
        ]);

    // A change of these bytes makes every log in the field unreadable: add a format version instead.
    [Fact]
    public void The_bytes_of_a_record_never_change()
    {
        var bytes = new byte[RecordFormat.RecordHeaderBytes];
        RecordFormat.WriteRecordHeader(bytes, SomeHeader(), new RecordPlace(0x77, 0x70, 4096), 5, 0xAABBCCDD);

        Convert.ToHexString(bytes).ShouldBe(
            "4D526563" + Convert.ToHexString(bytes, 4, 4) + "05000000" + "DDCCBBAA" + "7700000000000000"
            + "8877665544332211" + "0900000000000000" + "02000000000000000100000000000000"
            + "33221100554477668899AABBCCDDEEFF" + "2A00000000000000" + "05" + "03" + "0201" + "00000000");
        BitConverter.ToUInt32(bytes, 4).ShouldBe(BytewiseCrc(
            [0x70, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, .. bytes[8..]]));
    }

    [Fact]
    public void A_header_is_read_as_it_was_written_and_only_in_its_place()
    {
        var bytes = new byte[RecordFormat.RecordHeaderBytes];
        RecordFormat.WriteRecordHeader(bytes, SomeHeader(), new RecordPlace(0x77, 0x70, 4096), 5, 0xAABBCCDD);

        RecordFormat.TryReadRecordHeader(bytes, 0x70, 4096, out var frame).ShouldBeTrue();
        frame.ShouldBe(new RecordFrame(0x77, SomeHeader(), 5, 0xAABBCCDD));
        RecordFormat.TryReadRecordHeader(bytes, 0x70, 4104, out _).ShouldBeFalse();
        RecordFormat.TryReadRecordHeader(bytes, 0x71, 4096, out _).ShouldBeFalse();
        RecordFormat.TryReadRecordHeader(bytes.AsSpan(1), 0x70, 4096, out _).ShouldBeFalse();
    }

    [Fact]
    public void Every_flipped_bit_of_a_header_is_noticed()
    {
        var record = new byte[RecordFormat.RecordHeaderBytes];
        var segment = new byte[RecordFormat.SegmentHeaderBytes];
        RecordFormat.WriteRecordHeader(record, SomeHeader(), new RecordPlace(3, 1, 64), 5, 1);
        RecordFormat.WriteSegmentHeader(segment, Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 1);

        for (var bit = 0; bit < record.Length * 8; bit++)
        {
            record[bit / 8] ^= (byte)(1 << (bit % 8));
            RecordFormat.TryReadRecordHeader(record, 1, 64, out _).ShouldBeFalse($"bit {bit}");
            record[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        for (var bit = 0; bit < segment.Length * 8; bit++)
        {
            segment[bit / 8] ^= (byte)(1 << (bit % 8));
            RecordFormat.TryReadSegmentHeader(segment, out _, out _, out _).ShouldBeFalse($"bit {bit}");
            segment[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void A_length_beyond_the_limit_is_no_record_even_with_a_good_checksum()
    {
        var bytes = new byte[RecordFormat.RecordHeaderBytes];
        var tooLong = RecordFormat.MaxPayloadBytes + 1;
        RecordFormat.WriteRecordHeader(bytes, SomeHeader(), new RecordPlace(1, 1, 64), tooLong, 0);

        RecordFormat.TryReadRecordHeader(bytes, 1, 64, out _).ShouldBeFalse();
    }

    [Theory]
    [InlineData("0000000000000001.log", 1)]
    [InlineData("00000000000000ff.log", 255)]
    [InlineData("0000000000000000.log", 0)]
    [InlineData("ffffffffffffffff.log", 0)]
    [InlineData("1.log", 0)]
    [InlineData("0000000000000001.txt", 0)]
    [InlineData("000000000000000g.log", 0)]
    public void Names_of_segments_are_told_from_other_files(string name, long expected)
    {
        var isSegment = RecordFormat.TryParseSegmentName(name, out var firstLsn);

        isSegment.ShouldBe(expected > 0);
        if (isSegment)
        {
            firstLsn.ShouldBe(expected);
            RecordFormat.SegmentName(firstLsn).ShouldBe(name);
        }
    }

    private static RecordHeader SomeHeader() => new()
    {
        Type = RecordType.OutputGroup,
        FormatVersion = 3,
        Encoding = 0x0102,
        Tenant = 9,
        ArrivalMs = 0x1122334455667788,
        RequestHash = new UInt128(1, 2),
        GatewayId = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"),
        GatewayLsn = 42,
    };

    private static uint BytewiseCrc(byte[] bytes)
    {
        var crc = uint.MaxValue;
        foreach (var b in bytes)
        {
            crc ^= b;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0x82F63B78);
            }
        }
        return ~crc;
    }
}
