using System.Text.Json;
using System.Text.Json.Serialization;

namespace Millrace.Placement;

/// <summary>
/// A table as text: one line of JSON, for the file in a destination's folder and for other gateways. What is read is
/// checked whole; it may come from a damaged file or from a stranger.
/// </summary>
internal static class TaskTableText
{
    /// <summary>More than the largest table needs: 1024 names of 512 characters and 4096 × 16 indices.</summary>
    public const int MaxChars = 8 << 20;

    private const int Format = 1;

    public static string Write(TaskTable table)
    {
        var owners = new int[table.TaskCount * table.Replicas];
        for (var task = 0; task < table.TaskCount; task++)
        {
            table.NodesOf(task).CopyTo(owners.AsSpan(task * table.Replicas));
        }
        var text = new Text
        {
            Format = Format,
            Version = table.Version,
            Fingerprint = table.Fingerprint.ToString("x16"),
            Config = table.Config,
            Nodes = [.. table.Nodes],
            Replicas = table.Replicas,
            Owners = owners,
        };
        return JsonSerializer.Serialize(text, TaskTableJson.Default.Text);
    }

    /// <param name="text">What <see cref="Write"/> gave.</param>
    /// <param name="table">The same table.</param>
    /// <param name="problem">Why there is none.</param>
    public static bool TryRead(string text, out TaskTable? table, out string problem)
    {
        table = null;
        if (text.Length > MaxChars)
        {
            problem = $"the table has {text.Length} characters; at most {MaxChars} are read";
            return false;
        }
        Text? read;
        try
        {
            read = JsonSerializer.Deserialize(text, TaskTableJson.Default.Text);
        }
        catch (JsonException error)
        {
            problem = $"the table is not JSON as expected: {error.Message}";
            return false;
        }
        problem = read is null ? "the table is empty" : ProblemOf(read) ?? "";
        if (problem.Length > 0)
        {
            return false;
        }
        var found = new TaskTable(read!.Config!, read.Nodes!, read.Owners!, read.Replicas, read.Version);
        if (found.Fingerprint.ToString("x16") != read.Fingerprint)
        {
            problem = $"the fingerprint \"{read.Fingerprint}\" is not that of the table, which has been damaged";
            return false;
        }
        table = found;
        return true;
    }

    private static string? ProblemOf(Text text)
    {
        if (text.Format != Format)
        {
            return $"format {text.Format} is not known; this release reads format {Format}";
        }
        if (text.Config is not { Salt: not null } || text.Nodes is null || text.Owners is null)
        {
            return "config, nodes or owners are missing";
        }
        if (text.Config.Problem(text.Nodes) is { } problem)
        {
            return problem;
        }
        if (text.Version < 1 || text.Replicas != Math.Min(text.Config.Replicas, text.Nodes.Length))
        {
            return $"version {text.Version} or replicas {text.Replicas} cannot be";
        }
        if (text.Owners.Length % text.Replicas != 0
            || text.Owners.Length / text.Replicas is < 1 or > TaskKeyConfig.MaxCount)
        {
            return $"{text.Owners.Length} owners cannot be those of {text.Replicas} replicas";
        }
        for (var unit = 0; unit < text.Owners.Length; unit++)
        {
            var before = text.Owners.AsSpan(unit - unit % text.Replicas, unit % text.Replicas);
            if (text.Owners[unit] < 0 || text.Owners[unit] >= text.Nodes.Length || before.Contains(text.Owners[unit]))
            {
                return $"owner {text.Owners[unit]} of task {unit / text.Replicas} is no node, or twice its node";
            }
        }
        return null;
    }

    internal sealed record Text
    {
        public int Format { get; init; }

        public long Version { get; init; }

        public string? Fingerprint { get; init; }

        public PlacementConfig? Config { get; init; }

        public PlacementNode[]? Nodes { get; init; }

        public int Replicas { get; init; }

        /// <summary>Of each task the indices of its nodes.</summary>
        public int[]? Owners { get; init; }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(TaskTableText.Text))]
internal sealed partial class TaskTableJson : JsonSerializerContext;
