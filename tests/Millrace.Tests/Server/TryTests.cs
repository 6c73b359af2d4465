using System.IO;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Log;
using Millrace.Pipeline;
using Millrace.Server.Commands;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Server;

public sealed class TryTests : IDisposable
{
    /// <summary>A minute boundary.</summary>
    private const long StartMs = 1_767_607_200_000;

    private readonly CommandRun _run = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("millrace-try-").FullName;

    public void Dispose()
    {
        _run.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task Shows_what_rules_would_have_made()
    {
        // Two pods, a sample every 10 s from second 5 on, for 5 minutes; one sample comes 40 s late.
        WriteLog(300, lateSecond: 155);
        var rules = _run.File("rules.yml", """
            - name: orders
              match: orders_total
              interval: 1m
              without: [pod]
              allowed_lateness: 10s
              outputs: [increase, count_samples]
            """);
        (await _run.RunAsync("try", rules, "--log", _folder, "--last", "3m")).ShouldBe(ExitCode.Ok);
        _run.Error.ShouldBeEmpty();
        _run.Output.ShouldBe("""
            38 samples in 19 requests, 2026-01-05T10:01:55Z to 2026-01-05T10:04:55Z

            rule "orders" (rules.yml:1): 2 series in, 2 out (1 to 1)
              38 samples: 2 late, 0 too far ahead, 0 not a number, 0 repeated; 0 ambiguous resets
              window that ends at 2026-01-05T10:03:00Z: 2 series
                orders_total:1m_without_pod_increase{shop="x"} 120
                orders_total:1m_without_pod_count_samples{shop="x"} 10
              window that ends at 2026-01-05T10:04:00Z: 2 series
                orders_total:1m_without_pod_increase{shop="x"} 120
                orders_total:1m_without_pod_count_samples{shop="x"} 12

            """.ReplaceLineEndings("\n"));
    }

    [Fact]
    public async Task Rules_behind_rules_take_what_those_would_have_written()
    {
        WriteLog(300, lateSecond: 0);
        (await _run.RunAsync("try", _run.File("a.yml", """
            aggregation:
              rules:
              - {name: orders, match: orders_total, interval: 1m, allowed_lateness: 30s, outputs: [max]}
              - {name: shops, match: '{__name__=~".*_max"}', interval: 2m, by: [shop], outputs: [sum_samples]}
            routes:
            - {name: all, aggregate: [orders]}
            - {name: behind, inputs: [all], aggregate: [shops]}
            destinations:
            - {name: storage, remote_write: {url: 'http://127.0.0.1:1/'}}
            """), "--log", _folder)).ShouldBe(ExitCode.Ok);
        // Two pods at 175 s and 235 s.
        _run.Output.ShouldContain("orders_total:1m_max:2m_by_shop_sum_samples{shop=\"x\"} 820\n");
    }

    [Fact]
    public async Task Csv_and_json_are_for_programs()
    {
        WriteLog(200, lateSecond: 0);
        var rules = _run.File("rules.yml", "- {match: orders_total, interval: 1m, by: [shop], outputs: [max]}\n");
        (await _run.RunAsync("try", rules, "--log", _folder, "--format", "csv")).ShouldBe(ExitCode.Ok);
        _run.Output.ShouldStartWith("rule,window_end_ms,series,value\n");
        _run.Output.ShouldContain("1767607320000,\"orders_total:1m_by_shop_max{shop=\"\"x\"\"}\",115");
        (await _run.RunAsync("try", rules, "--log", _folder, "--format", "json", "--limit", "0")).ShouldBe(ExitCode.Ok);
        using var json = System.Text.Json.JsonDocument.Parse(_run.Output);
        json.RootElement.GetProperty("rules")[0].GetProperty("inputSeries").GetInt64().ShouldBe(2);
    }

    [Fact]
    public async Task Takes_log_routes_and_relabeling_from_the_gateways_configuration()
    {
        WriteLog(200, lateSecond: 0);
        var config = _run.File("gateway.yml", $$"""
            log: {path: '{{_folder}}'}
            relabel_configs: [{action: drop, source_labels: [pod], regex: b}]
            aggregation: {rules: [{name: r, interval: 1m, outputs: [min]}]}
            routes: [{name: all, aggregate: [r]}]
            destinations: [{name: s, remote_write: {url: 'http://127.0.0.1:1/'} }]
            """);
        var rules = _run.File("rules.yml", "- {name: n, interval: 1m, outputs: [count_series], without: [pod]}\n");
        (await _run.RunAsync("try", rules, "--config", config)).ShouldBe(ExitCode.Ok);
        _run.Error.ShouldBeEmpty();
        _run.Output.ShouldContain("1 series in, 1 out");
        _run.Output.ShouldContain("without_pod_count_series{shop=\"x\"} 1\n");
    }

    [Fact]
    public async Task Explains_a_point_from_the_log()
    {
        var config = _run.File("gateway.yml", $$"""
            log: {path: '{{_folder}}'}
            aggregation:
              rules: [{name: orders, match: orders_total, interval: 1m, without: [pod], outputs: [increase]}]
            destinations: [{name: s, remote_write: {url: 'http://127.0.0.1:1/'} }]
            """);
        var rules = ConfigLoader.LoadFile(config).Config!.Aggregation.Rules;
        var rule = AggregationRule.CompileAll(rules)[0];
        WriteLog(300, lateSecond: 155, (200, [(rule.Key, rule.WindowOf(StartMs + 120_000, 0))]));
        // 115 came behind the close of (60, 120], and so did nothing else; 155 is the late one, at 115 again.
        (await _run.RunAsync(
            "explain", config, "orders_total:1m_without_pod_increase{shop=\"x\"}", "--window", "2026-01-05T10:02:00Z"))
            .ShouldBe(ExitCode.Ok);
        _run.Error.ShouldBeEmpty();
        _run.Output.ShouldBe("""
            point orders_total:1m_without_pod_increase{shop="x"} at 2026-01-05T10:02:00Z
            rule "orders" (gateway.yml:3), window (2026-01-05T10:01:00Z, 2026-01-05T10:02:00Z]
            cut: record 21 closed it, 2026-01-05T10:03:20Z, 80 s after its end
            2 series contribute
              orders_total{pod="a",shop="x"}
                before: 55 at 2026-01-05T10:00:55Z
                first:  65 at 2026-01-05T10:01:05Z
                last:   115 at 2026-01-05T10:01:55Z, 6 samples
                increase: 60, 0 resets
              orders_total{pod="b",shop="x"}
                before: 55 at 2026-01-05T10:00:55Z
                first:  65 at 2026-01-05T10:01:05Z
                last:   115 at 2026-01-05T10:01:55Z, 6 samples
                increase: 60, 0 resets
            0 late samples

            """.ReplaceLineEndings("\n"));
        // The next one was not closed, and its sample at 155 never came.
        (await _run.RunAsync(
            "explain", config, "orders_total:1m_without_pod_increase{shop=\"x\"}", "--window", "1767607380"))
            .ShouldBe(ExitCode.Ok);
        _run.Output.ShouldContain("not closed");
        _run.Output.ShouldContain("5 samples");
        (await _run.RunAsync("explain", config, "other{shop=\"x\"}", "--window", "1767607380"))
            .ShouldBe(ExitCode.Failure);
        _run.Output.ShouldContain("no series in the log feeds other");
        (await _run.RunAsync("explain", config, "other", "--window", "noon")).ShouldBe(ExitCode.Usage);
    }

    [Fact]
    public async Task Says_what_is_wrong()
    {
        var rules = _run.File("rules.yml", "- {interval: 1m, outputs: [no_such]}\n- {outputs: [max]}\n");
        (await _run.RunAsync("try", rules, "--log", _folder)).ShouldBe(ExitCode.Usage);
        _run.Error.ShouldContain("no_such");
        _run.Error.ShouldContain("interval");
        rules = _run.File("rules.yml", "- {interval: 1m, outputs: [max]}\n");
        (await _run.RunAsync("try", rules, "--log", _folder)).ShouldBe(ExitCode.Failure);
        (await _run.RunAsync("try", rules, "--last", "soon")).ShouldBe(ExitCode.Usage);
    }

    /// <summary>A log as a gateway writes it, and still has open.</summary>
    private void WriteLog(
        int seconds, int lateSecond, (int Second, List<(UInt128 Rule, long ThroughWindow)> Closes)? close = null)
    {
        using var log = RecordLog.Open(
            Path.Combine(_folder, "input"), new RecordLogOptions(), new SystemDisk(), TimeProvider.System);
        for (var second = 5; second < seconds; second += 10)
        {
            var timeMs = StartMs + 1_000L * (second == lateSecond ? second - 40 : second);
            var samples = new List<PlainSample>();
            foreach (var pod in new[] { "a", "b" })
            {
                var series = PlainSeries.Of(
                    (PlainSeries.MetricName, "orders_total"), ("pod", pod), ("shop", "x"));
                samples.Add(new PlainSample(series, timeMs, (timeMs - StartMs) / 1_000.0));
            }
            var header = new RecordHeader
            {
                Type = RecordType.Batch,
                FormatVersion = 1,
                Encoding = new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy).Number,
                ArrivalMs = StartMs + second * 1_000L,
            };
            if (close is { } due && second - 10 < due.Second && second >= due.Second)
            {
                log.Append(CloseRecord.Header(StartMs + due.Second * 1_000L), CloseRecord.Write(due.Closes), out _);
            }
            log.Append(header, PlainRemoteWrite.Encode(samples), out _).ShouldBe(AppendOutcome.Written);
        }
        log.Sync();
    }
}
