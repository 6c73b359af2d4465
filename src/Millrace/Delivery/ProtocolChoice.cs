namespace Millrace.Delivery;

/// <summary>
/// Which protocol a destination is spoken to in: from the newest that is allowed down to what the backend takes.
/// A downgrade is per block at first; it becomes the rule only when the same block is then taken in the older protocol
/// (otherwise the block was bad, not the protocol) and the newer one has not worked before. 415 is plain enough to
/// count even then, and so is a row of blocks that needed the older protocol. Not thread-safe.
/// </summary>
internal sealed class ProtocolChoice(RemoteWriteProtocol configured, bool hasZstd = true)
{
    /// <summary>
    /// A proven protocol is given up after so many blocks in a row that went through only in the older one.
    /// </summary>
    private const int StraysForDowngrade = 3;

    private readonly WireProtocol[] _newestFirst = (configured, hasZstd) switch
    {
        (RemoteWriteProtocol.PrometheusV1, _) => [WireProtocol.PrometheusV1],
        (RemoteWriteProtocol.PrometheusV2, _) => [WireProtocol.PrometheusV2, WireProtocol.PrometheusV1],
        (RemoteWriteProtocol.VictoriaMetrics, true) => [WireProtocol.VictoriaMetrics, WireProtocol.PrometheusV1],
        (RemoteWriteProtocol.VictoriaMetrics, false) => [WireProtocol.PrometheusV1],
        (_, true) => [WireProtocol.PrometheusV2, WireProtocol.VictoriaMetrics, WireProtocol.PrometheusV1],
        (_, false) => [WireProtocol.PrometheusV2, WireProtocol.PrometheusV1],
    };

    private int _strays;

    /// <summary>Step in the list that new blocks start with; 0 is the newest.</summary>
    public int Step { get; private set; }

    /// <summary>A block was taken at <see cref="Step"/>.</summary>
    public bool IsProven { get; private set; }

    public WireProtocol Current => _newestFirst[Step];

    /// <summary>The last step of the list.</summary>
    public int Oldest => _newestFirst.Length - 1;

    public WireProtocol At(int step) => _newestFirst[step];

    public bool HasOlder(int step) => step + 1 < _newestFirst.Length;

    public bool IsProvenAt(int step) => IsProven && step == Step;

    /// <param name="step">Where the block was taken.</param>
    /// <param name="downgrade">Why it was not taken in a newer protocol; None when it went through as it
    /// started.</param>
    /// <returns>True when new blocks start with another protocol from now on.</returns>
    public bool Taken(int step, Refusal downgrade)
    {
        if (step == Step)
        {
            IsProven = true;
            _strays = 0;
            return false;
        }
        if (step < Step)
        {
            // A block that was already under way when another one settled the matter.
            return false;
        }
        _strays++;
        if (IsProven && downgrade != Refusal.Unsupported && _strays < StraysForDowngrade)
        {
            return false;
        }
        Step = step;
        IsProven = true;
        _strays = 0;
        return true;
    }
}
