using System.Globalization;
using System.Linq;
using System.Text;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>A sample of a random run; times are milliseconds from T0.</summary>
internal sealed record RandomRunSample(long PushedMs, PlainSample Sample);

/// <summary>
/// One rule and what it is fed, both by chance and both decided by a seed. Many runs are played at once, each on a
/// metric of its own. What a live vmagent makes of a run depends on where samples arrive between boundaries and not on
/// the millisecond, since all of them arrive in the first half of a second, and everything else falls into the other.
/// </summary>
internal sealed record RandomRun(int Seed, int Number, string RuleYaml, IReadOnlyList<RandomRunSample> Samples)
{
    /// <summary>Rules begin here, before T0.</summary>
    public const long StartMs = -1_300;

    public const int Seconds = 15;

    /// <summary>T0 is a boundary of all intervals.</summary>
    public const long PeriodMs = 12_000;

    /// <summary>When samples are pushed, inside of each second.</summary>
    public static readonly long[] PushesMs = [200, 350];

    /// <summary>Those of vmagent 1.145 that are known here.</summary>
    private static readonly string[] Outputs =
    [
        .. new[]
        {
            "avg", "count_samples", "count_series", "increase", "increase_prometheus", "last", "max", "min",
            "rate_avg", "rate_sum", "sum_samples", "total", "total_prometheus", "stddev", "stdvar",
            "unique_samples", "histogram_bucket", "quantiles(0, 0.5, 0.99, 1)", "quantiles(0.9)",
        }.Where(output => Knows($"outputs: ['{output}']")),
    ];

    private static readonly bool KnowsDedup = Knows("dedup_interval: 1s\n  outputs: [max]");

    public string Metric => NameOf(Number);

    public static RandomRun Make(int seed, int number)
    {
        var random = new Random(HashCodeOf(seed, number));
        var (rule, quietSeconds) = new RuleChoice(random, number).Make();
        return new RandomRun(seed, number, rule, new StreamChoice(random, number, quietSeconds).Make());
    }

    /// <summary>For a failure message.</summary>
    public string Describe()
    {
        var text = new StringBuilder($"run {Number} of seed {Seed}\n").Append(RuleYaml);
        foreach (var (pushedMs, sample) in Samples)
        {
            text.Append(CultureInfo.InvariantCulture,
                $"+{pushedMs / 1000.0} {sample.Series} {sample.Value:R} @{sample.TimestampMs / 1000.0}\n");
        }
        return text.ToString();
    }

    private static bool Knows(string keys) => GatewayPlayer.Load($"- interval: 2s\n  {keys}\n").Config is not null;

    private static string NameOf(int number) => $"m{number}";

    private static int HashCodeOf(int seed, int number) => unchecked((seed * 1_000_003) + number);

    /// <summary>Writes a rule.</summary>
    private sealed class RuleChoice(Random random, int number)
    {
        private readonly StringBuilder _yaml = new();

        /// <summary>The rule, and seconds in which nothing may be pushed, as it would be a matter of luck.</summary>
        public (string Yaml, HashSet<long> QuietSeconds) Make()
        {
            var seconds = random.Next(1, 5);
            _yaml.Append("- ");
            Line($"interval: {(random.Next(5) == 0 ? $"{seconds}000ms" : $"{seconds}s")}");
            Line($"match: {Match()}");
            var hasDedup = random.Next(6) == 0 && KnowsDedup;
            Line(hasDedup, $"dedup_interval: {(random.Next(2) == 0 ? 1 : seconds)}s");
            var outputs = ChooseOutputs(hasDedup);
            Line($"outputs: [{string.Join(", ", outputs.Select(output => $"'{output}'"))}]");
            var staleMs = StalenessMs(seconds);
            var firstSeconds = IgnoreFirstSeconds(staleMs, seconds, hasDedup);
            Line(random.Next(4) == 0, "no_align_flush_to_interval: true");
            Line(random.Next(6) == 0, "ignore_old_samples: true");
            Line(random.Next(8) == 0, $"ignore_first_intervals: {random.Next(0, 3)}");
            Line(
                outputs.Count == 1 && !outputs[0].Contains(',') && outputs[0] != "histogram_bucket"
                    && random.Next(3) == 0,
                "keep_metric_names: true");
            Relabel();
            Grouping();
            // vmagent reads a clock that is up to a second behind, at the start and at each sample.
            var start = (long)Math.Floor(StartMs / 1000.0);
            var quiet = firstSeconds.SelectMany(s => (long[])[start + s - 1, start + s]).ToHashSet();
            return (_yaml.ToString(), quiet);
        }

        private List<string> ChooseOutputs(bool hasDedup)
        {
            var chosen = new List<string>();
            foreach (var output in Outputs.OrderBy(_ => random.Next()).Take(random.Next(1, 6)))
            {
                // One quantiles() in a rule; and which of two series comes last out of the deduplication is random.
                if (!(hasDedup && output == "last")
                    && !(output[0] == 'q' && chosen.Exists(other => other[0] == 'q')))
                {
                    chosen.Add(output);
                }
            }
            return chosen.Count > 0 ? chosen : ["max"];
        }

        private string Match() => random.Next(5) switch
        {
            0 => $$"""'{__name__="{{NameOf(number)}}"}'""",
            1 => $$"""'{{NameOf(number)}}{job=~"a|c"}'""",
            2 => $$"""['{{NameOf(number)}}{job="a"}', '{{NameOf(number)}}{inst!="2",job!="a"}']""",
            3 => $$"""'{__name__="{{NameOf(number)}}",code!="500" or __name__="{{NameOf(number)}}",inst="1"}'""",
            _ => NameOf(number),
        };

        private long? StalenessMs(int seconds)
        {
            // The tenth of a second: deadlines stay away from boundaries.
            long? staleMs = random.Next(6) switch
            {
                0 => null,
                1 => seconds * 1_000,
                2 => (seconds * 1_000) + 100,
                3 => seconds * 2_000,
                4 => (seconds * 3_000) + 100,
                _ => 3_600_000,
            };
            Line(staleMs is not null, $"staleness_interval: {staleMs}ms");
            return staleMs;
        }

        /// <summary>All that the interval may come to, in one version or the other.</summary>
        private long[] IgnoreFirstSeconds(long? staleMs, int seconds, bool hasDedup)
        {
            // Deduplicated samples come at full seconds, where it would be a matter of luck.
            long? first = random.Next(hasDedup ? 2 : 4) switch
            {
                0 => 0,
                1 => 3_600,
                2 => random.Next(1, 8),
                _ => null,
            };
            Line(first is not null, $"ignore_first_sample_interval: {first}s");
            return first is { } written ? [written]
                : staleMs is { } stale ? [stale / 1000] : [seconds, seconds * 2];
        }

        private void Relabel()
        {
            Line(random.Next(8) == 0, "drop_input_labels: [inst]");
            switch (random.Next(12))
            {
                case 0:
                    Line("input_relabel_configs: [{source_labels: [inst], target_label: zone, regex: '(.)', "
                        + "replacement: 'z$1'}, {action: labeldrop, regex: inst}]");
                    break;
                case 1:
                    Line("input_relabel_configs: [{action: drop, source_labels: [code], regex: '5..'}]");
                    break;
                case 2:
                    Line("output_relabel_configs: [{source_labels: [job], target_label: team, "
                        + "replacement: 'team-$1'}]");
                    break;
                case 3:
                    Line("output_relabel_configs: [{action: drop, source_labels: [__name__], "
                        + "regex: '.*_(max|total)'}]");
                    break;
                default:
                    break;
            }
        }

        /// <summary>The label run stands in for the name where that is lost.</summary>
        private void Grouping()
        {
            switch (random.Next(8))
            {
                case 0: break;
                case 1: Line("by: [__name__]"); break;
                case 2: Line("by: [job]"); break;
                case 3: Line("by: [job, inst, job]"); break;
                case 4: Line("by: [nope, code]"); break;
                case 5: Line("without: [inst]"); break;
                case 6: Line("without: [job, inst, code]"); break;
                default: Line("without: [__name__, inst]"); break;
            }
        }

        private void Line(string text) => Line(true, text);

        private void Line(bool isWritten, string text)
        {
            if (isWritten)
            {
                _yaml.Append(_yaml.Length > 2 ? "  " : "").Append(text).Append('\n');
            }
        }
    }

    /// <summary>Writes a stream.</summary>
    private sealed class StreamChoice(Random random, int number, HashSet<long> quietSeconds)
    {
        private static readonly double StaleMarker = BitConverter.Int64BitsToDouble(0x7ff0000000000002);

        private readonly bool _isExact = random.Next(5) != 0;
        private readonly bool _hasInfinities = random.Next(30) == 0;
        private readonly bool _isCounter = random.Next(3) != 0;

        private sealed class Source(PlainSeries series)
        {
            public PlainSeries Series { get; } = series;

            public double Value { get; set; }

            public long LastMs { get; set; }
        }

        public List<RandomRunSample> Make()
        {
            var sources = Sources();
            var often = random.Next(1, 5) * 0.25;
            var samples = new List<RandomRunSample>();
            for (var second = -1; second < Seconds; second++)
            {
                foreach (var pushMs in PushesMs)
                {
                    foreach (var source in sources)
                    {
                        if (random.NextDouble() < often * 0.6 && !quietSeconds.Contains(second))
                        {
                            var pushedMs = (second * 1000) + pushMs;
                            samples.Add(new RandomRunSample(pushedMs, Next(source, pushedMs)));
                        }
                    }
                }
            }
            return samples;
        }

        private List<Source> Sources()
        {
            var sources = new Dictionary<string, Source>();
            for (var left = random.Next(1, 6); left > 0; left--)
            {
                var labels = new List<KeyValuePair<string, string>>
                {
                    new("__name__", NameOf(number)),
                    new("run", number.ToString(CultureInfo.InvariantCulture)),
                    new("job", random.Next(2) == 0 ? "a" : "b"),
                    new("inst", random.Next(1, 4).ToString(CultureInfo.InvariantCulture)),
                };
                if (random.Next(3) != 0)
                {
                    labels.Add(new("code", random.Next(2) == 0 ? "200" : "500"));
                }
                var series = new PlainSeries(labels);
                sources[series.Text] = new Source(series) { Value = Amount() };
            }
            return [.. sources.Values];
        }

        private PlainSample Next(Source source, long pushedMs)
        {
            var value = NextValue(source);
            var timestampMs = random.Next(100) switch
            {
                < 68 => pushedMs - random.Next(0, 4) * 50,
                < 76 => source.LastMs == 0 ? pushedMs : source.LastMs,
                < 85 => pushedMs - random.Next(1, 60) * 50,
                < 90 => pushedMs - random.Next(1, 60) * 1_000,
                < 94 => pushedMs + random.Next(1, 90) * 100,
                _ => pushedMs / 1000 * 1000,
            };
            // Where windows begin with the rule, in the second half of a second, no timestamp is near.
            var fractionMs = ((timestampMs % 1000) + 1000) % 1000;
            timestampMs -= fractionMs > 500 ? fractionMs - 500 : 0;
            source.LastMs = timestampMs;
            return new PlainSample(source.Series, timestampMs, value);
        }

        private double NextValue(Source source)
        {
            var roll = random.Next(100);
            if (roll < 4)
            {
                return roll < 2 ? double.NaN : StaleMarker;
            }
            if (_hasInfinities && roll < 10)
            {
                return roll < 7 ? double.PositiveInfinity : double.NegativeInfinity;
            }
            source.Value = _isCounter ? (roll < 20 ? Amount() : source.Value + Amount())
                : Amount() - Amount();
            return source.Value;
        }

        /// <summary>Quarters add up without rounding, whatever the order.</summary>
        private double Amount() => _isExact ? random.Next(0, 400) * 0.25 : random.NextDouble() * 1e6;
    }
}
