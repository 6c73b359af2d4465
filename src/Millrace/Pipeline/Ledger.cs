using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>
/// What became of the samples, counted in log order: every accepted sample ends in exactly one of the fates below. The
/// ledger is part of the base, so the equation in = aggregated + forwarded + dropped spans restarts.
/// </summary>
internal sealed class Ledger
{
    /// <summary>Upper bounds of the ages by which too old samples are counted; the last bucket is all above.</summary>
    public static readonly long[] AgeBoundsMs = [3_600_000, 6 * 3_600_000, 24 * 3_600_000];

    /// <summary>A batch's share, counted while it is dealt and booked when it is applied.</summary>
    public sealed class Entry
    {
        public long Samples;
        public long Histograms;
        public long Exemplars;

        /// <summary>Taken by a rule; some of them were forwarded, too.</summary>
        public long Aggregated;

        /// <summary>Forwarded to a destination, and taken by no rule.</summary>
        public long ForwardedOnly;

        public long InvalidLabels;
        public long Relabeled;
        public long NoRoute;
        public long Unused;

        /// <summary>
        /// Histograms and exemplars that no rule makes anything of: dropped where only aggregation wanted the series.
        /// </summary>
        public long DroppedExtras;

        public long TooFarAhead;

        /// <summary>What rules took of other rules' outputs: they are in none of the counts above.</summary>
        public long Derived;

        public readonly long[] TooOld = new long[AgeBoundsMs.Length + 1];

        public void Clear()
        {
            Samples = Histograms = Exemplars = Aggregated = ForwardedOnly = 0;
            InvalidLabels = Relabeled = NoRoute = Unused = DroppedExtras = TooFarAhead = Derived = 0;
            Array.Clear(TooOld);
        }

        public void CountTooOld(long ageMs)
        {
            var bucket = 0;
            while (bucket < AgeBoundsMs.Length && ageMs > AgeBoundsMs[bucket])
            {
                bucket++;
            }
            TooOld[bucket]++;
        }

        public void Count(SeriesFate fate)
        {
            switch (fate)
            {
                case SeriesFate.InvalidLabels:
                    InvalidLabels++;
                    break;
                case SeriesFate.Relabeled:
                    Relabeled++;
                    break;
                case SeriesFate.NoRoute:
                    NoRoute++;
                    break;
                case SeriesFate.Unused:
                    Unused++;
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(fate), fate, null);
            }
        }
    }

    public Entry Total { get; } = new();

    public void Book(Entry entry)
    {
        Total.Samples += entry.Samples;
        Total.Histograms += entry.Histograms;
        Total.Exemplars += entry.Exemplars;
        Total.Aggregated += entry.Aggregated;
        Total.ForwardedOnly += entry.ForwardedOnly;
        Total.InvalidLabels += entry.InvalidLabels;
        Total.Relabeled += entry.Relabeled;
        Total.NoRoute += entry.NoRoute;
        Total.Unused += entry.Unused;
        Total.DroppedExtras += entry.DroppedExtras;
        Total.TooFarAhead += entry.TooFarAhead;
        Total.Derived += entry.Derived;
        for (var i = 0; i < Total.TooOld.Length; i++)
        {
            Total.TooOld[i] += entry.TooOld[i];
        }
    }

    public void Write(SnapshotWriter writer)
    {
        ReadOnlySpan<long> values =
        [
            Total.Samples, Total.Histograms, Total.Exemplars, Total.Aggregated, Total.ForwardedOnly,
            Total.InvalidLabels, Total.Relabeled, Total.NoRoute, Total.Unused, Total.DroppedExtras,
            Total.TooFarAhead, .. Total.TooOld, Total.Derived,
        ];
        writer.WriteSpan(values);
    }

    public void Read(SnapshotReader reader)
    {
        var values = reader.ReadSpan<long>();
        Total.Samples = values[0];
        Total.Histograms = values[1];
        Total.Exemplars = values[2];
        Total.Aggregated = values[3];
        Total.ForwardedOnly = values[4];
        Total.InvalidLabels = values[5];
        Total.Relabeled = values[6];
        Total.NoRoute = values[7];
        Total.Unused = values[8];
        Total.DroppedExtras = values[9];
        Total.TooFarAhead = values[10];
        values.AsSpan(11, Total.TooOld.Length).CopyTo(Total.TooOld);
        var derived = 11 + Total.TooOld.Length;
        Total.Derived = values.Length > derived ? values[derived] : 0; // Older releases did not write it.
    }
}
