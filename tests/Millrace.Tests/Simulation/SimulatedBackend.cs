using Millrace.Delivery;
using Millrace.Protocols.Compression;
using Millrace.TestKit;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>A request that a backend committed.</summary>
internal sealed record Committed(int Life, int Lane, bool IsRepeat, List<PlainSample> Samples);

/// <summary>One destination's backend over all lives of the process, with all that it was sent.</summary>
internal sealed class SimulatedBackend(string name, int seed)
{
    private readonly FakeBackend _backend = new(BackendKind.VictoriaMetrics, seed);

    public string Name { get; } = name;

    public List<Committed> Commits { get; } = [];

    /// <summary>Until then nothing reaches it.</summary>
    public long DownUntilMs { get; set; }

    public double FaultRate
    {
        set => _backend.FaultRate = value;
    }

    public long LatencyMs
    {
        set => _backend.LatencyMs = value;
    }

    public (SendResult Result, long DelayMs) Receive(Sending sending, long nowMs, int life)
    {
        if (nowMs < DownUntilMs)
        {
            return (SendResult.NetworkError, 1);
        }
        var answer = _backend.Receive(sending, nowMs);
        if (_backend.Requests[^1].Committed)
        {
            Commits.Add(new Committed(life, sending.Lane, sending.IsRepeat, Decode(sending)));
        }
        return answer;
    }

    private static List<PlainSample> Decode(Sending sending)
    {
        if (sending.Protocol == WireProtocol.PrometheusV1)
        {
            return PlainRemoteWrite.DecodeSnappy(sending.Body.Span);
        }
        var body = Array.Empty<byte>();
        Zstd.Decompress(sending.Body.Span, 64 << 20, ref body, out var size).ShouldBe(DecompressResult.Ok);
        return PlainRemoteWrite.Decode(body.AsSpan(0, size));
    }
}
