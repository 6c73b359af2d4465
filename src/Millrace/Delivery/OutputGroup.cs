namespace Millrace.Delivery;

/// <summary>One block of an output group; its <see cref="LogPosition.Index"/> is its place in the group.</summary>
internal readonly record struct OutputBlock(
    string Destination,
    int Lane,
    int SampleCount,
    long MinTimestampMs,
    long MaxTimestampMs,
    ReadOnlyMemory<byte> Bytes);

/// <summary>
/// What one closed window became: the payload of an output-group record. It is one atomic append: the sealed blocks of
/// every destination, the rule's cumulative state after the window, and the input position both stand for.
/// </summary>
/// <remarks>
/// Layout, little-endian, version 1, or 2 for a correction:
/// <code>
/// u8 version | u128 rule key | i64 window end ms | i64 input LSN | u16 n, n bytes rule name
/// u32 block count, then per block:
///   u16 n, n bytes destination | u16 lane | i32 samples | i64 min ms | i64 max ms | u32 n, n bytes block
/// u32 n, n bytes state
/// </code>
/// Integrity is the log's (a checksum per record); the reader still checks every length before it follows it.
/// </remarks>
internal sealed record OutputGroup
{
    public const byte FormatVersion = 1;

    /// <summary>
    /// Laid out the same. A release that does not know it leaves corrections unsent, and takes none of them for the
    /// window itself.
    /// </summary>
    public const byte CorrectionVersion = 2;

    public UInt128 RuleKey { get; init; }

    public string RuleName { get; init; } = "";

    public long WindowEndMs { get; init; }

    /// <summary>
    /// The window stands in an earlier group: this one has what has changed. It is told by the close that made it.
    /// </summary>
    public bool IsCorrection { get; init; }

    /// <summary>The LSN of the close record in the input log.</summary>
    public long InputLsn { get; init; }

    public IReadOnlyList<OutputBlock> Blocks { get; init; } = [];

    /// <summary>Cumulative state after the window, in the form the aggregation gave it.</summary>
    public ReadOnlyMemory<byte> State { get; init; }

    /// <summary>Reads a payload. The blocks and the state are slices of it, not copies.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> payload, out OutputGroup group, out string problem)
    {
        group = Empty;
        var reader = new PayloadReader(payload);
        var version = reader.Byte();
        if (reader.Failed || version is < FormatVersion or > CorrectionVersion)
        {
            problem = reader.Failed
                ? "The output group is empty."
                : $"The output group has format version {version}; this release reads up to {CorrectionVersion}.";
            return false;
        }
        var ruleKey = new UInt128((ulong)reader.Int64(), (ulong)reader.Int64());
        var windowEndMs = reader.Int64();
        var inputLsn = reader.Int64();
        var ruleName = reader.Text();
        var count = reader.Int32();
        if (reader.Failed || count < 0 || count > reader.RemainingBytes / OutputGroupWriter.MinBlockBytes)
        {
            problem = $"The output group is cut short or its block count ({count}) is wrong.";
            return false;
        }
        var blocks = new OutputBlock[count];
        for (var i = 0; i < count; i++)
        {
            blocks[i] = new OutputBlock(
                reader.Text(), reader.UInt16(), reader.Int32(), reader.Int64(), reader.Int64(), reader.Bytes());
            if (reader.Failed || blocks[i].SampleCount < 0)
            {
                problem = $"Block {i} of {count} of the output group is cut short.";
                return false;
            }
        }
        var state = reader.Bytes();
        if (reader.Failed || reader.RemainingBytes != 0)
        {
            problem = "The output group's state is cut short, or something follows it.";
            return false;
        }
        problem = "";
        group = new OutputGroup
        {
            RuleKey = ruleKey,
            RuleName = ruleName,
            WindowEndMs = windowEndMs,
            IsCorrection = version == CorrectionVersion,
            InputLsn = inputLsn,
            Blocks = blocks,
            State = state,
        };
        return true;
    }

    private static readonly OutputGroup Empty = new();
}

/// <summary>
/// Writes an output group into a pooled buffer: <see cref="Begin"/>, <see cref="AddBlock"/> for each block,
/// <see cref="Finish"/>. The payload is valid until the next <see cref="Begin"/>. Not thread-safe.
/// </summary>
internal sealed class OutputGroupWriter : IDisposable
{
    /// <summary>A block without destination name and bytes.</summary>
    public const int MinBlockBytes = 2 + 2 + 4 + 8 + 8 + 4;

    private readonly PayloadWriter _payload = new(64 << 10);
    private int _countAt;
    private int _count;

    public void Begin(
        UInt128 ruleKey, string ruleName, long windowEndMs, long inputLsn, bool isCorrection = false)
    {
        _payload.Clear();
        _count = 0;
        _payload.Byte(isCorrection ? OutputGroup.CorrectionVersion : OutputGroup.FormatVersion);
        _payload.Int64((long)(ulong)(ruleKey >> 64));
        _payload.Int64((long)(ulong)ruleKey);
        _payload.Int64(windowEndMs);
        _payload.Int64(inputLsn);
        _payload.Text(ruleName);
        _countAt = _payload.Length;
        _payload.Int32(0);
    }

    /// <returns>The block's place in the group: the index of its position.</returns>
    public int AddBlock(
        string destination, int lane, int sampleCount, long minTimestampMs, long maxTimestampMs,
        ReadOnlySpan<byte> bytes)
    {
        _payload.Text(destination);
        _payload.UInt16(checked((ushort)lane));
        _payload.Int32(sampleCount);
        _payload.Int64(minTimestampMs);
        _payload.Int64(maxTimestampMs);
        _payload.Bytes(bytes);
        return _count++;
    }

    public ReadOnlyMemory<byte> Finish(ReadOnlySpan<byte> state)
    {
        _payload.PatchInt32(_countAt, _count);
        _payload.Bytes(state);
        return _payload.Written;
    }

    public void Dispose() => _payload.Dispose();
}
