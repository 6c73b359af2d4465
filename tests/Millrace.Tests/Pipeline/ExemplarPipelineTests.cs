using Millrace.Pipeline;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Protocols;

namespace Millrace.Tests.Pipeline;

/// <summary>Exemplars from a request to the block of a closed window, over a crash.</summary>
public sealed class ExemplarPipelineTests
{
    private const long T0 = DeduplicationRig.T0;

    private const string Rules = """
        aggregation:
          catch_up: 0s
          rules:
          - {match: sent_total, interval: 10s, without: [pod], allowed_lateness: 1s, outputs: [total, max]}
          - {match: level, interval: 10s, without: [pod], allowed_lateness: 1s, outputs: [max]}
        destinations:
        - {name: s, remote_write: {url: 'http://127.0.0.1:1/', protocol: prometheus_v1}, lanes: 1}
        """;

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Exemplars_lead_from_the_output_to_the_trace(bool isKilled, bool isV2)
    {
        var rig = new DeduplicationRig(Rules.Replace("prometheus_v1", isV2 ? "prometheus_v2" : "prometheus_v1"));
        rig.GoTo(11_000);
        Push(rig, "sent_total", "a", 11_000, ("t1", 0.5), ("t2", 3));
        Push(rig, "level", "a", 11_000, ("unused", 1));
        if (isKilled)
        {
            rig.Kill();
        }
        else
        {
            rig.StopAndStart();
        }
        Push(rig, "sent_total", "b", 12_000, ("t3", 1));
        rig.Pipeline.Engine.Ledger.Total.DroppedExtras.ShouldBe(1, "max has no use for them");
        rig.GoTo(21_500);

        var lines = Decoded(rig.Bodies, isV2);
        var at = lines.IndexOf("series __name__=sent_total:10s_without_pod_total");
        lines.Skip(at).Where(line => line.StartsWith("sample") || line.StartsWith("exemplar")).Take(4).ShouldBe(
        [
            $"sample {T0 + 20_000} 0 start 0",
            $"exemplar {T0 + 10_900} 0.5 trace_id=t1",
            $"exemplar {T0 + 10_900} 3 trace_id=t2",
            $"exemplar {T0 + 11_900} 1 trace_id=t3",
        ]);
        lines.Count(line => line.StartsWith("exemplar", StringComparison.Ordinal)).ShouldBe(3);
    }

    private static void Push(
        DeduplicationRig rig, string name, string pod, long timeMs, params (string Trace, double Value)[] exemplars)
    {
        var body = RemoteWriteBodies.V1(new SeriesModel(SeriesModel.LabelsOf("__name__", name, "pod", pod))
        {
            Samples = [new(T0 + timeMs, 1)],
            Exemplars =
            [
                .. exemplars.Select(one => new ExemplarModel(
                    SeriesModel.LabelsOf("trace_id", one.Trace), one.Value, T0 + timeMs - 100)),
            ],
        });
        rig.Push(body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.None));
    }

    private static List<string> Decoded(List<byte[]> bodies, bool isV2)
    {
        var record = new RecordingSink.Record();
        foreach (var body in bodies)
        {
            Snappy.TryGetDecodedLength(body, out var length).ShouldBeTrue();
            var plain = new byte[length];
            Snappy.TryDecode(body, plain).ShouldBeTrue();
            var sink = new RecordingSink(record);
            // The rig's backend knows no 2.0: what follows on its first answer is 1.0.
            _ = isV2 && RemoteWriteV2Decoder.TryDecode(plain, ref sink, DecodeLimits.Default, out _);
            if (!isV2)
            {
                RemoteWriteV1Decoder.TryDecode(plain, ref sink, DecodeLimits.Default, out var error)
                    .ShouldBeTrue(error);
            }
        }
        return record.Lines;
    }
}
