using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using Millrace.Memory;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;

namespace Millrace.Delivery;

/// <summary>Where a block builder finds the labels of a series; asked only when a fragment must be made.</summary>
internal interface ISeriesLabels
{
    /// <summary>
    /// The labels in the form of <see cref="IWriteSink.BeginSeries"/>, always the same for the same series until
    /// <see cref="BlockBuilder.ForgetSeries"/>. The span stays valid through a second call.
    /// </summary>
    ReadOnlySpan<byte> LabelsOf(int seriesId);
}

internal enum AddResult : byte
{
    Added,

    /// <summary>Nothing was added: take the block with <see cref="BlockBuilder.Seal"/> and add again.</summary>
    MustSealFirst,
}

/// <summary>What stands in a sealed block. The times are of samples and histograms.</summary>
internal readonly record struct BlockSummary(
    int Samples, int Histograms, int Exemplars, int Metadata,
    long MinTimestampMs, long MaxTimestampMs, int UncompressedBytes);

internal sealed record BlockLimits
{
    /// <summary>Samples and histograms; as many exemplars and as many families of metadata may come on top.</summary>
    public int MaxSamples { get; init; } = 10_000;

    /// <summary>Receivers refuse bodies above 32 MiB. One entry may pass it, alone or as the last one.</summary>
    public int MaxUncompressedBytes { get; init; } = 16 << 20;

    /// <summary>Memory for fragments, about forty bytes for a series.</summary>
    public int MaxFragmentBytes { get; init; } = 64 << 20;
}

/// <summary>
/// Builds blocks: snappy-compressed remote write 1.0 requests. One per destination and lane, used by one thread.
///
/// No uncompressed request ever exists. A snappy copy reaches back by a distance, so the compressed form of "series i
/// right after series j" is the same wherever the two meet; it is kept as a fragment, and adding a sample is copying
/// some fifty bytes and patching value and time into them (<see cref="EntryForm"/>). Senders repeat their order, so a
/// fragment with another predecessor is rarely needed; then it is made anew (<see cref="FragmentEncoder"/>).
///
/// What a block holds depends on the calls since the last seal and on nothing else: fragments change the speed, not a
/// byte. A block never holds samples of a series out of order.
/// </summary>
internal sealed class BlockBuilder
{
    /// <summary>The length of the whole goes in front when it is known.</summary>
    private const int PreambleRoomBytes = 5;

    /// <summary>Vectors are moved whole, so this much behind what is wanted may be read or written.</summary>
    private const int SlackBytes = 128;

    private const int InitialBytes = 64 << 10;

    /// <summary>Fragments are kept in chunks; the longest one takes a third.</summary>
    private const int FragmentChunkBits = 16;
    private const int FragmentChunkBytes = 1 << FragmentChunkBits;
    private const int FragmentAlignment = 4;

    /// <summary>What stands before the next entry, where it is no series' entry. Both give the same bytes.</summary>
    private const int AtBlockStart = -1;
    private const int AfterOtherEntry = -2;
    private const int NoFragment = int.MinValue;

    private readonly ISeriesLabels _labels;
    private readonly BlockLimits _limits;
    private readonly FragmentEncoder _encoder = new();

    // What is known of series; outlives a block.
    private Column<Series> _series = new();
    private int _seriesCount;
    private byte[][] _fragments = [];
    private int _fragmentsEnd;
    private int _unusedFragmentBytes;

    // The block being built.
    private byte[] _block = new byte[InitialBytes];
    private int _blockNumber = 1;
    private int _end = PreambleRoomBytes;
    private int _uncompressedBytes;
    private int _previous = AtBlockStart;
    private int _previousEntryBytes;
    private int _samples;
    private int _histograms;
    private int _exemplars;
    private int _metadata;
    private long _minTimestampMs = long.MaxValue;
    private long _maxTimestampMs = long.MinValue;

    public BlockBuilder(ISeriesLabels labels, BlockLimits limits)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limits.MaxSamples);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limits.MaxUncompressedBytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limits.MaxUncompressedBytes, 1 << 29);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limits.MaxFragmentBytes, 1 << 29);
        _labels = labels;
        _limits = limits;
    }

    /// <summary>Samples and histograms in the block.</summary>
    public int SampleCount => _samples + _histograms;

    public bool IsEmpty => _uncompressedBytes == 0;

    public int CompressedBytes => _end - PreambleRoomBytes;

    /// <summary>Series registered; each costs 28 bytes and its fragment.</summary>
    public int SeriesCount => _seriesCount;

    /// <summary>What <see cref="Register"/> was given.</summary>
    public int SeriesIdOf(int series) => _series[series].SeriesId;

    public int FragmentBytes => _fragmentsEnd;

    /// <summary>Gives a series its place here, a small dense number, whatever the id of its labels.</summary>
    public int Register(int seriesId)
    {
        _series.EnsureCapacity(_seriesCount + 1);
        _series[_seriesCount] = new Series { SeriesId = seriesId, Key = NoFragment };
        return _seriesCount++;
    }

    /// <param name="series">As <see cref="Register"/> gave it.</param>
    /// <param name="timestampMs">Above the series' last one in the block, or it must be sealed first.</param>
    /// <param name="value">Any value, written bit by bit.</param>
    /// <param name="startTimestampMs">0: not known.</param>
    public AddResult Add(int series, long timestampMs, double value, long startTimestampMs = 0)
    {
        ref var entry = ref _series[series];
        if (IsFullFor(ref entry, timestampMs))
        {
            return AddResult.MustSealFirst;
        }
        var form = startTimestampMs == 0 ? EntryForm.Plain : EntryForm.WithStart;
        if (!EntryForm.Fits(timestampMs) || (form == EntryForm.WithStart && !EntryForm.Fits(startTimestampMs)))
        {
            return AddLiteralSample(ref entry, timestampMs, value, startTimestampMs);
        }
        if (entry.Key != KeyOf(_previous, form) || _end + entry.Length + SlackBytes > _block.Length)
        {
            if (!TryAppendSlowly(ref entry, series, form))
            {
                return AddLiteralSample(ref entry, timestampMs, value, startTimestampMs);
            }
        }
        else
        {
            ref var from = ref Unsafe.Add(
                ref MemoryMarshal.GetArrayDataReference(_fragments[entry.Offset >> FragmentChunkBits]),
                entry.Offset & (FragmentChunkBytes - 1));
            ref var to = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_block), _end);
            CopyWithSlack(ref from, ref to, entry.Length);
            _end += entry.Length + EntryForm.VolatileBytes(form);
            _previousEntryBytes = entry.EntryBytes;
        }
        // Room for the byte that is written too much is part of the slack.
        EntryForm.Patch(
            ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_block), _end),
            form, value, timestampMs, startTimestampMs);
        _previous = (series << 1) | form;
        _uncompressedBytes += _previousEntryBytes;
        _samples++;
        Note(ref entry, timestampMs);
        return AddResult.Added;
    }

    /// <param name="series">As <see cref="Register"/> gave it.</param>
    /// <param name="message">A Histogram; where its timestamp is another, the one given is written behind it.</param>
    /// <param name="timestampMs">As for <see cref="Add"/>.</param>
    public AddResult AddHistogram(int series, ReadOnlySpan<byte> message, long timestampMs)
    {
        ref var entry = ref _series[series];
        if (IsFullFor(ref entry, timestampMs))
        {
            return AddResult.MustSealFirst;
        }
        // Of a field that stands twice, the last one counts.
        var hasTimestamp = V1Wire.TryReadTimestamp(message, V1Wire.HistogramTimestamp, out var written)
            && written == timestampMs;
        var messageBytes = message.Length
            + (hasTimestamp ? 0 : 1 + WireWriter.VarintSize((ulong)timestampMs));
        var labels = _labels.LabelsOf(entry.SeriesId);
        if (!TryBeginLiteral(labels, WireWriter.FieldSize(messageBytes), out var writer))
        {
            return AddResult.MustSealFirst;
        }
        writer.WriteHead(V1Wire.SeriesHistogram, messageBytes);
        writer.WriteRaw(message);
        if (!hasTimestamp)
        {
            writer.WriteVarint(V1Wire.HistogramTimestamp, (ulong)timestampMs);
        }
        EndLiteral(writer);
        _histograms++;
        Note(ref entry, timestampMs);
        return AddResult.Added;
    }

    /// <summary>
    /// Add it behind the sample that it belongs to. The sample limit does not count here, so that the two are parted
    /// only when the block is at its limit of bytes.
    /// </summary>
    /// <param name="series">As <see cref="Register"/> gave it.</param>
    /// <param name="exemplarLabels">Labels in the form of <see cref="IWriteSink.BeginSeries"/>.</param>
    public AddResult AddExemplar(int series, ReadOnlySpan<byte> exemplarLabels, double value, long timestampMs)
    {
        var labels = _labels.LabelsOf(_series[series].SeriesId);
        var messageBytes = exemplarLabels.Length + 1 + sizeof(double)
            + 1 + WireWriter.VarintSize((ulong)timestampMs);
        if (_exemplars >= _limits.MaxSamples
            || !TryBeginLiteral(labels, WireWriter.FieldSize(messageBytes), out var writer))
        {
            return AddResult.MustSealFirst;
        }
        writer.WriteHead(V1Wire.SeriesExemplar, messageBytes);
        writer.WriteRaw(exemplarLabels);
        writer.WriteDouble(V1Wire.ExemplarValue, value);
        writer.WriteVarint(V1Wire.ExemplarTimestamp, (ulong)timestampMs);
        EndLiteral(writer);
        _exemplars++;
        return AddResult.Added;
    }

    public AddResult AddMetadata(MetricMetadata metadata) => AddMetadata(
        Encoding.UTF8.GetBytes(metadata.Family), metadata.Type,
        Encoding.UTF8.GetBytes(metadata.Help), Encoding.UTF8.GetBytes(metadata.Unit));

    public AddResult AddMetadata(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
    {
        var messageBytes = 2 + WireWriter.FieldSize(family.Length)
            + WireWriter.FieldSize(help.Length) + WireWriter.FieldSize(unit.Length);
        if (_metadata >= _limits.MaxSamples || !TryReserve(WireWriter.FieldSize(messageBytes), out var writer))
        {
            return AddResult.MustSealFirst;
        }
        writer.WriteHead(V1Wire.RequestMetadata, messageBytes);
        writer.WriteVarint(V1Wire.MetadataType, (ulong)type);
        writer.WriteBytes(V1Wire.MetadataFamily, family);
        writer.WriteBytes(V1Wire.MetadataHelp, help);
        writer.WriteBytes(V1Wire.MetadataUnit, unit);
        EndLiteral(writer);
        _metadata++;
        return AddResult.Added;
    }

    /// <summary>
    /// Ends the block and begins the next. The bytes stand in the builder's own buffer and are valid until the next
    /// call that adds.
    /// </summary>
    public ReadOnlySpan<byte> Seal(out BlockSummary summary)
    {
        summary = new BlockSummary(
            _samples, _histograms, _exemplars, _metadata, _minTimestampMs, _maxTimestampMs, _uncompressedBytes);
        var start = PreambleRoomBytes - WireWriter.VarintSize((uint)_uncompressedBytes);
        Snappy.WriteLength(_block.AsSpan(start), _uncompressedBytes);
        var block = _block.AsSpan(start, _end - start);
        _end = PreambleRoomBytes;
        _uncompressedBytes = 0;
        _previous = AtBlockStart;
        _samples = _histograms = _exemplars = _metadata = 0;
        _minTimestampMs = long.MaxValue;
        _maxTimestampMs = long.MinValue;
        _blockNumber++;
        return block;
    }

    /// <summary>
    /// As <see cref="Seal"/>, but the bytes are the caller's from then on, in an array of the shared pool. A block that
    /// fills the buffer takes it along instead of being copied.
    /// </summary>
    public ReadOnlyMemory<byte> SealRented(out BlockSummary summary, out byte[] rented)
    {
        var end = _end;
        var block = Seal(out summary);
        var isCopied = block.Length < _block.Length / 2 || !BitOperations.IsPow2(_block.Length);
        if (isCopied)
        {
            rented = ArrayPool<byte>.Shared.Rent(block.Length);
            block.CopyTo(rented);
            return rented.AsMemory(0, block.Length);
        }
        rented = _block;
        _block = ArrayPool<byte>.Shared.Rent(rented.Length);
        return rented.AsMemory(end - block.Length, block.Length);
    }

    /// <summary>
    /// All series are gone and ids begin anew. Only between blocks: what keeps the samples of a block in order is
    /// forgotten too.
    /// </summary>
    public void ForgetSeries()
    {
        if (!IsEmpty)
        {
            throw new InvalidOperationException("Series can be forgotten only after the block was sealed.");
        }
        _seriesCount = 0;
        _series = new Column<Series>();
        _fragments = [];
        _fragmentsEnd = 0;
        _unusedFragmentBytes = 0;
    }

    /// <summary>Fits: no cache has so many series.</summary>
    private static int KeyOf(int previous, int form) => (previous << 1) | form;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsFullFor(ref Series entry, long timestampMs) =>
        (entry.BlockNumber == _blockNumber && timestampMs <= entry.LastTimestampMs)
        || _samples + _histograms >= _limits.MaxSamples
        || _uncompressedBytes >= _limits.MaxUncompressedBytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Note(ref Series entry, long timestampMs)
    {
        entry.BlockNumber = _blockNumber;
        entry.LastTimestampMs = timestampMs;
        _minTimestampMs = Math.Min(_minTimestampMs, timestampMs);
        _maxTimestampMs = Math.Max(_maxTimestampMs, timestampMs);
    }

    /// <summary>Appends the elements of an entry, unpatched. False: its labels are too long for a fragment.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryAppendSlowly(ref Series entry, int series, int form)
    {
        if (_previous == ((series << 1) | form))
        {
            AppendRepeat(form);
            return true;
        }
        if (entry.Key == KeyOf(_previous, form))
        {
            // Only room was missing.
            AppendFragment(StoredAt(entry.Offset, entry.Length), EntryForm.VolatileBytes(form));
            _previousEntryBytes = entry.EntryBytes;
            return true;
        }
        var labels = _labels.LabelsOf(entry.SeriesId);
        if (labels.Length > FragmentEncoder.MaxLabelBytes)
        {
            return false;
        }
        var fragment = _previous < 0
            ? _encoder.Encode(labels, form)
            : _encoder.Encode(labels, form, _labels.LabelsOf(_series[_previous >> 1].SeriesId), _previous & 1);
        // What changes with every sample need not be kept.
        fragment = fragment[..^EntryForm.VolatileBytes(form)];
        AppendFragment(fragment, EntryForm.VolatileBytes(form));
        _previousEntryBytes = EntryForm.FixedBytes(labels.Length, form) + EntryForm.VolatileBytes(form);
        // A series begins a block by accident; in the next round it most likely stands in the middle again.
        if (_previous != AtBlockStart)
        {
            Keep(fragment, ref entry, KeyOf(_previous, form), _previousEntryBytes);
        }
        return true;
    }

    /// <summary>
    /// A series right behind itself, as when its samples come together: the entry before, but for value and time. It
    /// is made each time, so that the fragment behind another series stays.
    /// </summary>
    private void AppendRepeat(int form)
    {
        EnsureRoom(_previousEntryBytes);
        var volatileBytes = EntryForm.VolatileBytes(form);
        ref var block = ref MemoryMarshal.GetArrayDataReference(_block);
        _end += Snappy.WriteCopy(
            ref Unsafe.Add(ref block, _end), _previousEntryBytes, _previousEntryBytes - volatileBytes);
        _end += Snappy.WriteLiteralTag(ref Unsafe.Add(ref block, _end), volatileBytes);
        _end += volatileBytes;
    }

    private void AppendFragment(ReadOnlySpan<byte> fragment, int volatileBytes)
    {
        EnsureRoom(fragment.Length + volatileBytes);
        fragment.CopyTo(_block.AsSpan(_end));
        _end += fragment.Length + volatileBytes;
    }

    private Span<byte> StoredAt(int offset, int length) =>
        _fragments[offset >> FragmentChunkBits].AsSpan(offset & (FragmentChunkBytes - 1), length);

    private void Keep(ReadOnlySpan<byte> fragment, ref Series entry, int key, int entryBytes)
    {
        var room = RoundUp(entry.Length);
        var wanted = RoundUp(fragment.Length);
        if (wanted > room)
        {
            var isWasteful = _unusedFragmentBytes > (_fragmentsEnd >> 1) + InitialBytes;
            if (isWasteful || _fragmentsEnd + wanted > _limits.MaxFragmentBytes)
            {
                // Begin anew if that gives much back. If not, those that are kept are worth more than this one.
                if (_unusedFragmentBytes < _fragmentsEnd >> 2)
                {
                    return;
                }
                DropFragments();
                room = 0;
            }
            _unusedFragmentBytes += room;
            entry.Offset = Reserve(wanted);
        }
        else
        {
            _unusedFragmentBytes += room - wanted;
        }
        fragment.CopyTo(StoredAt(entry.Offset, fragment.Length));
        entry.Length = (ushort)fragment.Length;
        entry.EntryBytes = (ushort)entryBytes;
        entry.Key = key;
    }

    /// <summary>A place in one chunk.</summary>
    private int Reserve(int sizeBytes)
    {
        var left = -_fragmentsEnd & (FragmentChunkBytes - 1);
        if (left < sizeBytes)
        {
            _unusedFragmentBytes += left;
            _fragmentsEnd += left;
            var chunk = _fragmentsEnd >> FragmentChunkBits;
            if (chunk == _fragments.Length)
            {
                Array.Resize(ref _fragments, Math.Max(4, chunk * 2));
            }
            _fragments[chunk] ??= new byte[FragmentChunkBytes + SlackBytes];
        }
        var offset = _fragmentsEnd;
        _fragmentsEnd += sizeBytes;
        return offset;
    }

    private void DropFragments()
    {
        for (var series = 0; series < _seriesCount; series++)
        {
            ref var entry = ref _series[series];
            entry.Key = NoFragment;
            entry.Length = 0;
        }
        _fragmentsEnd = 0;
        _unusedFragmentBytes = 0;
    }

    private AddResult AddLiteralSample(ref Series entry, long timestampMs, double value, long startTimestampMs)
    {
        var sampleBytes = 1 + sizeof(double) + 1 + WireWriter.VarintSize((ulong)timestampMs)
            + (startTimestampMs == 0 ? 0 : 1 + WireWriter.VarintSize((ulong)startTimestampMs));
        var labels = _labels.LabelsOf(entry.SeriesId);
        if (!TryBeginLiteral(labels, WireWriter.FieldSize(sampleBytes), out var writer))
        {
            return AddResult.MustSealFirst;
        }
        writer.WriteHead(V1Wire.SeriesSample, sampleBytes);
        writer.WriteDouble(V1Wire.SampleValue, value);
        writer.WriteVarint(V1Wire.SampleTimestamp, (ulong)timestampMs);
        if (startTimestampMs != 0)
        {
            writer.WriteVarint(V1Wire.SampleStartTimestamp, (ulong)startTimestampMs);
        }
        EndLiteral(writer);
        _samples++;
        Note(ref entry, timestampMs);
        return AddResult.Added;
    }

    /// <summary>Begins a TimeSeries with its labels; the caller writes the rest, of the given size.</summary>
    private bool TryBeginLiteral(ReadOnlySpan<byte> labels, int restBytes, out WireWriter writer)
    {
        var messageBytes = labels.Length + restBytes;
        if (!TryReserve(WireWriter.FieldSize(messageBytes), out writer))
        {
            return false;
        }
        writer.WriteHead(V1Wire.RequestSeries, messageBytes);
        writer.WriteRaw(labels);
        return true;
    }

    /// <summary>Room for an entry as one literal; false when it would go past the block's limit of bytes.</summary>
    private bool TryReserve(int entryBytes, out WireWriter writer)
    {
        writer = default;
        if (!IsEmpty && _uncompressedBytes + (long)entryBytes > _limits.MaxUncompressedBytes)
        {
            return false;
        }
        EnsureRoom(PreambleRoomBytes + entryBytes);
        _end += Snappy.WriteLiteralTag(ref _block[_end], entryBytes);
        writer = new WireWriter(_block.AsSpan(_end, entryBytes));
        return true;
    }

    private void EndLiteral(WireWriter writer)
    {
        _end += writer.Position;
        _uncompressedBytes += writer.Position;
        _previous = AfterOtherEntry;
    }

    private void EnsureRoom(int sizeBytes) => OutputBuffer.Reserve(ref _block, _end, sizeBytes + SlackBytes);

    private static int RoundUp(int sizeBytes) => (sizeBytes + FragmentAlignment - 1) & -FragmentAlignment;

    /// <summary>Most fragments are of two vectors or less.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyWithSlack(ref byte from, ref byte to, int length)
    {
        Vector256.LoadUnsafe(ref from).StoreUnsafe(ref to);
        Vector256.LoadUnsafe(ref from, 32).StoreUnsafe(ref to, 32);
        for (var done = 64; done < length; done += 32)
        {
            Vector256.LoadUnsafe(ref from, (nuint)done).StoreUnsafe(ref to, (nuint)done);
        }
    }

    /// <summary>
    /// A series as this builder knows it, 28 bytes. Its fragment is good where <see cref="Key"/> is that of the
    /// entry before and of the form wanted.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private struct Series
    {
        public int SeriesId;
        public int BlockNumber;
        public int Key;
        public int Offset;
        public long LastTimestampMs;
        public ushort Length;
        public ushort EntryBytes;
    }
}
