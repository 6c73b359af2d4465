using Millrace.Log;

namespace Millrace.TestKit.Simulation;

/// <summary>A record of the input log, kept for the replayer also when the log itself has let go of it.</summary>
internal sealed record ArchivedRecord(long Lsn, RecordType Type, long ArrivalMs, byte[] Payload);

/// <summary>All records of an input log over all lives of the process, read through the log's own reader.</summary>
internal sealed class LogArchive
{
    private readonly List<ArchivedRecord> _records = [];

    public IReadOnlyList<ArchivedRecord> Records => _records;

    public long NextLsn => _records.Count == 0 ? 1 : _records[^1].Lsn + 1;

    /// <summary>
    /// Takes what was appended since the last call. Called often enough that nothing is released before.
    /// </summary>
    public void Follow(RecordLog log)
    {
        using var reader = log.OpenReader(NextLsn);
        while (reader.TryRead(out var record))
        {
            _records.Add(ArchivedOf(record));
        }
        if (reader.DroppedRecords > 0)
        {
            throw new InvalidOperationException(
                    $"{reader.DroppedRecords} records were released before they were archived.");
        }
    }

    /// <summary>
    /// What a log lost when the power went: the end of the archive is compared with what the next process finds.
    /// </summary>
    /// <param name="found">The log as it was opened.</param>
    /// <param name="releasedLsn">What stands below it was let go of: it may be gone, in any order.</param>
    /// <returns>The LSNs that are gone.</returns>
    public List<long> Recover(RecordLog found, long releasedLsn)
    {
        var left = new HashSet<long>();
        using var reader = found.OpenReader(found.FirstLsn);
        while (reader.TryRead(out var record))
        {
            left.Add(record.Lsn);
            if (record.Lsn >= NextLsn)
            {
                _records.Add(ArchivedOf(record)); // Appended, and the process died before the archive saw it.
            }
        }
        var lost = new List<long>();
        for (var i = _records.Count - 1; i >= 0 && _records[i].Lsn >= Math.Max(found.FirstLsn, releasedLsn); i--)
        {
            if (!left.Contains(_records[i].Lsn))
            {
                lost.Add(_records[i].Lsn);
                _records.RemoveAt(i);
            }
        }
        return lost;
    }

    private static ArchivedRecord ArchivedOf(in LogRecord record) =>
        new(record.Lsn, record.Header.Type, record.Header.ArrivalMs, record.Payload.ToArray());
}
