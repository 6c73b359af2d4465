namespace Millrace.Aggregation;

/// <summary>
/// One series of a shard in event time: its group, its base (the last counted sample of the closed windows), and what
/// is needed to tell births from targets that begin to be scraped: 24 bytes.
/// </summary>
internal struct EventSeries(int group, uint target)
{
    private const long NoBase = long.MinValue;
    private const int AgeShift = 30;
    private const uint SharedBit = 1u << 29;
    private const uint TargetMask = SharedBit - 1;

    /// <summary>An age from which on a chain is old: it was seen two windows ago.</summary>
    public const int OldAge = 2;

    /// <summary>Of a free slot: -1.</summary>
    public int Group = group;

    private uint _bits = (target & TargetMask) | (target == SharedTarget ? SharedBit : 0);

    public long BaseMs = NoBase;
    public double BaseValue;

    /// <summary>In place of a target: the slot stands for all series of a group that have no state.</summary>
    public const uint SharedTarget = uint.MaxValue;

    public static EventSeries Free => new(-1, 0);

    public readonly bool HasBase => BaseMs != NoBase;

    public readonly bool IsShared => (_bits & SharedBit) != 0;

    public readonly bool HasTarget => (_bits & TargetMask) != 0 && !IsShared;

    /// <summary>Group and target, by a hash of 29 bits: enough to tell the targets of one group apart.</summary>
    public readonly ulong TargetInGroup => ((ulong)(uint)Group << 32) | (_bits & TargetMask);

    /// <summary>
    /// Windows from the first of the chain that leads to the base up to the base's, at most <see cref="OldAge"/>.
    /// </summary>
    public readonly int Age => (int)(_bits >> AgeShift);

    public void MoveBase(long timeMs, double value, long age)
    {
        BaseMs = timeMs;
        BaseValue = value;
        _bits = (_bits & (SharedBit | TargetMask)) | ((uint)Math.Min(age, OldAge) << AgeShift);
    }
}
