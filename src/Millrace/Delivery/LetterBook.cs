using System.Globalization;

namespace Millrace.Delivery;

/// <summary>What becomes of a dead letter. Stored: values are fixed.</summary>
internal enum LetterFate : byte
{
    /// <summary>To be sent again as soon as the queue has room; it waits until then.</summary>
    Wanted = 1,

    /// <summary>In the queue again.</summary>
    Replayed = 2,

    /// <summary>Given up by the operator.</summary>
    Discarded = 3,

    /// <summary>Gone at the bound, with the segment that held it.</summary>
    Evicted = 4,
}

/// <summary>Letters by the number of their record; both ends belong to the range.</summary>
internal readonly record struct LetterRange(long From, long To)
{
    public static readonly LetterRange All = new(1, long.MaxValue);

    /// <summary><c>7</c> or <c>7-12</c>.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out LetterRange range)
    {
        var minus = text.IndexOf('-');
        var first = minus < 0 ? text : text[..minus];
        var last = text[(minus + 1)..];
        range = All;
        if (!long.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out var from)
            || !long.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out var to)
            || from < 1 || to < from)
        {
            return false;
        }
        range = new LetterRange(from, to);
        return true;
    }
}

internal readonly record struct LetterSum(int Letters, long Samples);

/// <summary>Samples of letters that wait no more, since the folder was made.</summary>
internal readonly record struct LetterTotals(long Replayed, long Discarded, long Evicted)
{
    public LetterTotals With(LetterFate fate, long samples) => fate switch
    {
        LetterFate.Replayed => this with { Replayed = Replayed + samples },
        LetterFate.Discarded => this with { Discarded = Discarded + samples },
        LetterFate.Evicted => this with { Evicted = Evicted + samples },
        _ => this,
    };
}

/// <summary>
/// Which letters wait, in the order of the log; 32 bytes each, bounded by <see cref="MaxLetters"/>. Not thread-safe.
/// </summary>
internal sealed class LetterBook
{
    public const int MaxLetters = 1 << 20;

    private readonly List<Entry> _waiting = [];

    public int Count => _waiting.Count;

    public int WantedCount { get; private set; }

    /// <summary>Of the letters that wait: what the backend did not take.</summary>
    public long Samples { get; private set; }

    public long Bytes { get; private set; }

    public LetterTotals Totals { get; set; }

    public long? FirstLsn => _waiting.Count == 0 ? null : _waiting[0].Lsn;

    public long? FirstWantedLsn
    {
        get
        {
            var index = WantedCount == 0 ? -1 : _waiting.FindIndex(static entry => entry.IsWanted);
            return index < 0 ? null : _waiting[index].Lsn;
        }
    }

    public void Add(long lsn, int samples, int sizeBytes)
    {
        _waiting.Add(new Entry(lsn, samples, sizeBytes, IsWanted: false));
        Samples += samples;
        Bytes += sizeBytes;
    }

    public bool IsWaiting(long lsn, out bool isWanted)
    {
        var index = IndexFrom(lsn);
        var found = index < _waiting.Count && _waiting[index].Lsn == lsn;
        isWanted = found && _waiting[index].IsWanted;
        return found;
    }

    /// <summary>
    /// Only what is wanted is replayed, and what is wanted already is not wanted again; the other fates take all that
    /// waits in the range.
    /// </summary>
    public LetterSum Sum(LetterFate fate, LetterRange range)
    {
        var sum = default(LetterSum);
        for (var i = IndexFrom(range.From); i < _waiting.Count && _waiting[i].Lsn <= range.To; i++)
        {
            if (Concerns(fate, _waiting[i]))
            {
                sum = new LetterSum(sum.Letters + 1, sum.Samples + _waiting[i].Samples);
            }
        }
        return sum;
    }

    public void Apply(LetterFate fate, LetterRange range)
    {
        var first = IndexFrom(range.From);
        var (next, keep) = (first, first);
        for (; next < _waiting.Count && _waiting[next].Lsn <= range.To; next++)
        {
            var entry = _waiting[next];
            if (!Concerns(fate, entry))
            {
                _waiting[keep++] = entry;
            }
            else if (fate == LetterFate.Wanted)
            {
                _waiting[keep++] = entry with { IsWanted = true };
                WantedCount++;
            }
            else
            {
                Samples -= entry.Samples;
                Bytes -= entry.SizeBytes;
                WantedCount -= entry.IsWanted ? 1 : 0;
            }
        }
        _waiting.RemoveRange(keep, next - keep);
    }

    private static bool Concerns(LetterFate fate, in Entry entry) => fate switch
    {
        LetterFate.Wanted => !entry.IsWanted,
        LetterFate.Replayed => entry.IsWanted,
        _ => true,
    };

    /// <summary>The first entry at or behind a record.</summary>
    private int IndexFrom(long lsn)
    {
        var (low, high) = (0, _waiting.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _waiting[middle].Lsn < lsn ? (middle + 1, high) : (low, middle);
        }
        return low;
    }

    private readonly record struct Entry(long Lsn, int Samples, int SizeBytes, bool IsWanted);
}
