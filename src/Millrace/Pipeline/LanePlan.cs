using Millrace.Delivery;
using Millrace.Model;
using Millrace.Placement;
using Millrace.Routing;

namespace Millrace.Pipeline;

/// <summary>
/// Which lanes of a destination carry a series, and with which labels: a function of the configuration alone, the same
/// in every process. Of a plain destination it is one lane of some. Of a sharded one a lane is a task, or one copy of
/// it, so that what waits for a task moves with it; where a scheme of others names the node, it is one of that node's.
/// </summary>
internal sealed class LanePlan
{
    private readonly int _lanes;
    private readonly TaskKey? _tasks;
    private readonly VmAgentPlacement? _vmAgent;
    private readonly StreamMetricsRoutePlacement? _streamMetricsRoute;

    /// <param name="config">The destination, as the configuration has it.</param>
    /// <param name="lanes">As its folder has them.</param>
    public LanePlan(DestinationConfig config, int lanes)
    {
        _lanes = lanes;
        if (config.Sharded is not { } sharded)
        {
            return;
        }
        var nodes = sharded.Nodes.Nodes;
        switch (sharded.Scheme)
        {
            case ShardScheme.VmAgent:
                string[] urls = [.. Texts(nodes)];
                _vmAgent = new VmAgentPlacement(new VmAgentPlacementConfig
                {
                    Urls = urls,
                    Labels = sharded.Tasks.By ?? [],
                    IgnoreLabels = sharded.Tasks.Without ?? [],
                    Replicas = sharded.Placement.Replicas,
                });
                Copies = _vmAgent.Replicas;
                break;
            case ShardScheme.StreamMetricsRoute:
                _streamMetricsRoute = new StreamMetricsRoutePlacement(
                    sharded.Tasks.Count, nodes.Count, sharded.Tasks.By ?? []);
                _tasks = new TaskKey(sharded.Tasks with { By = null, Label = StreamMetricsRoutePlacement.TaskLabel });
                break;
            default:
                _tasks = new TaskKey(sharded.Tasks);
                IsByTarget = sharded.Tasks is { By: null, Without: null };
                Copies = sharded.Placement.Replicas;
                break;
        }
    }

    /// <summary>How many lanes carry each series.</summary>
    public int Copies { get; } = 1;

    /// <summary>The lane of a copy.</summary>
    /// <param name="series">With or without what <see cref="LabelsOf"/> adds.</param>
    /// <param name="copy">Below <see cref="Copies"/>.</param>
    public int LaneOf(LabelSet series, int copy = 0)
    {
        if (_vmAgent is not null)
        {
            Span<int> nodes = stackalloc int[ShardedConfig.MaxNamedNodes];
            _vmAgent.Place(series, nodes);
            return LaneOfNode(nodes[copy], series);
        }
        if (_streamMetricsRoute is not null)
        {
            series = _tasks!.WithoutTask(series);
            return LaneOfNode(_streamMetricsRoute.Place(series).Node, series);
        }
        return _tasks is null
            ? LaneKey.StableLaneOf(series, _lanes)
            : copy * _tasks.Count + TaskOf(series);
    }

    /// <summary>
    /// No key is asked for: series are dealt as to the lanes of a plain destination (<see cref="LaneKey"/>), those that
    /// a target exposes together staying together, because among strangers they take three times the bytes.
    /// </summary>
    public bool IsByTarget { get; }

    /// <summary>Of a destination with tasks.</summary>
    public int TaskOf(LabelSet series) => IsByTarget
        ? LaneKey.StableLaneOf(_tasks!.WithoutTask(series), _tasks.Count) : _tasks!.TaskOf(series);

    /// <summary>The labels that are sent.</summary>
    public LabelSet LabelsOf(LabelSet series)
    {
        if (_streamMetricsRoute is not null)
        {
            return _streamMetricsRoute.WritesTask
                ? _tasks!.WithTask(series, _streamMetricsRoute.Place(_tasks.WithoutTask(series)).Task) : series;
        }
        return _tasks is null ? series : _tasks.WithTask(series, TaskOf(series));
    }

    private static int LaneOfNode(int node, LabelSet series) =>
        node * ShardedConfig.LanesPerNode + LaneKey.StableLaneOf(series, ShardedConfig.LanesPerNode);

    /// <summary>As written: the text counts.</summary>
    private static IEnumerable<string> Texts(IReadOnlyList<Membership.Node> nodes)
    {
        foreach (var node in nodes)
        {
            yield return node.Url.OriginalString;
        }
    }
}
