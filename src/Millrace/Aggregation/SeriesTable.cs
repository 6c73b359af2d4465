using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>
/// From a stable 128-bit key to a dense slot, and back. Open addressing with linear probing over slot numbers; the
/// keys stand in their own column, so that a slot costs 16 bytes and its share of the table (4 to 8 bytes).
/// </summary>
internal sealed class SeriesTable
{
    private const int Tombstone = -1;

    private readonly Column<UInt128> _keys = new();
    private readonly Stack<int> _free = new();
    private int[] _table = new int[16]; // slot + 1; 0: never used
    private int _used;                  // entries and tombstones

    /// <summary>Slots ever handed out: every live slot is below.</summary>
    public int SlotCount { get; private set; }

    public int Count { get; private set; }

    public UInt128 KeyOf(int slot) => _keys[slot];

    /// <summary>Whether the slot holds that key now: the check behind a remembered slot.</summary>
    public bool Holds(int slot, UInt128 key) => (uint)slot < (uint)SlotCount && _keys[slot] == key;

    public int Find(UInt128 key)
    {
        var mask = _table.Length - 1;
        for (var i = (int)(ulong)key & mask; ; i = (i + 1) & mask)
        {
            var entry = _table[i];
            if (entry == 0)
            {
                return -1;
            }
            if (entry != Tombstone && _keys[entry - 1] == key)
            {
                return entry - 1;
            }
        }
    }

    /// <summary>Adds a key that is not there. Freed slots are used again, the latest first.</summary>
    public int Add(UInt128 key)
    {
        if ((_used + 1) * 4 > _table.Length * 3)
        {
            Rebuild();
        }
        if (!_free.TryPop(out var slot))
        {
            slot = SlotCount++;
            _keys.EnsureCapacity(SlotCount);
        }
        _keys[slot] = key;
        Insert(slot, key);
        Count++;
        return slot;
    }

    public void Remove(int slot)
    {
        var mask = _table.Length - 1;
        var i = (int)(ulong)_keys[slot] & mask;
        while (_table[i] != slot + 1)
        {
            i = (i + 1) & mask;
        }
        _table[i] = Tombstone;
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
            _keys[slot] = reader.Read<UInt128>();
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
        var size = 16;
        while (size < (Count + 1) * 2)
        {
            size *= 2;
        }
        _table = new int[size];
        _used = 0;
        var free = new HashSet<int>(_free);
        for (var slot = 0; slot < SlotCount; slot++)
        {
            if (!free.Contains(slot))
            {
                Insert(slot, _keys[slot]);
            }
        }
    }

    private void Insert(int slot, UInt128 key)
    {
        var mask = _table.Length - 1;
        var i = (int)(ulong)key & mask;
        while (_table[i] != 0)
        {
            i = (i + 1) & mask;
        }
        _table[i] = slot + 1;
        _used++;
    }
}
