using System.Runtime.CompilerServices;

namespace Millrace.Memory;

/// <summary>Where a <see cref="HashIndex"/> that grows finds the hashes of its numbers again.</summary>
internal interface IHashes
{
    ulong HashOf(int number);
}

/// <summary>
/// From hashes to numbers that stand for rows of columns elsewhere; whoever asks compares the row. Open addressing
/// with linear probing over words of 32 bits: the number in the lower bits, and in the bits above whatever room the
/// numbers leave for bits of the hash, so that hardly a row is looked at in vain. Parts are filled up to seven eighths
/// and grow by a quarter each: 4.6 to 5.7 bytes per number, where doubling at half would take 8 to 16.
///
/// The index is split by hash into parts that grow one by one: no thread waits while a million entries move, and no
/// large array is left behind. One writer at a time; readers need no lock and find what was there when they began.
/// </summary>
internal sealed class HashIndex
{
    private const int FirstSize = 16;

    /// <summary>Numbers are below: one bit of a word is left for what is no number.</summary>
    public const int MaxCount = 1 << MaxNumberBits;

    private const int MaxNumberBits = 30;

    /// <summary>Eleven bits of the hash are enough beside: a part need not grow for numbers below a million.</summary>
    private const int MinNumberBits = 20;

    private readonly Part[] _parts;
    private readonly int _partBits;

    /// <param name="partBits">A power of two parts; 0: one.</param>
    public HashIndex(int partBits = 0)
    {
        _partBits = partBits;
        _parts = new Part[1 << partBits];
        Array.Fill(_parts, Part.Empty);
    }

    /// <summary>The numbers that may be the one of a hash.</summary>
    public Candidates Of(ulong hash)
    {
        hash = Mix(hash);
        return new Candidates(Volatile.Read(ref _parts[PartOf(hash)]), hash);
    }

    /// <param name="hash">Not necessarily a good one.</param>
    /// <param name="number">Not in the index.</param>
    /// <param name="hashes">Of the numbers in the index.</param>
    public void Add<THashes>(ulong hash, int number, THashes hashes) where THashes : IHashes
    {
        hash = Mix(hash);
        ref var part = ref _parts[PartOf(hash)];
        if ((part.Used + 1) * 8L > part.Entries.Length * 7L || number >= 1 << part.NumberBits)
        {
            Volatile.Write(ref part, Grown(part, number, hashes));
        }
        part.Put(hash, number);
    }

    /// <summary>The number must be there.</summary>
    public void Remove(ulong hash, int number)
    {
        hash = Mix(hash);
        _parts[PartOf(hash)].Remove(hash, number);
    }

    private int PartOf(ulong hash) => (int)(hash & ((1u << _partBits) - 1));

    /// <summary>Some hashes are good in all their bits, some callers' are small numbers.</summary>
    private static ulong Mix(ulong hash)
    {
        hash *= 0x9E3779B97F4A7C15;
        return hash ^ (hash >> 32);
    }

    private static Part Grown<THashes>(Part part, int number, THashes hashes) where THashes : IHashes
    {
        var live = part.Live + 1;
        // Where much was removed it is enough to leave that out.
        var size = Math.Max(FirstSize, (int)Math.Min(live * 10L / 7, Array.MaxLength));
        var wantedBits = 32 - int.LeadingZeroCount(number + (number >> 2));
        var numberBits = Math.Clamp(Math.Max(part.NumberBits, wantedBits), MinNumberBits, MaxNumberBits);
        var grown = new Part(size, numberBits);
        foreach (var entry in part.Entries)
        {
            var known = part.NumberOf(entry);
            if (known >= 0)
            {
                grown.Put(Mix(hashes.HashOf(known)), known);
            }
        }
        return grown;
    }

    internal sealed class Part(int size, int numberBits)
    {
        private const uint Removed = 1u << 31; // a number of 0 and a bit of a hash: no entry is like it

        public static readonly Part Empty = new(1, 0);

        public readonly uint[] Entries = new uint[size]; // number + 1, and bits of the hash; 0: never used
        public readonly int NumberBits = numberBits;
        private readonly uint _numberMask = (uint)((1ul << (numberBits + 1)) - 1);

        public int Live { get; private set; }

        /// <summary>With those that were removed.</summary>
        public int Used { get; private set; }

        public uint TagOf(ulong hash) => (uint)hash & ~_numberMask;

        public int PlaceOf(ulong hash) => (int)(((hash >> 32) * (ulong)Entries.Length) >> 32);

        /// <summary>-1: there is none.</summary>
        public int NumberOf(uint entry) => (int)(entry & _numberMask) - 1;

        public bool IsLike(uint entry, uint tag) => (entry & ~_numberMask) == tag;

        public void Put(ulong hash, int number)
        {
            var i = PlaceOf(hash);
            while (NumberOf(Entries[i]) >= 0)
            {
                i = i + 1 == Entries.Length ? 0 : i + 1;
            }
            Used += Entries[i] == 0 ? 1 : 0;
            Live++;
            Volatile.Write(ref Entries[i], TagOf(hash) | (uint)(number + 1));
        }

        public void Remove(ulong hash, int number)
        {
            var entry = TagOf(hash) | (uint)(number + 1);
            var i = PlaceOf(hash);
            while (Entries[i] != entry)
            {
                i = i + 1 == Entries.Length ? 0 : i + 1;
            }
            Entries[i] = Removed;
            Live--;
        }
    }

    internal ref struct Candidates(Part part, ulong hash)
    {
        private readonly uint _tag = part.TagOf(hash);
        private int _place = part.PlaceOf(hash);

        /// <summary>False: there is no further one.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool Next(out int number)
        {
            var entries = part.Entries;
            while (true)
            {
                var entry = Volatile.Read(ref entries[_place]);
                _place = _place + 1 == entries.Length ? 0 : _place + 1;
                number = part.NumberOf(entry);
                if (entry == 0)
                {
                    return false;
                }
                if (number >= 0 && part.IsLike(entry, _tag))
                {
                    return true;
                }
            }
        }
    }
}
