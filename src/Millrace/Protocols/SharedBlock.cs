namespace Millrace.Protocols;

/// <summary>
/// A label block that is mostly like another one: of that it keeps what stands between an equal beginning and an equal
/// end. The outputs of a group differ in some bytes of three hundred.
/// </summary>
internal sealed class SharedBlock
{
    /// <summary>Less is not worth an object.</summary>
    private const int MinShared = 64;

    private readonly byte[] _like;
    private readonly byte[] _own;
    private readonly int _beginning;

    private SharedBlock(byte[] like, byte[] own, int beginning, int end) =>
        (_like, _own, _beginning, Length) = (like, own, beginning, beginning + own.Length + end);

    public int Length { get; }

    /// <param name="block">What is to be kept.</param>
    /// <param name="like">Kept by somebody else anyway; never changed.</param>
    public static StoredLabels Of(byte[] block, byte[] like)
    {
        var beginning = block.AsSpan().CommonPrefixLength(like);
        var end = 0;
        while (end < Math.Min(block.Length, like.Length) - beginning && block[^(end + 1)] == like[^(end + 1)])
        {
            end++;
        }
        return beginning + end < MinShared
            ? block
            : new StoredLabels(new SharedBlock(like, block[beginning..^end], beginning, end));
    }

    /// <summary>Puts the block together in the buffer, which grows if it must.</summary>
    public ReadOnlySpan<byte> Get(ref byte[] buffer)
    {
        if (buffer.Length < Length)
        {
            buffer = new byte[Math.Max(Length, 512)];
        }
        var end = Length - _beginning - _own.Length;
        _like.AsSpan(0, _beginning).CopyTo(buffer);
        _own.CopyTo(buffer.AsSpan(_beginning));
        _like.AsSpan(_like.Length - end).CopyTo(buffer.AsSpan(Length - end));
        return buffer.AsSpan(0, Length);
    }
}
