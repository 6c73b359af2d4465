using System.Collections.Concurrent;
using System.Text;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// The metadata of families as senders told it last. Remote write 2.0 carries it with every series, so the way from
/// known
/// bytes to a known object costs a hash and no text. Bounded: what comes beyond is passed on and not remembered.
/// </summary>
internal sealed class MetadataStore
{
    private const int MaxFamilies = 100_000;

    private static readonly string[] Suffixes = ["_total", "_bucket", "_count", "_sum"];

    private readonly ConcurrentDictionary<UInt128, MetricMetadata> _byBytes = new();
    private readonly ConcurrentDictionary<string, MetricMetadata> _byFamily = new();

    // Of what rules make, by the name that is sent; the emitter's.
    private readonly ConcurrentDictionary<string, MetricMetadata> _made = new();

    public int Count => _byFamily.Count;

    public static UInt128 HashOf(
        ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
    {
        var texts = new UInt128(StableHash.Hash64(help, (ulong)type), StableHash.Hash64(unit, (ulong)help.Length));
        return StableHash.Hash128(family) ^ texts;
    }

    /// <summary>The object for these bytes; <paramref name="hash"/> is theirs.</summary>
    public MetricMetadata Take(
        UInt128 hash, ReadOnlySpan<byte> family, MetricType type, ReadOnlySpan<byte> help, ReadOnlySpan<byte> unit)
    {
        if (_byBytes.TryGetValue(hash, out var known))
        {
            return known;
        }
        var metadata = new MetricMetadata(Text(family), type, Text(help), Text(unit));
        if (_byFamily.Count < MaxFamilies && _byBytes.Count < 2 * MaxFamilies)
        {
            _byBytes[hash] = metadata;
            _byFamily[metadata.Family] = metadata;
        }
        return metadata;
    }

    /// <summary>The metadata of a metric: its own, or that of the family whose suffixed form it is.</summary>
    public MetricMetadata? Find(string metric) =>
        _made.TryGetValue(metric, out var made) ? made : Find(_byFamily, metric);

    /// <summary>A rule makes the family. Dropped as a whole when there are too many: it is told again.</summary>
    public void Make(MetricMetadata metadata)
    {
        if (_made.Count >= MaxFamilies)
        {
            _made.Clear();
        }
        _made[metadata.Family] = metadata;
    }

    public static MetricMetadata? Find(IReadOnlyDictionary<string, MetricMetadata> families, string metric)
    {
        if (families.TryGetValue(metric, out var metadata))
        {
            return metadata;
        }
        foreach (var suffix in Suffixes)
        {
            if (metric.EndsWith(suffix, StringComparison.Ordinal)
                && families.TryGetValue(metric[..^suffix.Length], out metadata))
            {
                return metadata;
            }
        }
        return null;
    }

    private static string Text(ReadOnlySpan<byte> utf8) => Encoding.UTF8.GetString(utf8);
}
