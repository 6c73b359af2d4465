using Millrace.Pipeline;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.TestKit.Simulation;
using Millrace.Tests.Protocols;

namespace Millrace.Tests.Pipeline;

/// <summary>What is told of families goes with the blocks of closed windows.</summary>
public sealed class OutputMetadataPipelineTests
{
    private const string Rules = """
        aggregation:
          catch_up: 0s
          rules:
          - {match: sent_total, interval: 10s, without: [pod], allowed_lateness: 1s, outputs: [total, rate_sum]}
          - match: kept
            interval: 10s
            without: [pod]
            allowed_lateness: 1s
            outputs: [max]
            keep_metric_names: true
            output_relabel_configs: [{target_label: __name__, replacement: renamed}]
        destinations:
        - {name: s, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
        """;

    [Fact]
    public void Outputs_are_sent_with_type_help_and_unit()
    {
        var rig = new DeduplicationRig(Rules);
        rig.GoTo(1_000);
        Push(rig, 1_000, ["sent_total", "kept"]);
        rig.GoTo(21_500);
        Metadata(rig.Bodies).Where(line => !line.Contains("About sent_total'") && !line.Contains("About kept'"))
            .ShouldBe(
            [
                "metadata sent_total:10s_without_pod_total Counter 'About sent_total (total over 10s without pod)' ''",
                "metadata sent_total:10s_without_pod_rate_sum Gauge "
                    + "'About sent_total (rate_sum over 10s without pod)' ''",
                "metadata renamed Gauge 'About kept (max over 10s without pod)' ''",
            ], ignoreOrder: true);
    }

    [Fact]
    public void In_1_0_a_family_is_told_every_five_minutes_and_when_it_changes()
    {
        var rig = new DeduplicationRig(Rules);
        var told = new List<long>();
        for (var endMs = 20_000; endMs <= 700_000; endMs += 10_000)
        {
            rig.GoTo(endMs - 5_000);
            Push(rig, endMs - 6_000, endMs == 110_000 ? ["sent_total"] : []);
            rig.Bodies.Clear();
            rig.GoTo(endMs + 1_500);
            told.AddRange(Metadata(rig.Bodies).Where(line => line.Contains("pod_total")).Select(_ => (long)endMs));
        }
        told.ShouldBe([20_000, 110_000, 410_000]);
        // 2.0 asks for what a block does not tell.
        rig.Pipeline.Engine.Generation.Metadata.Find("sent_total:10s_without_pod_total")!.Help
            .ShouldBe("About sent_total (total over 10s without pod)");
    }

    /// <summary>Of what was told before a base was written, nothing is left in the log.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_was_told_survives_the_process(bool isKilled)
    {
        var rig = new DeduplicationRig(Rules);
        rig.GoTo(1_000);
        Push(rig, 1_000, ["sent_total"]);
        if (isKilled)
        {
            rig.Kill();
        }
        else
        {
            rig.StopAndStart();
        }
        rig.Bodies.Clear();
        Push(rig, 12_000, []);
        rig.GoTo(21_500);
        Metadata(rig.Bodies).ShouldContain(
            "metadata sent_total:10s_without_pod_total Counter 'About sent_total (total over 10s without pod)' ''");
    }

    [Fact]
    public void In_2_0_each_series_carries_what_its_block_tells()
    {
        var rig = new DeduplicationRig(Rules.Replace("prometheus_v1", "prometheus_v2"));
        rig.GoTo(1_000);
        Push(rig, 1_000, ["sent_total"]);
        Push(rig, 12_000, []);
        rig.GoTo(21_500);
        var record = new RecordingSink.Record();
        foreach (var body in rig.Bodies)
        {
            var sink = new RecordingSink(record);
            // The rig's backend knows no 2.0: what follows on its first answer is 1.0.
            RemoteWriteV2Decoder.TryDecode(Plain(body), ref sink, DecodeLimits.Default, out _);
        }
        record.Lines.ShouldContain(
            "metadata sent_total:10s_without_pod_rate_sum Gauge "
            + "'About sent_total (rate_sum over 10s without pod)' ''");
    }

    private static void Push(DeduplicationRig rig, long timeMs, string[] families)
    {
        PlainSample Sample(string name, long afterMs, double value) => new(
            new PlainSeries([new("__name__", name), new("pod", "p")]), DeduplicationRig.T0 + timeMs + afterMs, value);
        rig.Push(
            PlainRemoteWrite.Encode(
                [Sample("sent_total", 0, timeMs), Sample("sent_total", 500, timeMs + 9), Sample("kept", 0, 1)],
                families),
            new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy));
    }

    private static List<string> Metadata(List<byte[]> bodies)
    {
        var record = new RecordingSink.Record();
        foreach (var body in bodies)
        {
            var sink = new RecordingSink(record);
            RemoteWriteV1Decoder.TryDecode(Plain(body), ref sink, DecodeLimits.Default, out var error)
                .ShouldBeTrue(error);
        }
        return [.. record.Lines.Where(line => line.StartsWith("metadata", StringComparison.Ordinal))];
    }

    private static byte[] Plain(byte[] body)
    {
        Snappy.TryGetDecodedLength(body, out var length).ShouldBeTrue();
        var plain = new byte[length];
        Snappy.TryDecode(body, plain).ShouldBeTrue();
        return plain;
    }
}
