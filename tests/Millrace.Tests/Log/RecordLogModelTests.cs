using Millrace.Log;
using Millrace.TestKit;
using static Millrace.Tests.Log.LogTesting;

namespace Millrace.Tests.Log;

/// <summary>
/// Random appends, reads, syncs, releases, disk errors, restarts and crashes, against a plain dictionary. A failure
/// prints its seed; the same seed repeats it step by step.
/// </summary>
public class RecordLogModelTests
{
    private const int Seeds = 80;
    private const int StepsPerSeed = 200;

    [Fact]
    public void Behaves_as_a_list_through_errors_restarts_and_crashes()
    {
        for (var seed = 0; seed < Seeds; seed++)
        {
            var run = new Run(seed);
            for (var step = 0; step < StepsPerSeed; step++)
            {
                try
                {
                    run.Step();
                }
                catch (Exception e)
                {
                    throw new InvalidOperationException($"Seed {seed}, step {step}: {e.Message}", e);
                }
            }
            run.Finish();
        }
    }

    private sealed class Run
    {
        private readonly Random _random;
        private readonly ManualClock _clock = new();
        private readonly RecordLogOptions _options;

        // What the log must hold, and what it may hold after a crash: also records whose append failed, because their
        // bytes had reached the disk before the error.
        private readonly Dictionary<long, byte[]> _written = [];
        private readonly Dictionary<long, List<byte[]>> _attempts = [];

        private FaultyDisk _disk;
        private RecordLog _log;
        private List<ReaderCheck> _readers = [];
        private long _firstLsn = 1;

        public Run(int seed)
        {
            _random = new Random(seed);
            _disk = new FaultyDisk(seed);
            _options = new RecordLogOptions { SegmentBytes = _random.Next(200, 5000), MaxSpares = seed % 4 };
            _log = Open(_disk, _options, _clock);
        }

        public void Step()
        {
            switch (_random.Next(100))
            {
                case < 50:
                    AppendOne();
                    break;
                case < 70:
                    ReadSome();
                    break;
                case < 75:
                    _log.Sync().ShouldBe(_log.Failure is null);
                    break;
                case < 79:
                    _readers.Add(new ReaderCheck(_log, _random.NextInt64(1, _log.NextLsn + 2), _written));
                    break;
                case < 82:
                    Release();
                    break;
                case < 85:
                    _log.SkipTo(_log.NextLsn + _random.Next(3));
                    break;
                case < 92:
                    BreakTheDisk();
                    break;
                case < 95:
                    Restart();
                    break;
                default:
                    Crash((CrashKind)_random.Next(4));
                    break;
            }
        }

        public void Finish()
        {
            _disk.CapacityBytes = long.MaxValue;
            StopFailing();
            Restart();
            var reader = new ReaderCheck(_log, 1, _written);
            reader.Read(int.MaxValue);
            _log.Dispose();
        }

        private void AppendOne()
        {
            var payload = RandomBytes(_random, _random.Next(200) switch { 0 => 100_000, < 20 => 3000, _ => 100 });
            var cut = _random.Next(payload.Length + 1);
            var expected = _log.NextLsn;
            var outcome = _log.Append(Header, payload.AsSpan(0, cut), payload.AsSpan(cut), out var lsn);
            if (!_attempts.TryGetValue(expected, out var attempts))
            {
                _attempts[expected] = attempts = [];
            }
            attempts.Add(payload);
            if (outcome == AppendOutcome.Written)
            {
                lsn.ShouldBe(expected);
                _written.Add(lsn, payload);
            }
            _log.NextLsn.ShouldBe(outcome == AppendOutcome.Written ? expected + 1 : expected);
            if (_disk.CapacityBytes == long.MaxValue)
            {
                outcome.ShouldNotBe(AppendOutcome.DiskFull);
            }
        }

        private void ReadSome()
        {
            if (_readers.Count > 0)
            {
                _readers[_random.Next(_readers.Count)].Read(_random.Next(30));
            }
        }

        private void Release()
        {
            if (_random.Next(2) == 0)
            {
                _log.ReleaseBefore(_random.NextInt64(_firstLsn, _log.NextLsn + 1));
            }
            else
            {
                _log.DropOldestSegment(out _);
            }
            _log.FirstLsn.ShouldBeGreaterThanOrEqualTo(_firstLsn);
            _firstLsn = _log.FirstLsn;
        }

        private void BreakTheDisk()
        {
            switch (_random.Next(8))
            {
                case 0:
                    _disk.FailNextWrites(_random.Next(3));
                    break;
                case 1:
                    _disk.FailNextCuts(_random.Next(4));
                    break;
                case 2:
                    _disk.FailNextReads(_random.Next(3));
                    break;
                case 3:
                    _disk.FailNextDeletes(_random.Next(3));
                    break;
                case 4 when _random.Next(4) == 0:
                    _disk.FailNextSyncs(1);
                    break;
                case 6:
                    _disk.FailNextRenames(_random.Next(3));
                    break;
                case 5:
                    _disk.CapacityBytes = _disk.UsedBytes + _random.Next(500);
                    break;
                default:
                    _disk.CapacityBytes = long.MaxValue;
                    _clock.Advance(TimeSpan.FromSeconds(1));
                    break;
            }
        }

        private void StopFailing()
        {
            _disk.FailNextWrites(0);
            _disk.FailNextCuts(0);
            _disk.FailNextReads(0);
            _disk.FailNextDeletes(0);
            _disk.FailNextRenames(0);
            _disk.FailNextSyncs(0);
        }

        private void Restart()
        {
            StopFailing();
            CheckReaders();
            _log.Dispose();
            Reopen(mayLose: false, synced: _log.NextLsn);
        }

        private void Crash(CrashKind kind)
        {
            var synced = _log.SyncedLsn;
            StopFailing();
            CheckReaders();
            _disk = _disk.Crash(kind);
            Reopen(mayLose: kind != CrashKind.Kill, synced);
        }

        private void CheckReaders()
        {
            foreach (var reader in _readers)
            {
                reader.Read(int.MaxValue);
                reader.NextLsn.ShouldBeGreaterThanOrEqualTo(_log.NextLsn - 1);
            }
            _readers = [];
        }

        /// <summary>Compares what the next process finds with what it must find, and goes on from there.</summary>
        private void Reopen(bool mayLose, long synced)
        {
            _disk.CapacityBytes = long.MaxValue;
            _log = Open(_disk, _options, _clock);
            var found = ReadAll(_log);
            foreach (var (lsn, payload) in found)
            {
                if (_written.TryGetValue(lsn, out var written) && (lsn < synced || !mayLose))
                {
                    payload.ShouldBe(written);
                }
                else
                {
                    _attempts[lsn].ShouldContain(attempt => attempt.SequenceEqual(payload));
                }
            }
            var lsns = found.Select(record => record.Lsn).ToHashSet();
            foreach (var lsn in _written.Keys.Where(lsn => lsn >= _firstLsn && (lsn < synced || !mayLose)))
            {
                lsns.ShouldContain(lsn);
            }
            _firstLsn = _log.FirstLsn;
            _log.NextLsn.ShouldBeGreaterThanOrEqualTo(found.Count == 0 ? 1 : found[^1].Lsn + 1);
            _written.Clear();
            _attempts.Clear();
            foreach (var (lsn, payload) in found)
            {
                _written[lsn] = payload;
                _attempts[lsn] = [payload];
            }
        }
    }

    /// <summary>A reader whose records are compared, and whose counts must add up.</summary>
    private sealed class ReaderCheck(RecordLog log, long fromLsn, Dictionary<long, byte[]> written)
    {
        private readonly LogReader _reader = log.OpenReader(fromLsn);
        private long _read;
        private long _missing;

        public long NextLsn => _reader.NextLsn;

        public void Read(int count)
        {
            for (var failures = 0; count > 0 && failures < 10; count--)
            {
                if (!_reader.TryRead(out var record))
                {
                    if (_reader.Failure is null)
                    {
                        return;
                    }
                    failures++;
                    count++;
                    continue;
                }
                record.Payload.ToArray().ShouldBe(written[record.Lsn]);
                _read++;
                _missing += record.MissingBefore;
                (fromLsn + _read + _missing).ShouldBe(record.Lsn + 1);
                (_reader.SkippedRecords + _reader.DroppedRecords).ShouldBe(_missing);
            }
        }
    }

    private sealed class ManualClock : TimeProvider
    {
        private long _now;

        public override long GetTimestamp() => _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Advance(TimeSpan by) => _now += by.Ticks;
    }
}
