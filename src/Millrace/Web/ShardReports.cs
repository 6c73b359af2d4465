using Millrace.Delivery;
using Millrace.Membership;

namespace Millrace.Web;

/// <summary>A sharded destination, in <c>/api/v1/status/sharding</c>.</summary>
internal sealed record ShardReport
{
    public required string Destination { get; init; }

    /// <summary><c>rendezvous</c>, <c>ring</c>, <c>jump</c>, <c>modulo</c>, or of whom a scheme is.</summary>
    public required string Placement { get; init; }

    public required IReadOnlyList<ShardNodeReport> Nodes { get; init; }

    /// <summary>
    /// By task: the indices of the nodes that have it now, a copy each. Empty where the scheme has no tasks, or there
    /// is nobody yet.
    /// </summary>
    public required IReadOnlyList<int[]> Owners { get; init; }

    /// <summary>By task: the same while all are well.</summary>
    public required IReadOnlyList<int[]> Homes { get; init; }

    /// <summary>By task, samples per second.</summary>
    public required IReadOnlyList<double> Rates { get; init; }

    public double Imbalance { get; init; }

    public required IReadOnlyList<int> HotTasks { get; init; }

    /// <summary>Gateways with one version and fingerprint send alike.</summary>
    public long TableVersion { get; init; }

    public string? TableFingerprint { get; init; }

    public long Rehashes { get; init; }

    public long MovedTasks { get; init; }

    public int DisplacedTasks { get; init; }

    /// <summary>Why the nodes could not be looked up last time; null: they could.</summary>
    public string? LookupError { get; init; }

    /// <summary>Why nodes get no tasks, or the table is not on disk; null: all is well.</summary>
    public string? TableProblem { get; init; }

    public static ShardReport Of(ShardedNodes nodes)
    {
        var assignment = nodes.Assignment;
        var (table, overlay) = (nodes.Table, nodes.Overlay);
        var place = new Dictionary<string, int>();
        foreach (var node in assignment.Nodes)
        {
            place.Add(node.Name, place.Count);
        }
        var (homes, owners) = (new List<int[]>(), new List<int[]>());
        if (table is not null && ReferenceEquals(overlay?.Table, table))
        {
            for (var task = 0; task < table.TaskCount; task++)
            {
                homes.Add(Places(table.NodesOf(task)));
                owners.Add(Places(overlay.NodesOf(task)));
            }
        }
        var config = nodes.Destination.Config.Sharded!;
        return new ShardReport
        {
            Destination = nodes.Destination.Name,
            Placement = config.Scheme switch
            {
                ShardScheme.VmAgent => "vmagent",
                ShardScheme.StreamMetricsRoute => "stream-metrics-route",
                _ => config.Placement.Kind.ToString().ToLowerInvariant(),
            },
            Nodes = NodesOf(nodes, assignment),
            Homes = homes,
            Owners = owners,
            Rates = nodes.Load.Rates,
            Imbalance = nodes.Load.Imbalance,
            HotTasks = nodes.Load.HotTasks,
            TableVersion = table?.Version ?? 0,
            TableFingerprint = table?.Fingerprint.ToString("x16", System.Globalization.CultureInfo.InvariantCulture),
            Rehashes = nodes.Rehashes,
            MovedTasks = nodes.MovedTasks,
            DisplacedTasks = overlay?.Displaced ?? 0,
            LookupError = nodes.Source.Status.LastError,
            TableProblem = nodes.TableProblem,
        };

        int[] Places(ReadOnlySpan<int> ofTable)
        {
            var places = new int[ofTable.Length];
            for (var i = 0; i < places.Length; i++)
            {
                places[i] = place.GetValueOrDefault(table.Nodes[ofTable[i]].Name, -1);
            }
            return places;
        }
    }

    private static List<ShardNodeReport> NodesOf(ShardedNodes nodes, NodeAssignment assignment)
    {
        var views = new Dictionary<string, NodeHealthView>();
        foreach (var view in nodes.Health.View())
        {
            views.Add(view.Name, view);
        }
        var pending = nodes.Destination.PendingOfNodes();
        var reports = new List<ShardNodeReport>();
        foreach (var node in assignment.Nodes)
        {
            var view = views.GetValueOrDefault(node.Name);
            reports.Add(new ShardNodeReport
            {
                Name = node.Name,
                Url = StatusReporter.ShownUrl(node.Url),
                State = (view?.State ?? HealthState.Healthy).ToString().ToLowerInvariant(),
                Reason = view?.Reason?.ToString().ToLowerInvariant(),
                Lanes = nodes.LanesOf(node),
                Delivered = node.DeliveredSamples,
                Pending = pending.GetValueOrDefault(node),
                FailedRequests = node.FailedRequests,
                RequestsUnderWay = node.RequestsOut,
                ProbeLatencyMs = view?.ProbeLatencyMs,
                LastAnswer = node.LastAnswer is { } answer ? StatusReporter.AnswerText(answer) : null,
            });
        }
        return reports;
    }
}

internal sealed record ShardNodeReport
{
    public required string Name { get; init; }

    public required string Url { get; init; }

    /// <summary><c>healthy</c>, <c>suspect</c>, <c>down</c>, or <c>spared</c>: too many others are down.</summary>
    public required string State { get; init; }

    /// <summary>Why it is down: <c>probes</c>, <c>requests</c> or <c>slow</c>.</summary>
    public string? Reason { get; init; }

    /// <summary>Tasks with their copies, or of some schemes shares, that it has now.</summary>
    public int Lanes { get; init; }

    public long Delivered { get; init; }

    public long Pending { get; init; }

    public long FailedRequests { get; init; }

    public int RequestsUnderWay { get; init; }

    public long? ProbeLatencyMs { get; init; }

    public string? LastAnswer { get; init; }
}
