using System.Globalization;
using System.IO;
using Millrace.TestKit.Sharding;

namespace Millrace.SystemTests.Sharding;

/// <summary>What may go wrong with a node, or with the file that names the nodes.</summary>
internal enum FaultKind
{
    Kill,
    Pause,
    Slow,
    BlackHole,
    LosesAnswers,
    Flaps,
    Storm429,
    Storm503,
    Storm400,
    Storm413,
    Storm409,
    EmptyFile,
    BadFile,
    FlappingFile,
}

/// <param name="AtMs">After the beginning of the load.</param>
internal sealed record Fault(FaultKind Kind, int Node, int AtMs, int LastsMs)
{
    /// <summary>Answers that mean "never": what was sent may end in the dead letters, counted.</summary>
    public bool RefusesForGood => Kind is FaultKind.Storm400 or FaultKind.Storm413 or FaultKind.Storm409;

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Kind}(node {Node}, {AtMs}..{AtMs + LastsMs} ms)");
}

/// <summary>Three faults, each of another node, chosen by the number of the run and timed by its seed.</summary>
internal static class FaultScript
{
    public const int Faults = 3;

    private static readonly FaultKind[] Kinds = Enum.GetValues<FaultKind>();

    /// <summary>Six runs in a row have had every kind.</summary>
    public static List<Fault> Of(int seed)
    {
        var random = new Random(seed);
        int[] nodes = [0, 1, 2];
        random.Shuffle(nodes);
        var faults = new List<Fault>();
        for (var i = 0; i < Faults; i++)
        {
            var kind = Kinds[((seed - 1) * Faults + i) % Kinds.Length];
            faults.Add(new Fault(kind, nodes[i], 800 + i * 2_500 + random.Next(1_200), 1_500 + random.Next(4_000)));
        }
        return faults;
    }
}

/// <summary>Makes faults happen to real nodes, and ends them.</summary>
internal sealed class FaultPlayer(IReadOnlyList<RecordingNodeProcess> nodes, string nodesFile)
{
    private static readonly TimeSpan Flap = TimeSpan.FromMilliseconds(700);

    /// <summary>Longer than it takes until a node that the file lacks is gone.</summary>
    private static readonly TimeSpan LongFileFlap = TimeSpan.FromSeconds(6);

    private static readonly TimeSpan ShortFileFlap = TimeSpan.FromSeconds(2.5);

    private readonly Lock _fileLock = new(); // covers the file: faults overlap

    /// <summary>When each fault began, on the monotonic clock.</summary>
    public Dictionary<Fault, long> BeganAtTicks { get; } = [];

    public Task PlayAsync(IEnumerable<Fault> faults) => Task.WhenAll(faults.Select(PlayAsync));

    public static string FileText(IEnumerable<RecordingNodeProcess> nodes) =>
        string.Concat(nodes.Select(node => $"- {{name: {node.Name}, url: \"{node.Url}\"}}\n"));

    private async Task PlayAsync(Fault fault)
    {
        await Task.Delay(fault.AtMs);
        lock (BeganAtTicks)
        {
            BeganAtTicks[fault] = TimeProvider.System.GetTimestamp();
        }
        var node = nodes[fault.Node];
        var lasts = TimeSpan.FromMilliseconds(fault.LastsMs);
        switch (fault.Kind)
        {
            case FaultKind.Kill:
                await node.Kill9Async();
                await Task.Delay(lasts);
                await node.StartAsync();
                break;
            case FaultKind.Pause:
                node.Pause();
                await Task.Delay(lasts);
                node.Resume();
                break;
            case FaultKind.Flaps:
                for (var left = lasts; left > TimeSpan.Zero; left -= 2 * Flap)
                {
                    await BehaveAsync(node, new NodeBehaviour(NodeMood.Fails), Flap);
                    await Task.Delay(Flap);
                }
                break;
            case FaultKind.EmptyFile:
                await WriteFileAsync("", lasts);
                break;
            case FaultKind.BadFile:
                DeleteFile();
                await Task.Delay(lasts);
                await WriteFileAsync("- {name: [what, is, this\n", lasts);
                break;
            case FaultKind.FlappingFile:
                var others = FileText(nodes.Where(other => other != node));
                await WriteFileAsync(others, LongFileFlap);
                await Task.Delay(ShortFileFlap);
                await WriteFileAsync(others, ShortFileFlap);
                break;
            default:
                await BehaveAsync(node, BehaviourOf(fault), lasts);
                break;
        }
    }

    private static NodeBehaviour BehaviourOf(Fault fault) => fault.Kind switch
    {
        FaultKind.Slow => new NodeBehaviour(NodeMood.Slow, DelayMs: 300 + fault.LastsMs % 900),
        FaultKind.BlackHole => new NodeBehaviour(NodeMood.BlackHole),
        FaultKind.LosesAnswers => new NodeBehaviour(NodeMood.LosesAnswers),
        FaultKind.Storm429 => new NodeBehaviour(NodeMood.Refuses, 429),
        FaultKind.Storm503 => new NodeBehaviour(NodeMood.Refuses, 503),
        FaultKind.Storm400 => new NodeBehaviour(NodeMood.Refuses, 400),
        FaultKind.Storm413 => new NodeBehaviour(NodeMood.Refuses, 413),
        FaultKind.Storm409 => new NodeBehaviour(NodeMood.Refuses, 409),
        _ => throw new ArgumentOutOfRangeException(nameof(fault), fault.Kind, "Not a behaviour."),
    };

    private static async Task BehaveAsync(RecordingNodeProcess node, NodeBehaviour behaviour, TimeSpan lasts)
    {
        await node.BehaveAsync(behaviour);
        await Task.Delay(lasts);
        await node.BehaveAsync(NodeBehaviour.Well);
    }

    /// <summary>The file says something else for a time.</summary>
    private async Task WriteFileAsync(string text, TimeSpan lasts)
    {
        WriteFile(text);
        await Task.Delay(lasts);
        WriteFile(FileText(nodes));
    }

    private void WriteFile(string text)
    {
        lock (_fileLock)
        {
            File.WriteAllText(nodesFile, text);
        }
    }

    private void DeleteFile()
    {
        lock (_fileLock)
        {
            File.Delete(nodesFile);
        }
    }
}
