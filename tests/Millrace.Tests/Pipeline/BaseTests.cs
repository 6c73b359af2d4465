using Millrace.Memory;
using Millrace.Pipeline;
using Millrace.TestKit;

namespace Millrace.Tests.Pipeline;

public sealed class BaseTests
{
    private const string Folder = "/data/bases";

    private readonly FaultyDisk _disk = new(1);
    private readonly List<string> _problems = [];

    [Fact]
    public void The_newest_one_is_opened_with_all_that_was_written()
    {
        Write(10);
        Write(20);
        var found = Open();
        found.ShouldNotBeNull().Lsn.ShouldBe(20);
        found.OutputLsn.ShouldBe(120);
        found.LanesNeedFromLsn.ShouldBe(15);
        found.ConfigurationsOfLanes.Select(configuration => configuration.Lsn).ShouldBe([4]);
        found.Rules.Count.ShouldBe(0);
        found.LastEmitted.ShouldBeEmpty(); // The rule is not in force.
        found.Requests.Single().Lsn.ShouldBe(3);
        var states = found.OpenParts().Select(ReadState).ToList();
        states.ShouldBe([20_000, 20_001]);
        _problems.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("base-0000000000000014.base")]
    [InlineData("base-0000000000000014-0.part")]
    [InlineData("base-0000000000000014-1.part")]
    public void A_damaged_one_is_passed_over_for_the_one_before(string file)
    {
        Write(10);
        Write(20);
        var path = $"{Folder}/{file}";
        _disk.FlipBit(path, _disk.ReadAll(path).Length / 2, 3);
        Open().ShouldNotBeNull().Lsn.ShouldBe(10);
        _problems.Single().ShouldContain("damaged");
    }

    [Fact]
    public void One_whose_part_is_gone_is_passed_over()
    {
        Write(10);
        Write(20);
        _disk.Delete($"{Folder}/base-0000000000000014-1.part");
        Open().ShouldNotBeNull().Lsn.ShouldBe(10);
        _problems.Count.ShouldBe(1);
    }

    [Fact]
    public void One_that_was_not_finished_does_not_exist()
    {
        Write(10);
        var writer = new BaseWriter(Folder, 20, 2, _disk);
        writer.WritePart(0, state => state.Write(1L));
        Open().ShouldNotBeNull().Lsn.ShouldBe(10);
        _problems.ShouldBeEmpty();
    }

    [Fact]
    public void A_disk_that_refuses_a_part_leaves_the_older_base()
    {
        Write(10);
        var writer = new BaseWriter(Folder, 20, 1, _disk);
        _disk.FailNextWrites(1);
        writer.WritePart(0, state => state.Write(1L));
        writer.TryFinish(_ => { }).ShouldBeFalse();
        writer.Failure.ShouldNotBeNull();
        Open().ShouldNotBeNull().Lsn.ShouldBe(10);
    }

    [Fact]
    public void A_whole_one_makes_the_others_superfluous()
    {
        Write(10);
        Write(20).RemoveOthers();
        _disk.ListFiles(Folder).ShouldAllBe(name => name.StartsWith("base-0000000000000014"));
        Open().ShouldNotBeNull().Lsn.ShouldBe(20);
    }

    [Fact]
    public void A_whole_one_survives_a_power_loss()
    {
        Write(20);
        Base.TryOpenNewest(Folder, _disk.Crash(CrashKind.PowerLossPrefix), _problems)
            .ShouldNotBeNull().Lsn.ShouldBe(20);
    }

    private Base? Open() => Base.TryOpenNewest(Folder, _disk, _problems);

    private BaseWriter Write(long lsn)
    {
        var writer = new BaseWriter(Folder, lsn, 2, _disk);
        writer.WritePart(0, state => state.Write(lsn * 1_000));
        writer.WritePart(1, state => state.Write(lsn * 1_000 + 1));
        var generation = Generation.Empty([], new KeyedHash(new Random(1)));
        var item = new BaseItem(
            writer, new RulesInForce(generation, [], []), [(4, generation)],
            [new RememberedRequest(9, 1, 3, new WrittenCounts(1, 0, 0))]);
        writer.TryFinish(head => item.WriteHead(head, 15, lsn + 100, new Dictionary<UInt128, long> { [5] = 60_000 }))
            .ShouldBeTrue(writer.Failure);
        return writer;
    }

    private static long ReadState(System.IO.Stream part)
    {
        using var reader = new SnapshotReader(part);
        return reader.ReadInt64();
    }
}
