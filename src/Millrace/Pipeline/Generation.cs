using System.Text;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Filtering;
using Millrace.Memory;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Pipeline;

/// <summary>A configuration, compiled. Pure.</summary>
internal sealed class CompiledConfig
{
    /// <param name="config">A validated configuration.</param>
    /// <param name="destinations">The running destinations, by their numbers.</param>
    public CompiledConfig(MillraceConfig config, IReadOnlyList<DestinationConfig> destinations)
    {
        Config = config;
        Key = StableHash.Hash128(Encoding.UTF8.GetBytes(config.CanonicalText));
        Rules = AggregationRule.CompileAll([.. config.Aggregation.Rules, .. Deduplicators.RulesOf(config)]);
        Resolver = new SeriesResolver(config, Rules, destinations);
        TimeWindows = [.. Resolver.TimeWindows];
        Labels = new LabelLimits(
            config.Ingest.MaxLabelsPerSeries, config.Ingest.MaxLabelNameBytes, config.Ingest.MaxLabelValueBytes);
    }

    public MillraceConfig Config { get; }

    /// <summary>Equal for equal text.</summary>
    public UInt128 Key { get; }

    /// <summary>Those of the configuration, and behind them <see cref="Deduplicators"/>.</summary>
    public AggregationRule[] Rules { get; }

    public SeriesResolver Resolver { get; }

    /// <summary>By route.</summary>
    public TimeWindowFilter[] TimeWindows { get; }

    public LabelLimits Labels { get; }
}

/// <summary>
/// A configuration in force, and the rules of those before that still answer for their last windows: what decides the
/// fate of a series. Everything in it is pure but for the series cache, which owns no state.
/// </summary>
internal sealed class Generation
{
    /// <summary>Shared by generations that differ in finished rules alone.</summary>
    private sealed class CacheHolder(SeriesCache cache)
    {
        public SeriesCache Cache = cache;
    }

    private readonly KeyedHash _hash;
    private readonly CacheHolder _caches;

    /// <param name="config">A validated configuration.</param>
    /// <param name="destinations">The running destinations, by their numbers.</param>
    /// <param name="hash">For the series cache.</param>
    /// <param name="metadata">Shared by all generations; null: an own one.</param>
    public Generation(MillraceConfig config, IReadOnlyList<DestinationConfig> destinations, KeyedHash hash,
        MetadataStore? metadata = null)
    {
        Metadata = metadata ?? new MetadataStore();
        Compiled = new CompiledConfig(config, destinations);
        RulesInForce = Compiled.Rules;
        Chain = RuleChain.Of(this);
        _hash = hash;
        _caches = new CacheHolder(NewCache());
    }

    private Generation(Generation other, RetiringRule[] retiring, bool sharesCache)
    {
        (Metadata, Compiled, _hash, Retiring) = (other.Metadata, other.Compiled, other._hash, retiring);
        RulesInForce = [.. Rules, .. Array.ConvertAll(retiring, static rule => rule.Rule)];
        Chain = RuleChain.Of(this);
        _caches = sharesCache ? other._caches : new CacheHolder(NewCache());
    }

    /// <summary>Nothing is configured: what stands before the first configuration record of a log.</summary>
    public static Generation Empty(IReadOnlyList<DestinationConfig> destinations, KeyedHash hash) =>
        new(new MillraceConfig { Routes = [] }, destinations, hash);

    public CompiledConfig Compiled { get; }

    public MillraceConfig Config => Compiled.Config;

    public MetadataStore Metadata { get; }

    public UInt128 Key => Compiled.Key;

    /// <summary>Those of the configuration.</summary>
    public AggregationRule[] Rules => Compiled.Rules;

    /// <summary>
    /// Those of the configuration, and behind them the retiring ones. Series cache and state go by these numbers.
    /// </summary>
    public AggregationRule[] RulesInForce { get; }

    /// <summary>Rules of configurations before, which still answer for their last windows.</summary>
    public IReadOnlyList<RetiringRule> Retiring { get; } = [];

    /// <summary>Which of the rules in force take what others write.</summary>
    public RuleChain Chain { get; }

    public SeriesResolver Resolver => Compiled.Resolver;

    public TimeWindowFilter[] TimeWindows => Compiled.TimeWindows;

    public LabelLimits Labels => Compiled.Labels;

    public int TaskCount => Config.Aggregation.TaskCount;

    /// <summary>
    /// The cache to look up in; a full one is left to the batches that hold it, and a new one begins.
    /// </summary>
    public SeriesCache Cache
    {
        get
        {
            var cache = Volatile.Read(ref _caches.Cache);
            if (!cache.IsFull)
            {
                return cache;
            }
            Interlocked.CompareExchange(ref _caches.Cache, NewCache(), cache);
            return Volatile.Read(ref _caches.Cache);
        }
    }

    /// <summary>The last window of a retiring rule is closed.</summary>
    public bool IsFinished(int rule) => rule >= Rules.Length && Retiring[rule - Rules.Length].IsFinished;

    /// <summary>
    /// The same configuration with other rules retiring beside it. What its cache knows was decided without them.
    /// </summary>
    public Generation WithRetiring(IReadOnlyList<RetiringRule> retiring) =>
        retiring.Count == 0 && Retiring.Count == 0 ? this : new Generation(this, [.. retiring], sharesCache: false);

    /// <summary>
    /// A retiring rule is done. Series keep their cache, whose targets count by number: the rule keeps its own until
    /// all are done.
    /// </summary>
    public Generation WithFinished(int rule)
    {
        RetiringRule[] retiring = [.. Retiring];
        retiring[rule - Rules.Length] = retiring[rule - Rules.Length] with { IsFinished = true };
        return new Generation(
            this, Array.TrueForAll(retiring, static one => one.IsFinished) ? [] : retiring, sharesCache: true);
    }

    /// <summary>The configuration that a rule in force goes by, and its number there.</summary>
    public (CompiledConfig Compiled, int Rule) CompiledOf(int rule) =>
        rule < Rules.Length ? (Compiled, rule)
        : (Retiring[rule - Rules.Length].Source, Retiring[rule - Rules.Length].RuleInSource);

    /// <summary>The resolver that a rule in force goes by, and its number there.</summary>
    public (SeriesResolver Resolver, int Rule) ResolverOf(int rule)
    {
        var (compiled, number) = CompiledOf(rule);
        return (compiled.Resolver, number);
    }

    /// <summary>Decides what becomes of a series. Allocates: it runs once per series and configuration.</summary>
    public ResolvedSeries Resolve(IReadOnlyList<Label> labels)
    {
        var resolved = Resolver.Resolve(labels);
        if (Retiring.Count == 0)
        {
            return resolved;
        }
        var retiring = new List<RetiringSeries>();
        for (var i = 0; i < Retiring.Count; i++)
        {
            var (_, source, ruleInSource) = Retiring[i];
            var there = source.Resolver.Resolve(labels);
            foreach (var (rule, task, series) in there.Aggregates)
            {
                if (rule == ruleInSource)
                {
                    retiring.Add(new RetiringSeries(Rules.Length + i, task, series, source.TimeWindows[there.Route]));
                }
            }
        }
        return resolved with { Retiring = retiring };
    }

    private SeriesCache NewCache() => new(
        _hash, Config.Ingest.MaxCachedSeries, Retiring.Count > 0,
        Array.Exists(RulesInForce, static rule => rule.Config.Ha is not null));
}
