using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Millrace.Memory;

/// <summary>
/// A column of values indexed by slot. It grows by chunks, so that growing neither copies a million rows nor leaves
/// half of the memory unused; the first chunk starts small, because most columns stay small. New rows are zero.
///
/// One thread grows it. Others find the rows below a capacity that they asked for, and those of which they learned from
/// what the growing thread published afterwards.
/// </summary>
/// <param name="staysPut">
/// The first chunk starts whole, so that no row ever moves: for rows that are written while another thread grows the
/// column. What is written into a row that is being copied is lost, or half of it is.
/// </param>
internal sealed class Column<T>(bool staysPut = false) where T : unmanaged
{
    private const int ChunkBits = 10;
    private const int ChunkSize = 1 << ChunkBits;
    private const int FirstSize = 16;

    private T[][] _chunks = [];
    private int _capacity; // written behind the chunks that it speaks of

    public int Capacity => Volatile.Read(ref _capacity);

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
        while (_capacity < count)
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
        if (_capacity < ChunkSize)
        {
            var first = _capacity == 0 ? [] : _chunks[0];
            var firstSize = staysPut ? ChunkSize : FirstSize;
            Array.Resize(ref first, _capacity == 0 ? firstSize : _capacity * 2);
            _chunks = [first];
            Volatile.Write(ref _capacity, first.Length);
            return;
        }
        var chunk = _capacity >> ChunkBits;
        if (chunk == _chunks.Length)
        {
            Array.Resize(ref _chunks, Math.Max(4, chunk * 2));
        }
        _chunks[chunk] = new T[ChunkSize];
        Volatile.Write(ref _capacity, _capacity + ChunkSize);
    }
}
