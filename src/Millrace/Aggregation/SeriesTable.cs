using System.Runtime.CompilerServices;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// From a stable key to a dense slot, and back. Keys stand in their own column, so that a slot costs the size of its
/// key and about 5 bytes of the index.
/// </summary>
/// <typeparam name="TKey">A key whose first 8 bytes tell most keys apart.</typeparam>
internal sealed class SeriesTable<TKey> where TKey : unmanaged, IEquatable<TKey>
{
    private readonly Column<TKey> _keys = new();
    private readonly Stack<int> _free = new();
    private HashIndex _index = new();

    /// <summary>Slots ever handed out: every live slot is below.</summary>
    public int SlotCount { get; private set; }

    public int Count { get; private set; }

    public TKey KeyOf(int slot) => _keys[slot];

    /// <summary>Before <see cref="Holds"/>.</summary>
    public void Prefetch(int slot) => _keys.Prefetch(slot);

    /// <summary>Whether the slot holds that key now: the check behind a remembered slot.</summary>
    public bool Holds(int slot, in TKey key) =>
        (uint)slot < (uint)SlotCount && _keys[slot].Equals(key);

    public int Find(TKey key)
    {
        var candidates = _index.Of(HashOf(key));
        while (candidates.Next(out var slot))
        {
            if (_keys[slot].Equals(key))
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>Adds a key that is not there. Freed slots are used again, the latest first.</summary>
    public int Add(TKey key)
    {
        if (!_free.TryPop(out var slot))
        {
            slot = SlotCount++;
            _keys.EnsureCapacity(SlotCount);
        }
        _keys[slot] = key;
        _index.Add(HashOf(key), slot, new Hashes(_keys));
        Count++;
        return slot;
    }

    public void Remove(int slot)
    {
        _index.Remove(HashOf(_keys[slot]), slot);
        _keys[slot] = default;
        _free.Push(slot);
        Count--;
    }

    public void Write(SnapshotWriter writer)
    {
        writer.Write(SlotCount);
        for (var slot = 0; slot < SlotCount; slot++)
        {
            writer.Write(_keys[slot]);
        }
        var free = _free.ToArray();
        Array.Reverse(free);
        writer.WriteSpan<int>(free);
    }

    public void Read(SnapshotReader reader)
    {
        SlotCount = reader.ReadInt32();
        _keys.EnsureCapacity(SlotCount);
        for (var slot = 0; slot < SlotCount; slot++)
        {
            _keys[slot] = reader.Read<TKey>();
        }
        foreach (var slot in reader.ReadSpan<int>())
        {
            _free.Push(slot);
        }
        Count = SlotCount - _free.Count;
        Rebuild();
    }

    private void Rebuild()
    {
        _index = new HashIndex();
        var free = new HashSet<int>(_free);
        for (var slot = 0; slot < SlotCount; slot++)
        {
            if (!free.Contains(slot))
            {
                _index.Add(HashOf(_keys[slot]), slot, new Hashes(_keys));
            }
        }
    }

    /// <summary>Keys are hashes: their first bytes will do.</summary>
    private static ulong HashOf(in TKey key) =>
        Unsafe.ReadUnaligned<ulong>(ref Unsafe.As<TKey, byte>(ref Unsafe.AsRef(in key)));

    private readonly struct Hashes(Column<TKey> keys) : IHashes
    {
        public ulong HashOf(int number) => SeriesTable<TKey>.HashOf(keys[number]);
    }
}
