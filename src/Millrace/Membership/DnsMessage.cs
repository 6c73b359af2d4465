using System.Buffers.Binary;
using System.Text;

namespace Millrace.Membership;

/// <summary>A host and port that offer what was asked for; a lower priority is to be preferred.</summary>
internal readonly record struct SrvRecord(int Priority, int Weight, int Port, string Target);

/// <summary>What a datagram or message turned out to be.</summary>
internal enum DnsReading : byte
{
    /// <summary>Not the answer to our question: to be ignored, whoever sent it.</summary>
    NotOurs,

    Answered,

    /// <summary>There is more than fits into a datagram: ask again over TCP.</summary>
    Truncated,

    /// <summary>The name does not exist.</summary>
    NoSuchName,

    /// <summary>The server cannot or will not answer.</summary>
    Refused,

    /// <summary>It answers our question, in bytes that are no answer.</summary>
    Malformed,
}

/// <summary>
/// The few messages of DNS (RFC 1035) that a lookup of SRV records (RFC 2782) needs; the platform's resolver knows only
/// addresses.
/// </summary>
/// <remarks>
/// A header of 12 bytes (id, flags, four counts), the question, then records: name, type, class, time to live, length,
/// content. A name is a row of labels, each behind its length; the two highest bits of a length make it a pointer to
/// an earlier place of the message. Pointers must lead strictly backwards, so that none can be followed for ever.
/// </remarks>
internal static class DnsMessage
{
    public const int MaxDatagramBytes = 512;
    private const int HeaderBytes = 12;
    private const int MaxNameLength = 253;
    private const int MaxLabelLength = 63;
    private const int MaxRecords = 4_096;
    private const ushort TypeSrv = 33;
    private const ushort ClassInternet = 1;
    private const ushort IsAnswer = 0x8000;
    private const ushort OpcodeMask = 0x7800;
    private const ushort IsTruncated = 0x0200;
    private const ushort RecursionDesired = 0x0100;
    private const ushort CodeMask = 0x000F;
    private const ushort NoSuchNameCode = 3;

    /// <summary>The question for the SRV records of a name; false when it is not a name.</summary>
    public static bool TryWriteQuery(ushort id, string name, Span<byte> target, out int length)
    {
        length = 0;
        if (name.Length is 0 or > MaxNameLength || target.Length < HeaderBytes + name.Length + 2 + 4)
        {
            return false;
        }
        target[..HeaderBytes].Clear();
        BinaryPrimitives.WriteUInt16BigEndian(target, id);
        BinaryPrimitives.WriteUInt16BigEndian(target[2..], RecursionDesired);
        BinaryPrimitives.WriteUInt16BigEndian(target[4..], 1);
        var at = HeaderBytes;
        foreach (var range in name.AsSpan().Split('.'))
        {
            var label = name.AsSpan(range);
            if (label.Length is 0 or > MaxLabelLength || !Ascii.IsValid(label))
            {
                return false;
            }
            target[at++] = (byte)label.Length;
            at += Encoding.ASCII.GetBytes(label, target[at..]);
        }
        target[at++] = 0;
        BinaryPrimitives.WriteUInt16BigEndian(target[at..], TypeSrv);
        BinaryPrimitives.WriteUInt16BigEndian(target[(at + 2)..], ClassInternet);
        length = at + 4;
        return true;
    }

    /// <summary>Reads what came back; the records are added to <paramref name="found"/>.</summary>
    public static DnsReading Read(ReadOnlySpan<byte> message, ushort id, string name, List<SrvRecord> found)
    {
        if (message.Length < HeaderBytes || BinaryPrimitives.ReadUInt16BigEndian(message) != id)
        {
            return DnsReading.NotOurs;
        }
        var flags = BinaryPrimitives.ReadUInt16BigEndian(message[2..]);
        var at = HeaderBytes;
        if ((flags & IsAnswer) == 0 || (flags & OpcodeMask) != 0
            || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1
            || !TryReadName(message, ref at, out var asked) || !asked.Equals(name, StringComparison.OrdinalIgnoreCase)
            || message.Length < at + 4 || BinaryPrimitives.ReadUInt16BigEndian(message[at..]) != TypeSrv
            || BinaryPrimitives.ReadUInt16BigEndian(message[(at + 2)..]) != ClassInternet)
        {
            return DnsReading.NotOurs;
        }
        var code = flags & CodeMask;
        if (code != 0)
        {
            return code == NoSuchNameCode ? DnsReading.NoSuchName : DnsReading.Refused;
        }
        return (flags & IsTruncated) != 0 ? DnsReading.Truncated : ReadRecords(message, at + 4, found);
    }

    private static DnsReading ReadRecords(ReadOnlySpan<byte> message, int at, List<SrvRecord> found)
    {
        var records = BinaryPrimitives.ReadUInt16BigEndian(message[6..]);
        if (records > MaxRecords)
        {
            return DnsReading.Malformed;
        }
        for (var i = 0; i < records; i++)
        {
            if (!TryReadName(message, ref at, out _) || message.Length < at + 10)
            {
                return DnsReading.Malformed;
            }
            var type = BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
            var length = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 8)..]);
            at += 10;
            if (message.Length < at + length)
            {
                return DnsReading.Malformed;
            }
            // What else stands there, such as aliases on the way to the name that has the records, is the server's.
            if (type == TypeSrv)
            {
                if (!TryReadSrv(message[..(at + length)], at, out var record))
                {
                    return DnsReading.Malformed;
                }
                if (record.Target.Length > 0) // the root as target: "not offered here"
                {
                    found.Add(record);
                }
            }
            at += length;
        }
        return DnsReading.Answered;
    }

    private static bool TryReadSrv(ReadOnlySpan<byte> message, int at, out SrvRecord record)
    {
        record = default;
        if (message.Length < at + 7)
        {
            return false;
        }
        var numbers = message.Slice(at, 6);
        at += 6;
        if (!TryReadName(message, ref at, out var target) || at != message.Length || !IsHost(target))
        {
            return false;
        }
        record = new SrvRecord(
            BinaryPrimitives.ReadUInt16BigEndian(numbers), BinaryPrimitives.ReadUInt16BigEndian(numbers[2..]),
            BinaryPrimitives.ReadUInt16BigEndian(numbers[4..]), target.ToLowerInvariant());
        return true;
    }

    /// <summary>Goes into addresses and metrics: only what hosts are called.</summary>
    private static bool IsHost(string name)
    {
        foreach (var c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_' or '.'))
            {
                return false;
            }
        }
        return true;
    }

    /// <summary>The name at the place, without a dot at its end; moves behind it, not to where pointers lead.</summary>
    private static bool TryReadName(ReadOnlySpan<byte> message, ref int at, out string name)
    {
        name = "";
        Span<char> text = stackalloc char[MaxNameLength + 1];
        var length = 0;
        var place = at;
        var end = -1; // behind the first pointer
        var before = at; // where the next pointer must lead to before
        while (true)
        {
            if (place >= message.Length)
            {
                return false;
            }
            var size = message[place];
            if (size >= 0xC0)
            {
                if (place + 1 >= message.Length)
                {
                    return false;
                }
                var target = ((size & 0x3F) << 8) | message[place + 1];
                end = end < 0 ? place + 2 : end;
                if (target >= before || target < HeaderBytes)
                {
                    return false;
                }
                (place, before) = (target, target);
                continue;
            }
            if (size > MaxLabelLength || place + 1 + size > message.Length)
            {
                return false;
            }
            place++;
            if (size == 0)
            {
                at = end < 0 ? place : end;
                name = new string(text[..Math.Max(0, length - 1)]);
                return true;
            }
            if (length + size + 1 > text.Length)
            {
                return false;
            }
            foreach (var letter in message.Slice(place, size))
            {
                text[length++] = letter == '.' ? '\ufffd' : (char)letter; // a dot inside of a label is none of ours
            }
            text[length++] = '.';
            place += size;
        }
    }
}
