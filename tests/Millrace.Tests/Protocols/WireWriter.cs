using System.Buffers.Binary;
using System.Text;

namespace Millrace.Tests.Protocols;

/// <summary>Writes protobuf fields one by one, so that a test can write what no encoder would.</summary>
internal sealed class WireWriter
{
    private readonly List<byte> _bytes = [];

    public byte[] ToArray() => [.. _bytes];

    public WireWriter Raw(params ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public WireWriter Varint(int field, ulong value) => Tag(field, 0).RawVarint(value);

    public WireWriter SInt(int field, long value) => Varint(field, ZigZag(value));

    public WireWriter Double(int field, double value)
    {
        Tag(field, 1);
        return RawDouble(value);
    }

    public WireWriter Bytes(int field, params ReadOnlySpan<byte> content)
    {
        Tag(field, 2).RawVarint((ulong)content.Length);
        return Raw(content);
    }

    public WireWriter Text(int field, string content) => Bytes(field, Encoding.UTF8.GetBytes(content));

    public WireWriter Message(int field, Action<WireWriter> write)
    {
        var inner = new WireWriter();
        write(inner);
        return Bytes(field, inner.ToArray());
    }

    public WireWriter Packed(int field, params IEnumerable<ulong> values) =>
        Message(field, m =>
        {
            foreach (var value in values)
            {
                m.RawVarint(value);
            }
        });

    public WireWriter PackedDoubles(int field, params IEnumerable<double> values) =>
        Message(field, m =>
        {
            foreach (var value in values)
            {
                m.RawDouble(value);
            }
        });

    public WireWriter RawVarint(ulong value)
    {
        while (value >= 0x80)
        {
            _bytes.Add((byte)(value | 0x80));
            value >>= 7;
        }
        _bytes.Add((byte)value);
        return this;
    }

    public static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));

    private WireWriter Tag(int field, int wireType) => RawVarint((ulong)((field << 3) | wireType));

    private WireWriter RawDouble(double value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
        return Raw(bytes);
    }
}
