namespace Millrace.Tests.Protocols;

/// <summary>Changes an input in the ways in which inputs go wrong: bits, bytes, lengths, order, the end.</summary>
internal sealed class InputMutator
{
    private const int MaxBytes = 4096;

    private static readonly byte[] Interesting =
    [
        0x00, 0x01, 0x02, 0x08, 0x09, 0x0A, 0x10, 0x12, 0x18, 0x1A, 0x22, 0x2A, 0x30, 0x7F, 0x80, 0xFF,
        .. "{}\"\\,=# \n+e"u8,
    ];

    private readonly byte[] _buffer = new byte[MaxBytes];
    private int _length;

    /// <summary>An input of the pool after one to eight changes; valid until the next call.</summary>
    public ReadOnlySpan<byte> Mutate(Random random, List<byte[]> pool)
    {
        var source = pool[random.Next(pool.Count)];
        _length = Math.Min(source.Length, MaxBytes);
        source.AsSpan(0, _length).CopyTo(_buffer);
        for (var changes = 1 << random.Next(4); changes > 0; changes--)
        {
            Change(random, pool);
        }
        return _buffer.AsSpan(0, _length);
    }

    private void Change(Random random, List<byte[]> pool)
    {
        var at = random.Next(_length + 1);
        switch (random.Next(9))
        {
            case 0 when at < _length:
                _buffer[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when at < _length:
                _buffer[at] = (byte)random.Next(256);
                break;
            case 2 when at < _length:
                _buffer[at] = Interesting[random.Next(Interesting.Length)];
                break;
            case 3 when at < _length:
                // A length or a number off by a little.
                _buffer[at] = (byte)(_buffer[at] + random.Next(-4, 5));
                break;
            case 4:
                Insert(at, [Interesting[random.Next(Interesting.Length)]]);
                break;
            case 5:
                Remove(at, random.Next(1, 20));
                break;
            case 6:
                _length = random.Next(4) == 0 ? at : _length;
                break;
            case 7:
                Insert(at, Piece(random, _buffer.AsSpan(0, _length)).ToArray());
                break;
            default:
                Insert(at, Piece(random, pool[random.Next(pool.Count)]));
                break;
        }
    }

    private static ReadOnlySpan<byte> Piece(Random random, ReadOnlySpan<byte> source)
    {
        var start = random.Next(source.Length + 1);
        return source.Slice(start, Math.Min(source.Length - start, random.Next(1, 64)));
    }

    private void Insert(int at, ReadOnlySpan<byte> bytes)
    {
        if (_length + bytes.Length > MaxBytes)
        {
            return;
        }
        _buffer.AsSpan(at, _length - at).CopyTo(_buffer.AsSpan(at + bytes.Length));
        bytes.CopyTo(_buffer.AsSpan(at));
        _length += bytes.Length;
    }

    private void Remove(int at, int count)
    {
        count = Math.Min(count, _length - at);
        _buffer.AsSpan(at + count, _length - at - count).CopyTo(_buffer.AsSpan(at));
        _length -= count;
    }
}
