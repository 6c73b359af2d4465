using System.Linq;
using Millrace.TestKit.Oracle;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>A case played in process.</summary>
internal static class AggregationCaseRun
{
    /// <summary>In event time windows close after the lateness, which begins at one interval.</summary>
    private const long DeliveryMs = 12_000;

    /// <summary>What came out up to the end of the case; times from T0.</summary>
    public static SortedDictionary<(long EndMs, string Series), double> Play(AggregationCase one)
    {
        const long Origin = AggregationCase.Origin;
        using var gateway = new GatewayPlayer(one.RulesYaml, Origin + one.StartMs, one.KeepInput, one.DropInput);
        foreach (var moment in Timeline(one))
        {
            gateway.RunUntil(Origin + moment.AtMs);
            moment.Happen(gateway);
        }
        gateway.RunUntil(Origin + one.EndMs + DeliveryMs);
        var values = new SortedDictionary<(long, string), double>();
        foreach (var sample in gateway.Delivered.Where(s => s.TimestampMs <= Origin + one.EndMs))
        {
            values.Add((sample.TimestampMs - Origin, PlainSeriesText.TextOf(sample.Series)), sample.Value);
        }
        return values;
    }

    public static byte[] BodyOf(IEnumerable<AggregationCaseSample> samples, long originMs) =>
        PlainRemoteWrite.Encode([.. samples.Select(sample => new PlainSample(
            PlainSeriesText.PlainOf(sample.Series), sample.TimestampFrom(originMs), sample.Value))]);

    private static IEnumerable<(long AtMs, Action<GatewayPlayer> Happen)> Timeline(AggregationCase one)
    {
        var moments = new List<(long AtMs, Action<GatewayPlayer> Happen)>();
        foreach (var push in one.Samples.GroupBy(sample => sample.PushedMs))
        {
            var body = BodyOf(push, AggregationCase.Origin);
            moments.Add((push.Key, gateway => gateway.Push(body)));
        }
        foreach (var happening in one.Events)
        {
            moments.Add((happening.AtMs, happening.Kind == AggregationCaseEventKind.Stop
                ? gateway => gateway.Stop() : gateway => gateway.Restart()));
        }
        return moments.OrderBy(moment => moment.AtMs);
    }
}
