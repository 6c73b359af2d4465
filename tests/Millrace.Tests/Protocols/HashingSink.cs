using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

/// <summary>
/// Reduces all that a decoder tells to one hash, and checks what the contract promises of it. It learns series, or it
/// knows those that another one learned.
/// </summary>
internal struct HashingSink(HashSet<UInt128> known, bool learns) : IWriteSink
{
    private bool _seriesOpen;
    private uint _series;
    private uint _samples;
    private uint _histograms;
    private uint _exemplars;
    private uint _metadata;
    private uint _refused;

    public ulong Hash { get; private set; }

    /// <summary>How many of what was told, roughly.</summary>
    public readonly ulong Shape
    {
        get
        {
            var shape = 0UL;
            foreach (var count in (ReadOnlySpan<uint>)[_series, _samples, _histograms, _exemplars, _metadata, _refused])
            {
                shape = shape * 4 + Math.Min(count, 3);
            }
            return shape;
        }
    }

    public bool TryKnownSeries(ReadOnlySpan<byte> labels)
    {
        if (learns || !known.Contains(StableHash.Hash128(labels)))
        {
            return false;
        }
        Open(labels);
        return true;
    }

    public void BeginSeries(ReadOnlySpan<byte> labels)
    {
        if (learns)
        {
            known.Add(StableHash.Hash128(labels));
        }
        Open(labels);
    }

    public void Sample(long timestampMs, double value, long startTimestampMs)
    {
        _seriesOpen.ShouldBeTrue();
        _samples++;
        Mix(1, (ulong)timestampMs, BitConverter.DoubleToUInt64Bits(value), (ulong)startTimestampMs);
    }

    public void Histogram(ReadOnlySpan<byte> histogram, long timestampMs, long startTimestampMs)
    {
        _seriesOpen.ShouldBeTrue();
        _histograms++;
        Mix(2, (ulong)timestampMs, StableHash.Hash64(histogram), (ulong)startTimestampMs);
    }

    public void Exemplar(ReadOnlySpan<byte> labels, double value, long timestampMs)
    {
        _seriesOpen.ShouldBeTrue();
        CheckBlock(labels);
        _exemplars++;
        Mix(3, (ulong)timestampMs, BitConverter.DoubleToUInt64Bits(value), StableHash.Hash64(labels));
    }

    public void Metadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
    {
        Enum.IsDefined(type).ShouldBeTrue();
        _metadata++;
        Mix(4 + (ulong)type * 16, StableHash.Hash64(family), StableHash.Hash64(help), StableHash.Hash64(unit));
    }

    public void Refused(string reason, int samples, int histograms, int exemplars)
    {
        string.IsInterned(reason).ShouldNotBeNull();
        _refused++;
        Mix(5, (ulong)samples, (ulong)histograms, (ulong)exemplars);
    }

    private void Open(ReadOnlySpan<byte> labels)
    {
        CheckBlock(labels);
        _seriesOpen = true;
        _series++;
        Mix(6, StableHash.Hash64(labels), (ulong)labels.Length, 0);
    }

    /// <summary>Labels only; in each at most a name and then at most a value.</summary>
    private static void CheckBlock(ReadOnlySpan<byte> block)
    {
        var reader = new FieldReader(block);
        while (reader.NextField(out var tag))
        {
            var label = reader.ReadMessage();
            var isCanonical = tag == 0x0A;
            var lastTag = 0U;
            while (label.NextField(out var labelTag))
            {
                isCanonical &= labelTag is 0x0A or 0x12 && labelTag > lastTag;
                lastTag = labelTag;
                label.Skip(labelTag);
            }
            if (!isCanonical || label.IsFaulty)
            {
                throw new InvalidOperationException($"Not a label block: {Convert.ToHexString(block)}.");
            }
        }
        if (reader.IsFaulty)
        {
            throw new InvalidOperationException($"Not a label block: {Convert.ToHexString(block)}.");
        }
    }

    private void Mix(ulong kind, ulong a, ulong b, ulong c)
    {
        foreach (var word in (ReadOnlySpan<ulong>)[kind, a, b, c])
        {
            Hash = (ulong.RotateLeft(Hash, 23) ^ word) * 0x9E3779B185EBCA87;
        }
    }
}
