using Millrace.Aggregation;
using Millrace.Log;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>The rules in force as the head of a base tells them: terms and closes by the rules' keys.</summary>
internal sealed class BaseRules
{
    /// <summary>The configuration in force; others are numbered from 1 on.</summary>
    private const int OwnSource = 0;

    private readonly record struct Entry(UInt128 Key, int Source, RuleTerm Term, long ClosedThrough);

    public static readonly BaseRules None = new([], []);

    private readonly List<string> _sources;
    private readonly List<Entry> _entries;

    private BaseRules(List<string> sources, List<Entry> entries) => (_sources, _entries) = (sources, entries);

    public int Count => _entries.Count;

    public static void Write(SnapshotWriter head, RulesInForce rules)
    {
        var generation = rules.Generation;
        var sources = new List<CompiledConfig>();
        foreach (var rule in generation.Retiring)
        {
            if (!sources.Contains(rule.Source))
            {
                sources.Add(rule.Source);
            }
        }
        head.Write(sources.Count);
        foreach (var source in sources)
        {
            head.Write(source.Config.CanonicalText);
        }
        head.Write(rules.Terms.Length);
        for (var i = 0; i < rules.Terms.Length; i++)
        {
            // A finished one is written, too: it is told by its closes.
            var retiring = i - generation.Rules.Length;
            head.Write(generation.RulesInForce[i].Key);
            head.Write(retiring < 0 ? OwnSource : 1 + sources.IndexOf(generation.Retiring[retiring].Source));
            WriteTerm(head, rules.Terms[i]);
            head.Write(rules.ClosedThrough[i]);
        }
    }

    public static BaseRules Read(SnapshotReader reader)
    {
        var sources = new List<string>();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            sources.Add(reader.ReadString());
        }
        var entries = new List<Entry>();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            entries.Add(new Entry(
                reader.Read<UInt128>(), reader.ReadInt32(), ReadTerm(reader), reader.ReadInt64()));
        }
        return new BaseRules(sources, entries);
    }

    /// <param name="generation">The configuration in force at the base.</param>
    /// <param name="compile">From the text of an older one; null if this release cannot read it.</param>
    /// <exception cref="LogOpenException">The state cannot be taken over.</exception>
    public RulesInForce Restore(Generation generation, Func<string, Generation?> compile)
    {
        var sources = _sources.ConvertAll(text => compile(text)?.Compiled);
        var retiring = new List<RetiringRule>();
        var terms = new RuleTerm[_entries.Count];
        var closedThrough = new long[_entries.Count];
        for (var i = 0; i < _entries.Count; i++)
        {
            var entry = _entries[i];
            (terms[i], closedThrough[i]) = (entry.Term, entry.ClosedThrough);
            var rules = entry.Source == OwnSource ? generation.Rules : sources[entry.Source - 1]?.Rules ?? [];
            var number = Array.FindIndex(rules, rule => rule.Key == entry.Key);
            if (number < 0 || (entry.Source == OwnSource && number != i))
            {
                throw new LogOpenException(
                    "The newest base speaks of rules that this release reads otherwise. Start the release that wrote "
                    + "it, or give this one another folder (log.path).");
            }
            if (entry.Source != OwnSource)
            {
                retiring.Add(new RetiringRule(rules[number], sources[entry.Source - 1]!, number)
                {
                    IsFinished = entry.ClosedThrough >= entry.Term.LastClose(rules[number]),
                });
            }
        }
        if (terms.Length - retiring.Count != generation.Rules.Length)
        {
            throw new LogOpenException("The newest base lacks rules of its configuration. Give log.path a new folder.");
        }
        return new RulesInForce(generation.WithRetiring(retiring), terms, closedThrough);
    }

    private static void WriteTerm(SnapshotWriter head, RuleTerm term)
    {
        head.Write(term.Clock.StartMs);
        head.Write(term.Clock.OffsetMs);
        head.Write(term.Clock.FirstWholeWindow);
        head.Write(term.Clock.IsSuccessor ? 1 : 0);
        head.Write(term.LastWindow);
        head.Write(term.Predecessor);
        head.WriteSpan<WindowRange>([.. term.Pauses]);
    }

    private static RuleTerm ReadTerm(SnapshotReader reader)
    {
        var clock = new RuleClock(
            reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt64(), reader.ReadInt32() != 0);
        return new RuleTerm(clock)
        {
            LastWindow = reader.ReadInt64(),
            Predecessor = reader.Read<UInt128>(),
            Pauses = reader.ReadSpan<WindowRange>(),
        };
    }
}
