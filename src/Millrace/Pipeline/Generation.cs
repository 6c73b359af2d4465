using System.Text;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Filtering;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>
/// A configuration, compiled: what decides the fate of a series from one configuration record in the log to the next.
/// Everything in it is pure but for the series cache, which owns no state.
/// </summary>
internal sealed class Generation
{
    private readonly KeyedHash _hash;
    private SeriesCache _cache;

    /// <param name="config">A validated configuration.</param>
    /// <param name="destinations">The running destinations, by their numbers.</param>
    /// <param name="hash">For the series cache.</param>
    /// <param name="metadata">Shared by all generations; null: an own one.</param>
    public Generation(MillraceConfig config, IReadOnlyList<DestinationConfig> destinations, KeyedHash hash,
        MetadataStore? metadata = null)
    {
        Metadata = metadata ?? new MetadataStore();
        Config = config;
        Key = StableHash.Hash128(Encoding.UTF8.GetBytes(config.CanonicalText));
        _hash = hash;
        Rules = CompileRules([.. config.Aggregation.Rules, .. Deduplicators.RulesOf(config)]);
        Resolver = new SeriesResolver(config, Rules, destinations);
        TimeWindows = [.. Resolver.TimeWindows];
        Labels = new LabelLimits(
            config.Ingest.MaxLabelsPerSeries, config.Ingest.MaxLabelNameBytes, config.Ingest.MaxLabelValueBytes);
        _cache = NewCache();
    }

    /// <summary>Nothing is configured: what stands before the first configuration record of a log.</summary>
    public static Generation Empty(IReadOnlyList<DestinationConfig> destinations, KeyedHash hash) =>
        new(new MillraceConfig { Routes = [] }, destinations, hash);

    public MillraceConfig Config { get; }

    public MetadataStore Metadata { get; }

    /// <summary>Equal for equal text.</summary>
    public UInt128 Key { get; }

    /// <summary>Those of the configuration, and behind them <see cref="Deduplicators"/>.</summary>
    public AggregationRule[] Rules { get; }

    public SeriesResolver Resolver { get; }

    /// <summary>By route.</summary>
    public TimeWindowFilter[] TimeWindows { get; }

    public LabelLimits Labels { get; }

    public int TaskCount => Config.Aggregation.TaskCount;

    /// <summary>
    /// The cache to look up in; a full one is left to the batches that hold it, and a new one begins.
    /// </summary>
    public SeriesCache Cache
    {
        get
        {
            var cache = Volatile.Read(ref _cache);
            if (!cache.IsFull)
            {
                return cache;
            }
            Interlocked.CompareExchange(ref _cache, NewCache(), cache);
            return Volatile.Read(ref _cache);
        }
    }

    private SeriesCache NewCache() => new(_hash, Config.Ingest.MaxCachedSeries);

    private static AggregationRule[] CompileRules(IReadOnlyList<AggregationRuleConfig> configs)
    {
        var rules = new AggregationRule[configs.Count];
        var seen = new Dictionary<UInt128, int>();
        for (var i = 0; i < rules.Length; i++)
        {
            // Two rules of the same text are two rules: the second is told apart by its occurrence.
            var rule = new AggregationRule(configs[i], occurrence: 0);
            var occurrence = seen.GetValueOrDefault(rule.Key);
            seen[rule.Key] = occurrence + 1;
            rules[i] = occurrence == 0 ? rule : new AggregationRule(configs[i], occurrence);
        }
        return rules;
    }
}
