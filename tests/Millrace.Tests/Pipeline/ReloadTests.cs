using System.Globalization;
using Millrace.Configuration;
using Millrace.Pipeline;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Pipeline;

/// <summary>
/// Reloads of a running pipeline, rule by rule. One counter grows by 1 per second, one sample per second; windows of
/// 10 s, whose points come 2 s after their end. The first window, in which the process starts, is never written.
/// </summary>
public sealed class ReloadTests
{
    private const string Sum =
        "{name: sum, match: requests_total, interval: 10s, allowed_lateness: 2s, outputs: [total]}";

    private const string Increase =
        "{name: inc, match: requests_total, interval: 10s, allowed_lateness: 2s, outputs: [increase]}";

    private readonly SimulationClock _time = new();
    private readonly SortedDictionary<(long Second, string Series), double> _points = [];
    private readonly long _startMs;
    private readonly List<PlainSeries> _sent = [SeriesOf("a")];
    private FaultyDisk _disk = new(1);
    private RunningPipeline _pipeline = null!;
    private int _starts;

    public ReloadTests()
    {
        _startMs = _time.TrueMs;
        _time.Advance(1_000);
    }

    [Fact]
    public void An_unchanged_file_changes_nothing()
    {
        Start(Sum);
        RunTo(15);
        Reload(Sum);
        RunTo(35);
        Points("total").ShouldBe("20: 10, 30: 20");
    }

    [Fact]
    public void A_rule_that_was_renamed_or_moved_keeps_its_windows_and_totals()
    {
        Start(Sum, Increase);
        RunTo(25);
        Reload(Increase, Sum.Replace("name: sum", "name: other", StringComparison.Ordinal));
        RunTo(45);
        Points("total").ShouldBe("20: 10, 30: 20, 40: 30");
        Points("increase").ShouldBe("20: 10, 30: 10, 40: 10");
    }

    [Fact]
    public void Rules_that_come_and_go_do_not_touch_the_others()
    {
        Start(Sum);
        RunTo(15);
        Reload(Sum, Increase);
        RunTo(35);
        Reload(Sum);
        RunTo(55);
        Points("total").ShouldBe("20: 10, 30: 20, 40: 30, 50: 40");
        // Begins at the next boundary, ends with the window under way.
        Points("increase").ShouldBe("30: 10, 40: 10");
    }

    [Fact]
    public void A_changed_rule_takes_over_at_the_boundary_and_no_window_is_lost_or_written_twice()
    {
        Start(Increase);
        RunTo(25);
        Reload(Increase.Replace("[increase]", "[increase, max]", StringComparison.Ordinal));
        RunTo(55);
        Points("increase").ShouldBe("20: 10, 30: 10, 40: 10, 50: 10");
        Points("max").ShouldBe("40: 40, 50: 50");
    }

    [Theory]
    [InlineData("10s", "30s", "20: 10, 30: 10", "60: 30")]
    [InlineData("30s", "10s", "", "40: 10, 50: 10, 60: 10")]
    [InlineData("10s", "15s", "20: 10, 30: 10", "45: 15, 60: 15")]
    public void With_another_interval_the_old_version_answers_until_the_new_one_begins(
        string before, string after, string expectedBefore, string expectedAfter)
    {
        Start(Increase.Replace("10s", before, StringComparison.Ordinal));
        RunTo(25);
        Reload(Increase.Replace("10s", after, StringComparison.Ordinal));
        RunTo(63);
        // A window of 30 s that the process did not see from its beginning is not written by the old version either.
        Points($":{before}_increase").ShouldBe(expectedBefore);
        Points($":{after}_increase").ShouldBe(expectedAfter);
    }

    [Fact]
    public void Arrival_time_hands_over_at_the_close()
    {
        var rule = "{name: n, match: requests_total, interval: 10s, time: arrival, outputs: [count_samples]}";
        Start(rule);
        RunTo(25);
        Reload(rule.Replace("[count_samples]", "[count_samples, max]", StringComparison.Ordinal));
        RunTo(50);
        var counts = Points("count_samples");
        // All samples are in one window, none in two.
        counts.Split(", ").Sum(point => int.Parse(point.Split(": ")[1], CultureInfo.InvariantCulture)).ShouldBe(49);
        counts.ShouldStartWith("20: ");
    }

    [Fact]
    public void Going_back_before_the_boundary_is_as_if_nothing_had_happened()
    {
        Start(Sum);
        RunTo(21);
        Reload(Sum.Replace("[total]", "[total, max]", StringComparison.Ordinal));
        RunTo(24);
        Reload();
        RunTo(27);
        Reload(Sum);
        RunTo(57);
        Points("total").ShouldBe("20: 10, 30: 20, 40: 30, 50: 40");
        Points("max").ShouldBe("");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Survives_a_kill_between_reload_and_boundary(bool withBase)
    {
        Start(Sum, Increase);
        RunTo(21);
        Reload(Sum, Increase.Replace("[increase]", "[increase, max]", StringComparison.Ordinal));
        RunTo(23);
        Reload(Increase.Replace("[increase]", "[increase, min]", StringComparison.Ordinal));
        RunTo(25);
        if (withBase)
        {
            _pipeline.StopAsync().IsCompletedSuccessfully.ShouldBeTrue();
        }
        _disk = _disk.Crash(CrashKind.Kill);
        Start(Increase.Replace("[increase]", "[increase, min]", StringComparison.Ordinal));
        RunTo(55);
        Points("increase").ShouldBe("20: 10, 30: 10, 40: 10, 50: 10");
        Points("min").ShouldBe("40: 31, 50: 41");
        Points("max").ShouldBe("");
        Points("total").ShouldBe("20: 10, 30: 20");
    }

    [Fact]
    public void A_removed_rule_sees_series_as_its_own_configuration_did()
    {
        Start(Increase);
        RunTo(25);
        Reload("[{action: drop, source_labels: [__name__], regex: requests_total}]", []);
        RunTo(45);
        Points("increase").ShouldBe("20: 10, 30: 10");
        _pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_removed_rule_counts_a_birth_on_a_known_target_in_its_last_window(bool comesBack)
    {
        var rule = Increase.Replace("outputs", "without: [pod], outputs", StringComparison.Ordinal);
        Start(rule);
        RunTo(22);
        Reload();
        RunTo(24);
        _sent.Add(SeriesOf("b"));
        RunTo(25);
        Reload(comesBack ? [rule] : []);
        RunTo(35);
        // Of a 10, and all 30 of b: its first sample, at 25, shows 25 that are new.
        Points("increase").ShouldBe("20: 10, 30: 40");
    }

    [Fact]
    public void A_retired_rule_is_let_go_with_its_series()
    {
        Start(Sum, Increase);
        RunTo(25);
        Reload(Sum);
        _pipeline.Engine.Generation.Retiring.Count.ShouldBe(1);
        _pipeline.Engine.Shards.Count().ShouldBe(2);
        RunTo(35);
        _pipeline.Engine.Generation.Retiring.ShouldBeEmpty();
        _pipeline.Engine.Shards.Count().ShouldBe(1);
    }

    [Fact]
    public void Another_lateness_takes_effect_at_once()
    {
        Start(Sum);
        RunTo(25);
        Reload(Sum.Replace("allowed_lateness: 2s", "allowed_lateness: 5s", StringComparison.Ordinal));
        RunTo(33);
        Points("total").ShouldBe("20: 10");
        RunTo(38);
        Points("total").ShouldBe("20: 10, 30: 20");
    }

    private void Start(params string[] rules)
    {
        _pipeline = PipelineBuilder.Build(Config("[]", rules), new PipelineEnvironment
        {
            Disk = _disk,
            Time = _time,
            Random = new Random(++_starts),
            Workers = 0,
            Failed = static problem => throw new InvalidOperationException(problem),
        });
        _pipeline.StartAsync(CancellationToken.None).IsCompletedSuccessfully.ShouldBeTrue();
    }

    private void Reload(params string[] rules) => Reload("[]", rules);

    private void Reload(string relabeling, string[] rules) =>
        _pipeline.TryReload(Config(relabeling, rules)).ShouldBeTrue();

    private static MillraceConfig Config(string relabeling, string[] rules)
    {
        var yaml = $$"""
            relabel_configs: {{relabeling}}
            aggregation: {catch_up: 0s, rules: [{{string.Join(", ", rules)}}]}
            routes: [{name: all, drop_input: true}]
            destinations:
            - {name: storage, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
            """;
        var loaded = ConfigLoader.Load("test.yml", _ => null, path => path == "test.yml" ? yaml : null);
        loaded.Problems.ShouldBeEmpty();
        return loaded.Config! with { Log = loaded.Config!.Log with { Path = "/data" } };
    }

    /// <summary>Input, ticks and delivery up to a second.</summary>
    private void RunTo(int second)
    {
        while (_time.ElapsedMs < second * 1_000)
        {
            _time.Advance(1_000);
            var samples = _sent.ConvertAll(
                series => new PlainSample(series, _time.TrueMs, _time.ElapsedMs / 1_000));
            _pipeline.Ingest.Push(
                PlainRemoteWrite.Encode(samples),
                new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _)
                .Status.ShouldBe(PushStatus.Accepted);
            _pipeline.Tick();
            while (_pipeline.Destinations[0].TryTakeDue(_pipeline.Ingest.NowMs, out var sending))
            {
                foreach (var point in PlainRemoteWrite.DecodeSnappy(sending.Body.Span))
                {
                    _points.Add(((point.TimestampMs - _startMs) / 1_000, point.Series.Text), point.Value);
                }
                _pipeline.Destinations[0].Complete(
                    sending, new Millrace.Delivery.SendResult { StatusCode = 204 }, _pipeline.Ingest.NowMs);
            }
        }
    }

    private static PlainSeries SeriesOf(string pod) =>
        PlainSeries.Of((PlainSeries.MetricName, "requests_total"), ("instance", "i"), ("pod", pod));

    /// <summary>Of the output so named, as "second: value, …".</summary>
    private string Points(string output) => string.Join(", ", _points
        .Where(point => point.Key.Series.Contains(output + "{", StringComparison.Ordinal)
            && point.Key.Series.Contains(':', StringComparison.Ordinal))
        .Select(point => $"{point.Key.Second}: {point.Value.ToString(CultureInfo.InvariantCulture)}"));
}
