using System.Text;
using Millrace.Model;

namespace Millrace.Placement;

/// <summary>How <see cref="VmAgentPlacement"/> deals series: vmagent's flags of the same names.</summary>
internal sealed record VmAgentPlacementConfig
{
    /// <summary>Each <c>-remoteWrite.url</c> exactly as given: order and text decide.</summary>
    public IReadOnlyList<string> Urls { get; init; } = [];

    /// <summary><c>-remoteWrite.shardByURL.labels</c>: only these; empty: all.</summary>
    public IReadOnlyList<string> Labels { get; init; } = [];

    /// <summary><c>-remoteWrite.shardByURL.ignoreLabels</c>: all but these. One of the lists must be empty.</summary>
    public IReadOnlyList<string> IgnoreLabels { get; init; } = [];

    /// <summary><c>-remoteWrite.shardByURLReplicas</c>.</summary>
    public int Replicas { get; init; } = 1;
}

/// <summary>
/// The placement of vmagent's <c>-remoteWrite.shardByURL</c>, bit for bit. There are no tasks and no table:
/// <code>
/// h     = XXH64 of name, value, name, value, … without separators
/// score = scramble(XXH64("&lt;place from 1&gt;:&lt;URL&gt;") xor h)   the highest wins, of equals the first
/// </code>
/// Further replicas are the URLs that follow in the list. vmagent hashes labels in the order in which they came; ours
/// are sorted by name, which is the same for every sender that keeps to the protocol, and with <c>-sortLabels</c>.
/// Known weaknesses come with it: another order or text of the URLs moves series, and so does one of labels.
/// </summary>
internal sealed class VmAgentPlacement
{
    private const int StackBytes = 2048;

    private readonly ulong[] _urls;
    private readonly string[] _labels;
    private readonly string[] _ignored;

    public VmAgentPlacement(VmAgentPlacementConfig config)
    {
        ArgumentOutOfRangeException.ThrowIfZero(config.Urls.Count);
        ArgumentOutOfRangeException.ThrowIfLessThan(config.Replicas, 1);
        if (config.Labels.Count > 0 && config.IgnoreLabels.Count > 0)
        {
            throw new ArgumentException("labels and ignoreLabels exclude each other", nameof(config));
        }
        (_labels, _ignored) = ([.. config.Labels], [.. config.IgnoreLabels]);
        _urls = new ulong[config.Urls.Count];
        for (var i = 0; i < _urls.Length; i++)
        {
            _urls[i] = StableHash.Hash64(Encoding.UTF8.GetBytes($"{i + 1}:{config.Urls[i]}"));
        }
        Replicas = Math.Min(config.Replicas, _urls.Length);
    }

    /// <summary>How many URLs get each series.</summary>
    public int Replicas { get; }

    /// <summary>Writes the indices of the URLs that get a series, <see cref="Replicas"/> of them.</summary>
    public void Place(LabelSet series, Span<int> urls) => Place(series.Labels, urls);

    /// <param name="labels">In the order that counts.</param>
    /// <param name="urls">As many as <see cref="Replicas"/>.</param>
    public void Place(ReadOnlySpan<Label> labels, Span<int> urls)
    {
        var first = Best(StableKeyOf(labels));
        for (var i = 0; i < Replicas; i++)
        {
            urls[i] = (first + i) % _urls.Length;
        }
    }

    public ulong StableKeyOf(ReadOnlySpan<Label> labels)
    {
        var sizeBytes = 0;
        foreach (var label in labels)
        {
            sizeBytes += IsInKey(label.Name)
                ? Encoding.UTF8.GetByteCount(label.Name) + Encoding.UTF8.GetByteCount(label.Value) : 0;
        }
        var buffer = sizeBytes <= StackBytes ? stackalloc byte[sizeBytes] : new byte[sizeBytes];
        var at = 0;
        foreach (var label in labels)
        {
            if (IsInKey(label.Name))
            {
                at += Encoding.UTF8.GetBytes(label.Name, buffer[at..]);
                at += Encoding.UTF8.GetBytes(label.Value, buffer[at..]);
            }
        }
        return StableHash.Hash64(buffer);
    }

    private bool IsInKey(string name) =>
        _labels.Length > 0 ? Array.IndexOf(_labels, name) >= 0 : Array.IndexOf(_ignored, name) < 0;

    private int Best(ulong key)
    {
        var best = 0;
        var highest = 0UL;
        for (var i = 0; i < _urls.Length; i++)
        {
            var score = Scramble(_urls[i] ^ key);
            if (score > highest)
            {
                (best, highest) = (i, score);
            }
        }
        return best;
    }

    /// <summary>Xorshift64*.</summary>
    private static ulong Scramble(ulong value)
    {
        value ^= value >> 12;
        value ^= value << 25;
        value ^= value >> 27;
        return value * 2685821657736338717;
    }
}
