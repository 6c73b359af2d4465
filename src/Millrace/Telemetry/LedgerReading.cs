using Millrace.Pipeline;

namespace Millrace.Telemetry;

/// <summary>
/// The ledger at one moment. The first worker books batch after batch without a lock, and every batch balances; so a
/// reading that does not balance was taken in the middle of one, and is taken again.
/// </summary>
internal sealed record LedgerReading
{
    private const int MaxReadings = 1_000;

    public required long Samples { get; init; }

    public required long Histograms { get; init; }

    public required long Exemplars { get; init; }

    public required long Aggregated { get; init; }

    public required long ForwardedOnly { get; init; }

    public required long DroppedExtras { get; init; }

    /// <summary>What rules took of other rules' outputs.</summary>
    public required long Derived { get; init; }

    /// <summary>By reason; each of them is there, also at 0.</summary>
    public required IReadOnlyList<(string Reason, long Samples)> Dropped { get; init; }

    /// <summary>Of the too old ones, per bucket of <see cref="Ledger.AgeBoundsMs"/>.</summary>
    public required IReadOnlyList<long> TooOldByAge { get; init; }

    public long Imbalance
    {
        get
        {
            var rest = Samples - Aggregated - ForwardedOnly;
            foreach (var (_, samples) in Dropped)
            {
                rest -= samples;
            }
            return rest;
        }
    }

    public static LedgerReading Take(Ledger ledger)
    {
        var reading = Read(ledger.Total);
        for (var i = 0; i < MaxReadings && reading.Imbalance != 0; i++)
        {
            Thread.SpinWait(100);
            reading = Read(ledger.Total);
        }
        return reading;
    }

    private static LedgerReading Read(Ledger.Entry total)
    {
        var tooOld = new long[total.TooOld.Length];
        var tooOldSum = 0L;
        for (var i = 0; i < tooOld.Length; i++)
        {
            tooOld[i] = Volatile.Read(ref total.TooOld[i]);
            tooOldSum += tooOld[i];
        }
        return new LedgerReading
        {
            Samples = Volatile.Read(ref total.Samples),
            Histograms = Volatile.Read(ref total.Histograms),
            Exemplars = Volatile.Read(ref total.Exemplars),
            Aggregated = Volatile.Read(ref total.Aggregated),
            ForwardedOnly = Volatile.Read(ref total.ForwardedOnly),
            DroppedExtras = Volatile.Read(ref total.DroppedExtras),
            Derived = Volatile.Read(ref total.Derived),
            Dropped =
            [
                ("invalid_labels", Volatile.Read(ref total.InvalidLabels)),
                ("relabeled", Volatile.Read(ref total.Relabeled)),
                ("no_route", Volatile.Read(ref total.NoRoute)),
                ("unused", Volatile.Read(ref total.Unused)),
                ("too_old", tooOldSum),
                ("too_far_ahead", Volatile.Read(ref total.TooFarAhead)),
            ],
            TooOldByAge = tooOld,
        };
    }
}
