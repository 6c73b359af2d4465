using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Millrace.Protocols;

/// <summary>
/// Walks the fields of a protobuf message where it lies. The first fault sticks: every later read returns nothing, so
/// that loops end by themselves and the caller looks at <see cref="Fault"/> once. Stricter than the format where
/// tolerance only serves attackers: varints must be minimal, groups are refused.
/// </summary>
internal ref struct FieldReader
{
    public const int Varint = 0;
    public const int Fixed64 = 1;
    public const int Delimited = 2;
    public const int Fixed32 = 5;

    private readonly ReadOnlySpan<byte> _bytes;
    private int _position;
    private int _end;

    public FieldReader(ReadOnlySpan<byte> bytes)
        : this(bytes, 0, bytes.Length)
    {
    }

    /// <summary>A message inside a body; offsets of faults stay those of the body.</summary>
    public FieldReader(ReadOnlySpan<byte> body, int start, int end)
    {
        _bytes = body;
        _position = start;
        _end = end;
    }

    /// <summary>What is wrong; null while nothing is.</summary>
    public string? Fault { get; private set; }

    public int FaultOffset { get; private set; }

    public readonly int Position => _position;

    /// <summary>True before the end; for packed numbers, which have no tags.</summary>
    public readonly bool HasMore => _position < _end;

    [MemberNotNullWhen(true, nameof(Fault))]
    public readonly bool IsFaulty => Fault is not null;

    /// <summary>The next field's tag; false at the end of the message and at a fault.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool NextField(out uint tag)
    {
        if (_position >= _end)
        {
            tag = 0;
            return false;
        }
        tag = _bytes[_position];
        if (tag is >= 8 and < 0x80)
        {
            _position++;
            return true;
        }
        return NextLongField(out tag);
    }

    private bool NextLongField(out uint tag)
    {
        var start = _position;
        var wide = ReadVarint();
        tag = (uint)wide;
        if (!IsFaulty && (wide > uint.MaxValue || wide < 8))
        {
            Fail("a field number is out of range", start);
        }
        return !IsFaulty;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong ReadVarint()
    {
        if (_position < _end && _bytes[_position] < 0x80)
        {
            return _bytes[_position++];
        }
        return ReadLongVarint();
    }

    private ulong ReadLongVarint()
    {
        var start = _position;
        var value = 0UL;
        for (var shift = 0; shift < 70; shift += 7)
        {
            if (_position >= _end)
            {
                Fail("a number is cut off", start);
                return 0;
            }
            var next = _bytes[_position++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                if (next == 0 && shift > 0)
                {
                    Fail("a number is longer than it needs to be", start);
                    return 0;
                }
                if (shift == 63 && next > 1)
                {
                    break;
                }
                return value;
            }
        }
        Fail("a number has more than 64 bits", start);
        return 0;
    }

    public long ReadInt64() => (long)ReadVarint();

    /// <summary>A signed number in zigzag form.</summary>
    public long ReadSInt64()
    {
        var raw = ReadVarint();
        return (long)(raw >> 1) ^ -(long)(raw & 1);
    }

    public uint ReadUInt32()
    {
        var start = _position;
        var value = ReadVarint();
        if (value > uint.MaxValue)
        {
            Fail("a number has more than 32 bits", start);
            return 0;
        }
        return (uint)value;
    }

    public double ReadDouble()
    {
        if (_end - _position < 8)
        {
            Fail("a 64-bit value is cut off", _position);
            return 0;
        }
        var value = BinaryPrimitives.ReadDoubleLittleEndian(_bytes[_position..]);
        _position += 8;
        return value;
    }

    /// <summary>Steps over a delimited field and says where its content lies.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool ReadDelimited(out int start, out int end)
    {
        var at = _position;
        var length = ReadVarint();
        start = _position;
        if (length > (ulong)(_end - _position) || IsFaulty)
        {
            end = start;
            Fail("a length reaches past the end of its message", at);
            return false;
        }
        _position += (int)length;
        end = _position;
        return true;
    }

    public ReadOnlySpan<byte> ReadBytes() =>
        ReadDelimited(out var start, out var end) ? _bytes[start..end] : default;

    /// <summary>Steps over a delimited field and returns a reader of its content.</summary>
    public FieldReader ReadMessage() =>
        ReadDelimited(out var start, out var end) ? new FieldReader(_bytes, start, end) : default;

    /// <summary>Steps over a field that nobody asked for.</summary>
    public void Skip(uint tag)
    {
        switch (tag & 7)
        {
            case Varint:
                ReadVarint();
                break;
            case Fixed64:
                SkipFixed(8);
                break;
            case Delimited:
                ReadDelimited(out _, out _);
                break;
            case Fixed32:
                SkipFixed(4);
                break;
            default:
                Fail("a field has a wire type that is not supported", _position);
                break;
        }
    }

    /// <summary>
    /// Steps over a field that is unknown, and refuses one whose number is known (up to
    /// <paramref name="lastKnownField"/>): it can only have come here with the wrong wire type.
    /// </summary>
    public void SkipUnknown(uint tag, uint lastKnownField)
    {
        if (tag >> 3 <= lastKnownField)
        {
            Fail("a known field has the wrong wire type", _position);
            return;
        }
        Skip(tag);
    }

    /// <summary>Takes over the fault of a message inside this one; true when there is one.</summary>
    public bool Adopt(in FieldReader inner)
    {
        if (!inner.IsFaulty)
        {
            return false;
        }
        Fail(inner.Fault, inner.FaultOffset);
        return true;
    }

    /// <summary>Ends the reading; the first fault is the one that is told.</summary>
    public void Fail(string fault, int offset)
    {
        if (Fault is null)
        {
            Fault = fault;
            FaultOffset = offset;
        }
        _position = _end = 0;
    }

    private void SkipFixed(int bytes)
    {
        if (_end - _position < bytes)
        {
            Fail("a fixed-size value is cut off", _position);
            return;
        }
        _position += bytes;
    }
}
