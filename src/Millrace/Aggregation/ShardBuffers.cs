using System.IO;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Aggregation;

/// <summary>Samples on their way into one shard, as parallel columns.</summary>
internal sealed class PendingSamples
{
    public const int Capacity = 256;

    /// <summary>Rows of series are asked for so many samples ahead.</summary>
    public const int Prefetched = 16;

    public int Count;

    /// <summary>Whose they are, until their slots are known.</summary>
    public readonly int[] Targets = new int[Capacity];
    public readonly int[] Slots = new int[Capacity];
    public readonly long[] TimesMs = new long[Capacity];
    public readonly double[] Values = new double[Capacity];
    public readonly long[] StartsMs = new long[Capacity];

    /// <summary>Which replica sent it; only where replicas are told apart.</summary>
    public readonly uint[] Replicas = new uint[Capacity];

    /// <summary>There must be room; the replica is not set.</summary>
    public void Add(int slot, long timeMs, double value, long startMs)
    {
        var at = Count++;
        Slots[at] = slot;
        TimesMs[at] = timeMs;
        Values[at] = value;
        StartsMs[at] = startMs;
    }
}

/// <summary>Buffers of one worker, lent to one shard at a time.</summary>
internal sealed class ShardScratch
{
    public readonly int[] Groups = new int[PendingSamples.Capacity];
    public readonly double[] Values = new double[PendingSamples.Capacity];
    public readonly long[] TimesMs = new long[PendingSamples.Capacity];
    /// <summary>Samples of the replicas that count.</summary>
    public readonly PendingSamples OfReplicas = new();

    /// <summary>Histograms of the replicas that count.</summary>
    public readonly List<(long TimeMs, byte[] Message)> HistogramsOfReplicas = [];

    /// <summary>What a shard's deduplication lets go, on its way to the outputs.</summary>
    public readonly PendingSamples Survivors = new();

    public readonly SeriesWindow[] Series = new SeriesWindow[PendingSamples.Capacity];


    /// <summary>The samples of one series, each a run of its own; null until a rule remembers samples.</summary>
    public SideRun[]? Samples;

    /// <summary>Between two copies so much of their buffer is kept.</summary>
    private const int MaxKeptBytes = 16 << 20;

    private MemoryStream? _copied;

    /// <summary>Copies a state by writing it down and reading it again, which every state can do.</summary>
    public void Copy(Action<SnapshotWriter> write, Action<SnapshotReader> read)
    {
        var stream = _copied ?? new MemoryStream();
        stream.SetLength(0);
        using (var writer = new SnapshotWriter(stream))
        {
            write(writer);
        }
        stream.Position = 0;
        using (var reader = new SnapshotReader(stream))
        {
            read(reader);
        }
        _copied = stream.Capacity <= MaxKeptBytes ? stream : null;
    }
}

/// <summary>
/// One output sample of a closed window. Labels are a label block of remote write 1.0. It stands at the window's end,
/// or, an injected zero and what a deduplicator passes on, some time before.
/// </summary>
/// <param name="Histogram">A Histogram message without a timestamp; null: the sample is a number.</param>
internal readonly record struct OutputSample(
    UInt128 Key, StoredLabels Labels, double Value, long BeforeMs = 0, byte[]? Histogram = null)
{
    /// <summary>When the counter began; 0: not known.</summary>
    public long StartMs { get; init; }

    /// <summary>The group it is of; null: it is a sample of the input that was passed on.</summary>
    public LabelSet? Group { get; init; }

    /// <summary>The number of the rule's output.</summary>
    public int Output { get; init; }

    /// <summary>As fields of a TimeSeries; null: there are none.</summary>
    public byte[]? Exemplars { get; init; }
}

/// <summary>What one shard gives for one closed window, in the order of the groups' keys.</summary>
internal sealed class WindowPart(long endMs)
{
    public long EndMs { get; } = endMs;

    /// <summary>New running totals get a zero one interval before.</summary>
    public bool HasZeros { get; init; }

    /// <summary>The window was given before: these are the samples of it that have changed since.</summary>
    public bool IsCorrection { get; init; }

    public List<OutputSample> Samples { get; } = [];
}

/// <summary>What a shard counted; plain fields of one thread, read by others without a promise of the moment.</summary>
internal sealed class ShardCounters
{
    /// <summary>
    /// Upper bounds of the ages by which late samples are counted; the last bucket is everything above.
    /// </summary>
    public static readonly long[] LateBoundsMs = [1_000, 10_000, 60_000, 600_000, 3_600_000];

    public readonly long[] LateSamples = new long[LateBoundsMs.Length + 1];
    public long Samples;
    public long NotANumber;
    public long TooFarAhead;
    public long Repeats;
    public long DedupDropped;
    public long ReplicaDropped;
    public long ReplicaFailovers;
    public long OutOfOrder;
    public long AmbiguousResets;

    /// <summary>Late samples that were booked into the oldest open window.</summary>
    public long Carried;

    /// <summary>Late samples that came in time to correct their windows, and output samples given again.</summary>
    public long CorrectingSamples;
    public long Corrections;

    /// <summary>Increases across a gap of which a part was cut off.</summary>
    public long CappedGaps;

    /// <summary>Samples beyond the bounds of <see cref="RememberedSamples"/>.</summary>
    public long NotRemembered;

    /// <summary>Series that came to an overflow group, and samples without a series' state.</summary>
    public long OverflowSeries;
    public long OverflowSamples;
    public long CounterResets;
    public long OutputSamples;
    public long Histograms;

    /// <summary>Histograms of which no output of the rule makes anything, and stale markers.</summary>
    public long UnusedHistograms;

    /// <summary>Histograms that could not be added to others of their group.</summary>
    public long UnlikeHistograms;

    /// <summary>Exemplars that came; those that went with an output, and those that never will.</summary>
    public long Exemplars;
    public long SentExemplars;
    public long DroppedExemplars;

    /// <summary>How far samples came behind their timestamps, one observation per handful of samples.</summary>
    public readonly LagHistogram Lags = new();

    public void CountLate(long ageMs)
    {
        var bucket = 0;
        while (bucket < LateBoundsMs.Length && ageMs > LateBoundsMs[bucket])
        {
            bucket++;
        }
        LateSamples[bucket]++;
    }
}
