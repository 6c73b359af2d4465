using System.Globalization;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// Corrections from the input log to the output log: who gets them, once each, over crashes and reloads. Two counters
/// of 1 per second, one sample per second; of b every third sample comes 14 s late. Windows of 10 s that close 2 s
/// after their end and are corrected for 20 s. The first window, in which the process starts, is never written.
/// </summary>
public sealed class CorrectionPipelineTests
{
    private const string Rule = "{name: sums, match: requests_total, interval: 10s, without: [pod], "
        + "allowed_lateness: 2s, late: correct, corrections_for: 20s, outputs: [count_samples, total]}";

    private readonly SimulationClock _time = new();
    private readonly long _startMs;
    private FaultyDisk _disk = new(1);
    private RunningPipeline _pipeline = null!;
    private string _baseInterval = "1h";
    private bool _losesPower;
    private int _starts;

    public CorrectionPipelineTests()
    {
        _startMs = _time.TrueMs;
        _time.Advance(1_000);
    }

    [Fact]
    public void Only_a_destination_that_is_declared_gets_corrections()
    {
        Start(Rule);
        RunTo(55);

        // Of b the samples of 12, 15 and 18 come until 32; those of 21 to 27 until 41, that of 30 at 44.
        Given("victoria", "count_samples").ShouldBe(
            "20: 17, 20: 20, 30: 16, 30: 19, 40: 17, 30: 20, 40: 19, 50: 17");
        Given("prometheus", "count_samples").ShouldBe("20: 17, 30: 16, 40: 17, 50: 17");
        Given("prometheus", "total").ShouldBe("20: 20, 30: 39, 40: 60, 50: 80");
        _pipeline.Engine.Emitter.CorrectedWindows.ShouldBe(4);
        _pipeline.Engine.Emitter.EmittedWindows.ShouldBe(4);
    }

    [Theory]
    [InlineData("1h", false)]
    [InlineData("7s", false)]
    [InlineData("7s", true)]
    public void Wherever_the_process_dies_the_same_groups_stand_in_the_output_log(string baseInterval, bool losesPower)
    {
        (_baseInterval, _losesPower) = (baseInterval, losesPower);
        Start(Rule);
        RunTo(55);
        var undisturbed = Groups();
        undisturbed.Count.ShouldBe(8);
        var writes = _disk.WriteCount;

        for (var at = 1; at < writes; at += 2)
        {
            _time.Advance(_startMs + 1_000 - _time.TrueMs);
            _disk = new FaultyDisk(at);
            _disk.HaltAfterWrites(at);
            var deaths = Attempt(null);
            while (_time.ElapsedMs < 55_000)
            {
                _time.Advance(1_000);
                deaths += Attempt(Step);
            }
            deaths.ShouldBe(1);
            // A power loss may leave a hole in the output log, which is filled behind what stayed.
            Groups().ShouldBe(undisturbed, ignoreOrder: losesPower, $"died after write {at}");
        }
    }

    [Fact]
    public void A_rule_that_was_removed_corrects_its_last_windows_and_is_then_let_go()
    {
        Start(Rule);
        RunTo(25);
        Reload();
        RunTo(35);
        _pipeline.Engine.Generation.Retiring.Count.ShouldBe(1, "its last window ended at 30, and may be corrected");
        RunTo(55);

        Given("victoria", "count_samples").ShouldBe("20: 17, 20: 20, 30: 16, 30: 19, 30: 20");
        _pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
    }

    [Fact]
    public void A_changed_rule_and_its_successor_each_correct_their_own_windows()
    {
        Start(Rule);
        RunTo(25);
        Reload(Rule.Replace("[count_samples, total]", "[count_samples]", StringComparison.Ordinal));
        RunTo(55);

        // The old version answers until 30.
        Given("victoria", "count_samples").ShouldBe(
            "20: 17, 20: 20, 30: 16, 40: 17, 30: 19, 40: 19, 50: 17, 30: 20");
    }

    [Fact]
    public void A_rule_that_comes_back_while_it_corrects_leaves_out_what_another_answered_for()
    {
        Start(Rule);
        RunTo(21);
        Reload(Rule.Replace("[count_samples, total]", "[max]", StringComparison.Ordinal));
        RunTo(34);
        Reload(Rule);
        RunTo(75);

        Given("victoria", "total").ShouldBe("20: 20, 30: 39, 30: 40, 50: 80, 60: 99, 70: 120");
        Given("victoria", "max").ShouldBe("40: 40");
        Given("victoria", "count_samples").ShouldNotContain("40:");
    }

    [Fact]
    public void An_undeclared_destination_of_a_reloaded_configuration_gets_no_correction()
    {
        Start(Rule);
        RunTo(25);
        _pipeline.TryReload(Config([Rule], declared: "prometheus")).ShouldBeTrue();
        RunTo(45);

        Given("victoria", "count_samples").ShouldBe("20: 17, 30: 16, 40: 17");
        Given("prometheus", "count_samples").ShouldBe("20: 17, 20: 20, 30: 16, 30: 19, 40: 17");
    }

    [Fact]
    public void A_point_is_explained_with_the_late_samples_that_corrected_it()
    {
        Start(Rule);
        RunTo(55);

        var point = LabelSet.Of(("__name__", "requests_total:10s_without_pod_count_samples"), ("instance", "i"));
        var final = new WindowInquiry(_pipeline.InputLog!, Config([Rule]), point);
        final.Run(_startMs + 20_000, CancellationToken.None);
        var open = new WindowInquiry(_pipeline.InputLog!, Config([Rule]), point);
        open.Run(_startMs + 40_000, CancellationToken.None);

        final.Contributions.Sum(one => one.Samples.Count).ShouldBe(20);
        (final.FirstCutArrivalMs - _startMs, final.CutArrivalMs - _startMs).ShouldBe((22_000, 42_000));
        (open.FirstCutArrivalMs - _startMs, open.CutLsn).ShouldBe((42_000, 0));
        open.Contributions.Sum(one => one.Samples.Count).ShouldBe(20, "it came at 53, and is in the next correction");
    }

    [Fact]
    public void A_trial_shows_the_last_values()
    {
        Start(Rule);
        RunTo(55);

        var trial = new RuleTrial(_pipeline.InputLog!, Config([Rule]), limit: 10, _time);
        trial.Run(TimeSpan.FromMinutes(1), CancellationToken.None);

        var rule = trial.Rules.ShouldHaveSingleItem();
        rule.Corrections.ShouldBeGreaterThan(3);
        rule.LateSamples.ShouldBe(0);
        rule.Windows.Select(window => window.SampleCount).ShouldAllBe(count => count == 2);
        rule.Windows[0].EndMs.ShouldBe(_startMs + 20_000);
        rule.Windows[0].First.Select(sample => sample.Value).ShouldBe([20, 20], "of count_samples and total");
    }

    private void Start(params string[] rules)
    {
        _pipeline = PipelineBuilder.Build(Config(rules), new PipelineEnvironment
        {
            Disk = _disk,
            Time = _time,
            Random = new Random(++_starts),
            Workers = 0,
            Failed = static problem => throw new InvalidOperationException(problem),
        });
        _pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
    }

    /// <summary>A step of the process; if it dies in it, the next one starts and does it again.</summary>
    /// <param name="step">Null: the start itself.</param>
    /// <returns>How often it died.</returns>
    private int Attempt(Action? step)
    {
        try
        {
            (step ?? (() => Start(Rule)))();
            return 0;
        }
        catch (DiskHaltedException)
        {
            _disk = _disk.Crash(_losesPower ? CrashKind.PowerLossSubset : CrashKind.Kill);
            Start(Rule);
            step?.Invoke();
            return 1;
        }
    }

    private void Reload(params string[] rules) => _pipeline.TryReload(Config(rules)).ShouldBeTrue();

    private MillraceConfig Config(string[] rules, string declared = "victoria")
    {
        string Destination(string name) => $"{{name: {name}, lanes: 1, "
            + (name == declared ? "corrections: true, " : "")
            + "remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}}";
        var yaml = $$"""
            log: {base_interval: {{_baseInterval}}}
            aggregation: {catch_up: 0s, tasks: {count: 2}, rules: [{{string.Join(", ", rules)}}]}
            routes: [{name: all, drop_input: true}]
            destinations: [{{Destination("victoria")}}, {{Destination("prometheus")}}]
            """;
        var loaded = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null);
        loaded.Problems.ShouldBeEmpty();
        return loaded.Config! with { Log = loaded.Config!.Log with { Path = "/data" } };
    }

    private void RunTo(int second)
    {
        while (_time.ElapsedMs < second * 1_000)
        {
            _time.Advance(1_000);
            Step();
        }
    }

    private void Step()
    {
        var second = _time.ElapsedMs / 1_000;
        var samples = new List<PlainSample> { At("a", second) };
        if (second % 3 != 0)
        {
            samples.Add(At("b", second));
        }
        if ((second - 14) % 3 == 0 && second > 14)
        {
            samples.Add(At("b", second - 14));
        }
        _pipeline.Ingest.Push(
            PlainRemoteWrite.Encode(samples),
            new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _)
            .Status.ShouldBe(PushStatus.Accepted);
        (!_losesPower || _pipeline.InputLog!.Sync()).ShouldBeTrue(); // as with log_synced, before the answer
        _pipeline.Tick();
    }

    private PlainSample At(string pod, long second) => new(
        PlainSeries.Of((PlainSeries.MetricName, "requests_total"), ("instance", "i"), ("pod", pod)),
        _startMs + second * 1_000, second);

    /// <summary>What stands in the output log, in its order.</summary>
    /// <summary>Without metadata, which each process tells anew.</summary>
    private List<string> Groups()
    {
        var groups = new List<string>();
        foreach (var group in ReadGroups())
        {
            var blocks = group.Blocks.Select(block =>
                $"{block.Destination} {string.Join(' ', PlainRemoteWrite.DecodeSnappy(block.Bytes.Span))}");
            groups.Add($"{group.WindowEndMs} {group.IsCorrection} {string.Join(' ', blocks)}");
        }
        return groups;
    }

    /// <summary>Of an output what was given to a destination, as "second: value, …".</summary>
    private string Given(string destination, string output)
    {
        var points = new List<string>();
        foreach (var group in ReadGroups())
        {
            foreach (var block in group.Blocks.Where(block => block.Destination == destination))
            {
                points.AddRange(PlainRemoteWrite.DecodeSnappy(block.Bytes.Span)
                    .Where(point => point.Series.Text.Contains(output + "{", StringComparison.Ordinal))
                    .Select(point => string.Create(
                        CultureInfo.InvariantCulture, $"{(point.TimestampMs - _startMs) / 1_000}: {point.Value}")));
            }
        }
        return string.Join(", ", points);
    }

    private List<OutputGroup> ReadGroups()
    {
        var groups = new List<OutputGroup>();
        using var reader = _pipeline.OutputLog.OpenReader(_pipeline.OutputLog.FirstLsn);
        while (reader.TryRead(out var record))
        {
            record.Header.Type.ShouldBe(RecordType.OutputGroup);
            OutputGroup.TryRead(record.Payload.ToArray(), out var group, out var problem).ShouldBeTrue(problem);
            groups.Add(group);
        }
        return groups;
    }
}
