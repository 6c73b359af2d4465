using System.Buffers;

namespace Millrace.Protocols.Text;

/// <summary>
/// Resolves <c>\\</c>, <c>\"</c> and <c>\n</c> in one pooled buffer; another escape stays as it is. The result is valid
/// until the next call. A mutable struct.
/// </summary>
internal struct Unescaper : IDisposable
{
    private byte[]? _buffer;

    public ReadOnlySpan<byte> Unescape(ReadOnlySpan<byte> text)
    {
        var position = text.IndexOf((byte)'\\');
        if (position < 0)
        {
            return text;
        }
        if (_buffer is null || _buffer.Length < text.Length)
        {
            Dispose();
            _buffer = ArrayPool<byte>.Shared.Rent(text.Length);
        }
        text[..position].CopyTo(_buffer);
        var length = position;
        for (var i = position; i < text.Length; i++)
        {
            var next = i + 1 < text.Length ? text[i + 1] : default;
            if (text[i] == (byte)'\\' && next is (byte)'\\' or (byte)'"' or (byte)'n')
            {
                _buffer[length++] = next == (byte)'n' ? (byte)'\n' : next;
                i++;
            }
            else
            {
                _buffer[length++] = text[i];
            }
        }
        return _buffer.AsSpan(0, length);
    }

    public void Dispose()
    {
        if (_buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = null;
        }
    }
}
