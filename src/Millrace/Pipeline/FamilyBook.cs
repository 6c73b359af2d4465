using Millrace.Aggregation;
using Millrace.Memory;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// The metadata of families as told last, in the order of the log: what rules make the metadata of their outputs from.
/// Kept by the first worker and part of the base, so that a block of a closed window is the same after a restart.
/// </summary>
internal sealed class FamilyBook
{
    /// <summary>Families beyond are not remembered: their outputs get a help without the input's.</summary>
    public const int MaxFamilies = 20_000;

    private const int MaxNameLength = 512;

    private static readonly IReadOnlyDictionary<string, MetricMetadata> Nothing =
        new Dictionary<string, MetricMetadata>();

    private readonly Dictionary<string, MetricMetadata> _families = [];
    private IReadOnlyDictionary<string, MetricMetadata>? _now = Nothing;

    /// <summary>What is known at this place of the log; never changed again.</summary>
    public IReadOnlyDictionary<string, MetricMetadata> Now =>
        _now ??= new Dictionary<string, MetricMetadata>(_families);

    /// <summary>Remote write 2.0 tells every family with every request: what is known costs a look-up.</summary>
    public void Tell(List<MetricMetadata> told)
    {
        foreach (var metadata in told)
        {
            var isKnown = _families.TryGetValue(metadata.Family, out var known);
            if ((isKnown && known == metadata) || (!isKnown && _families.Count >= MaxFamilies)
                || metadata.Family.Length > MaxNameLength)
            {
                continue;
            }
            _families[metadata.Family] = metadata;
            _now = null;
        }
    }

    public void Write(SnapshotWriter writer)
    {
        var names = new List<string>(_families.Keys);
        names.Sort(StringComparer.Ordinal);
        writer.Write(names.Count);
        foreach (var name in names)
        {
            var metadata = _families[name];
            writer.Write(name);
            writer.Write((int)metadata.Type);
            writer.Write(OutputMetadata.Cut(metadata.Help, OutputMetadata.MaxInputHelp));
            writer.Write(OutputMetadata.Cut(metadata.Unit, OutputMetadata.MaxInputHelp));
        }
    }

    public void Read(SnapshotReader reader)
    {
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var name = reader.ReadString();
            _families[name] = new MetricMetadata(
                name, (MetricType)reader.ReadInt32(), reader.ReadString(), reader.ReadString());
        }
        _now = null;
    }
}
