namespace Millrace.Model.Re2;

/// <summary>Characters that are put together and read as a span; the memory is used again. For one thread.</summary>
internal sealed class CharBuffer
{
    /// <summary>Past this, one long label value would stay in memory for good.</summary>
    private const int MaxKeptChars = 64 * 1024;

    private const int MinChars = 256;

    private char[] _chars = []; // most series meet no rule that needs it
    private int _length;

    public ReadOnlySpan<char> Span => _chars.AsSpan(0, _length);

    public void Clear()
    {
        _length = 0;
        if (_chars.Length > MaxKeptChars)
        {
            _chars = [];
        }
    }

    public void Append(ReadOnlySpan<char> text)
    {
        if (text.Length > _chars.Length - _length)
        {
            Array.Resize(ref _chars, Math.Max(Math.Max(MinChars, _chars.Length * 2), _length + text.Length));
        }
        text.CopyTo(_chars.AsSpan(_length));
        _length += text.Length;
    }

    public void Append(char c) => Append(new ReadOnlySpan<char>(in c));
}
