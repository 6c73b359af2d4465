namespace Millrace.Protocols;

/// <summary>
/// A label block: the bytes themselves, where a <see cref="LabelStore"/> has them, or a <see cref="SharedBlock"/>.
/// </summary>
internal readonly record struct StoredLabels
{
    // byte[], LabelStore or SharedBlock: it stays as long as somebody refers to a block of it.
    private readonly object? _from;
    private readonly uint _address;

    public StoredLabels(byte[] block) => _from = block;

    public StoredLabels(SharedBlock block) => _from = block;

    public StoredLabels(LabelStore store, uint address) => (_from, _address) = (store, address);

    public static implicit operator StoredLabels(byte[] block) => new(block);

    /// <summary>There are no labels, not even an empty block.</summary>
    public bool IsNone => _from is null;

    /// <summary>The block; the buffer is used where it must be put together.</summary>
    public ReadOnlySpan<byte> Get(ref byte[] buffer) => _from switch
    {
        SharedBlock block => block.Get(ref buffer),
        byte[] block => block,
        LabelStore store => store.Get(_address, ref buffer),
        _ => [],
    };

    public byte[] ToArray()
    {
        byte[] buffer = [];
        return Get(ref buffer).ToArray();
    }
}
