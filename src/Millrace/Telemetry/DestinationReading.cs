using Millrace.Delivery;
using Millrace.Pipeline;

namespace Millrace.Telemetry;

/// <summary>A destination and its ledger as of one moment.</summary>
internal sealed record DestinationReading(
    Destination Destination, CountersSnapshot Counters, long SamplesInBlocks)
{
    public static List<DestinationReading> TakeAll(RunningPipeline pipeline)
    {
        var readings = new List<DestinationReading>();
        var firstLane = 0;
        foreach (var destination in pipeline.Destinations)
        {
            var building = 0L;
            for (var lane = 0; lane < destination.Config.Lanes; lane++)
            {
                building += pipeline.Engine.Lanes[firstLane + lane].SamplesInBlock;
            }
            firstLane += destination.Config.Lanes;
            readings.Add(new DestinationReading(destination, destination.Snapshot(), building));
        }
        return readings;
    }

    public static string NameOf(WireProtocol protocol) => protocol switch
    {
        WireProtocol.PrometheusV2 => "prometheus_v2",
        WireProtocol.VictoriaMetrics => "victoriametrics",
        _ => "prometheus_v1",
    };

    public static string NameOf(DropReason reason) => reason switch
    {
        DropReason.QueueFull => "queue_full",
        DropReason.QueueAge => "queue_age",
        DropReason.RefusedTooOld => "refused_too_old",
        DropReason.RefusedTooFarAhead => "refused_too_far_ahead",
        DropReason.RefusedDuplicate => "refused_duplicate",
        DropReason.RefusedOutOfOrder => "refused_out_of_order",
        DropReason.DiskError => "disk_error",
        DropReason.LostOnDisk => "lost_on_disk",
        DropReason.DeadLettersFailed => "dead_letters_failed",
        _ => throw new ArgumentOutOfRangeException(nameof(reason), reason, null),
    };
}
