using System.IO;
using Millrace.Aggregation;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation;

public sealed class SideRunsTests
{
    private const int SlotCount = 20;

    [Fact]
    public void Series_do_not_see_each_other_however_many_runs_they_have()
    {
        var random = new Random(1);
        var (rows, runs) = NewRuns();
        var alone = new (Column<Run> Rows, SideRuns Runs)?[SlotCount];
        for (var i = 0; i < 50_000; i++)
        {
            var slot = random.Next(SlotCount);
            var (offset, value) = (random.Next(1, 200), random.Next(6));
            var startOffset = random.Next(300) == 0 ? offset - random.Next(3) : SideRun.NoStart;
            if (alone[slot] is not { } own)
            {
                own = NewRuns();
                alone[slot] = own;
                runs.Start(slot, new SideRun(new Run(offset, value), startOffset));
                own.Runs.Start(slot, new SideRun(new Run(offset, value), startOffset));
            }
            else if (random.Next(4 + slot) == 0) // some live long and have many runs
            {
                runs.Remove(slot);
                rows[slot] = default;
                alone[slot] = null;
                continue;
            }
            else
            {
                var (ambiguous, ownAmbiguous) = (0L, 0L);
                runs.Add(slot, offset, value, startOffset, ref ambiguous, out var oldValue).ShouldBe(
                    own.Runs.Add(slot, offset, value, startOffset, ref ownAmbiguous, out var ownOldValue));
                (ambiguous, oldValue).ShouldBe((ownAmbiguous, ownOldValue));
            }
            runs[slot].ToArray().ShouldBe(own.Runs[slot].ToArray());
            runs.Count.ShouldBe(alone.Count(other => other is not null));
        }
    }

    [Fact]
    public void Where_runs_are_kept_does_not_show_in_a_snapshot()
    {
        var (_, first) = NewRuns();
        var (_, second) = NewRuns();
        var (_, read) = NewRuns();
        foreach (var slot in Enumerable.Range(0, SlotCount))
        {
            Fill(first, slot);
            Fill(second, SlotCount - 1 - slot);
        }
        SnapshotOf(second).ShouldBe(SnapshotOf(first));
        read.Read(new SnapshotReader(new MemoryStream(SnapshotOf(first))));
        SnapshotOf(read).ShouldBe(SnapshotOf(first));
    }

    /// <summary>Two runs, or, of every third series, three.</summary>
    private static void Fill(SideRuns runs, int slot)
    {
        var ambiguous = 0L;
        runs.Start(slot, new SideRun(new Run(1, 9), SideRun.NoStart));
        for (var i = 0; i < 4; i++)
        {
            runs.Add(slot, 10 * i + 10, slot % 3 == 0 ? 3 - i / 2 : i, SideRun.NoStart, ref ambiguous, out _);
        }
    }

    private static (Column<Run> Rows, SideRuns Runs) NewRuns()
    {
        var rows = new Column<Run>();
        rows.EnsureCapacity(SlotCount);
        return (rows, new SideRuns(rows, ResetPolicy.Prometheus));
    }

    private static byte[] SnapshotOf(SideRuns runs)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            runs.Write(writer);
        }
        return stream.ToArray();
    }
}
