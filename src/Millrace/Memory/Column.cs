using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Millrace.Memory;

/// <summary>
/// A column of values indexed by slot. It grows by chunks, so that growing neither copies a million rows nor leaves
/// half of the memory unused; the first chunk starts small, because most columns stay small. New rows are zero.
/// </summary>
internal sealed class Column<T> where T : unmanaged
{
    private const int ChunkBits = 10;
    private const int ChunkSize = 1 << ChunkBits;
    private const int FirstSize = 16;

    private T[][] _chunks = [];

    public int Capacity { get; private set; }

    public ref T this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref _chunks[index >> ChunkBits][index & (ChunkSize - 1)];
    }

    /// <summary>
    /// Asks the processor for a row that is needed soon. Where rows are visited in no order, it waits for memory most
    /// of the time; asked ahead, it fetches several at once. An index that is none is nothing.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe void Prefetch(int index)
    {
        if (Sse.IsSupported && (uint)index < (uint)Capacity)
        {
            // The row may move before the processor looks: then it fetched something else in vain.
            Sse.Prefetch0(Unsafe.AsPointer(ref this[index]));
        }
    }

    public void EnsureCapacity(int count)
    {
        while (Capacity < count)
        {
            Grow();
        }
    }

    /// <summary>Takes the first rows of another column.</summary>
    public void CopyFrom(Column<T> other, int count)
    {
        EnsureCapacity(count);
        for (var i = 0; i < count; i += ChunkSize)
        {
            var rows = Math.Min(ChunkSize, count - i);
            other._chunks[i >> ChunkBits].AsSpan(0, rows).CopyTo(_chunks[i >> ChunkBits]);
        }
    }

    private void Grow()
    {
        if (Capacity < ChunkSize)
        {
            var first = Capacity == 0 ? [] : _chunks[0];
            Array.Resize(ref first, Capacity == 0 ? FirstSize : Capacity * 2);
            _chunks = [first];
            Capacity = first.Length;
            return;
        }
        var chunk = Capacity >> ChunkBits;
        if (chunk == _chunks.Length)
        {
            Array.Resize(ref _chunks, Math.Max(4, chunk * 2));
        }
        _chunks[chunk] = new T[ChunkSize];
        Capacity += ChunkSize;
    }
}
