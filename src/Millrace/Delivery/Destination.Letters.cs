namespace Millrace.Delivery;

/// <summary>What an operator does with the dead letters of a destination that runs.</summary>
internal sealed partial class Destination
{
    /// <summary>
    /// How much one <see cref="Sync"/> brings back: it is called every second, by a thread that has more to do.
    /// </summary>
    private const long ReplayedBytesPerSync = 8 << 20;

    /// <summary>Taken before all others: what is discarded is not replayed at the same moment.</summary>
    private readonly Lock _settling = new();

    /// <summary>To be sent again, in the order in which they were refused; the next syncs bring them back.</summary>
    /// <returns>What was not wanted before; null when the disk refused it.</returns>
    public LetterSum? Replay(LetterRange range, long nowMs)
    {
        lock (_settling)
        {
            return _deadLetters.Settle(LetterFate.Wanted, range, nowMs);
        }
    }

    public LetterSum? Discard(LetterRange range, long nowMs)
    {
        lock (_settling)
        {
            return _deadLetters.Settle(LetterFate.Discarded, range, nowMs);
        }
    }

    /// <summary>
    /// Brings letters that are wanted back into the queue as long as it has room. They are safe there before the
    /// letters say so: a crash between the two sends some twice, and loses none.
    /// </summary>
    private void ReplaySome()
    {
        lock (_settling)
        {
            if (_deadLetters.FirstWantedLsn is not { } firstLsn)
            {
                return;
            }
            var (lastLsn, sizeBytes, nowMs) = (0L, 0L, 0L);
            foreach (var letter in _deadLetters.Read(new LetterRange(firstLsn, long.MaxValue), wantedOnly: true))
            {
                lock (_lock)
                {
                    nowMs = _lastNowMs;
                    // Without a time nobody could tell the age of what is queued: the pump has not begun yet.
                    if (_isStopping || nowMs == 0 || !_queue.TryOfferAgain(letter.Letter.Block, nowMs))
                    {
                        break;
                    }
                }
                lastLsn = letter.Lsn;
                sizeBytes += letter.Letter.Block.Bytes.Length;
                if (sizeBytes >= ReplayedBytesPerSync)
                {
                    break;
                }
            }
            if (lastLsn == 0)
            {
                return;
            }
            if (_queue.SyncFiles())
            {
                _deadLetters.Settle(LetterFate.Replayed, new LetterRange(firstLsn, lastLsn), nowMs);
            }
        }
        BlockOffered?.Invoke();
    }
}
