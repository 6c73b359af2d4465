using FsCheck;
using FsCheck.Fluent;
using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Filtering;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Tests.Configuration;

public class CanonicalConfigTests
{
    [Fact]
    public void The_text_loads_to_the_same_rules_routes_and_windows()
    {
        var config = LoadedConfig.Good(FullConfig.Text, FullConfig.Files);
        var again = Loaded(config.CanonicalText);
        again.CanonicalText.ShouldBe(config.CanonicalText);
        again.TimeWindow.ShouldBe(config.TimeWindow);
        again.AllMatchingRoutes.ShouldBe(config.AllMatchingRoutes);
        again.Destinations.Select(d => (d.Name, d.Lanes, d.MaxSamplesPerBlock, d.Corrections))
            .ShouldBe(config.Destinations.Select(d => (d.Name, d.Lanes, d.MaxSamplesPerBlock, d.Corrections)));
        again.Aggregation.Rules.Count.ShouldBe(3);
        for (var i = 0; i < 3; i++)
        {
            WithoutPlace(again.Aggregation.Rules[i]).ShouldBeEquivalentTo(WithoutPlace(config.Aggregation.Rules[i]));
        }
        for (var i = 0; i < 2; i++)
        {
            WithoutPlace(again.Routes[i]).ShouldBeEquivalentTo(WithoutPlace(config.Routes[i]));
        }
    }

    [Fact]
    public void Addresses_and_secrets_are_left_out()
    {
        var text = LoadedConfig.Good("""
            destinations:
            - name: storage
              remote_write:
                url: http://user:geheim@host/
                headers: {Authorization: "Bearer %{TOKEN}"}
            """, environment: new() { ["TOKEN"] = "geheim" }).CanonicalText;
        text.ShouldContain("storage");
        text.ShouldNotContain("geheim");
        text.ShouldNotContain("host");
    }

    [Fact]
    public void The_text_does_not_change_with_what_decides_nothing_about_a_sample()
    {
        var text = LoadedConfig.Good(LoadedConfig.Destination).CanonicalText;
        LoadedConfig.Good(LoadedConfig.Destination + "server: {listen: ':1'}\nlog: {max_bytes: 1GiB}\n").CanonicalText
            .ShouldBe(text);
        LoadedConfig.Good(LoadedConfig.Destination + "time_window: {max_age: 2h}\n").CanonicalText.ShouldNotBe(text);
    }

    [Fact]
    public void Any_rule_survives()
    {
        Prop.ForAll(Rules().ToArbitrary(), rule =>
        {
            var config = new MillraceConfig
            {
                Aggregation = new AggregationConfig { Rules = [rule], MaxOpenWindows = 10_000 },
                Destinations = [new() { Name = "storage" }],
            };
            var again = Loaded(CanonicalConfig.Write(config)).Aggregation.Rules[0];
            WithoutPlace(again).ShouldBeEquivalentTo(WithoutPlace(rule));
            CanonicalConfig.Write(again).ShouldBe(CanonicalConfig.Write(rule));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Any_route_survives()
    {
        Prop.ForAll(Routes().ToArbitrary(), route =>
        {
            var config = new MillraceConfig { Routes = [route], Destinations = [new() { Name = "storage" }] };
            WithoutPlace(Loaded(CanonicalConfig.Write(config)).Routes[0]).ShouldBeEquivalentTo(WithoutPlace(route));
        }).QuickCheckThrowOnFailure();
    }

    private static MillraceConfig Loaded(string canonicalText)
    {
        var result = ConfigLoader.LoadCanonical(canonicalText);
        result.Problems.ShouldBeEmpty(canonicalText);
        return result.Config.ShouldNotBeNull();
    }

    /// <summary>Any text, also what needs escapes in JSON or YAML.</summary>
    private static Gen<string> Texts() => Gen.Elements("a", "é", "😀", "\"", "\\", "\n", "\t", "{", "}", ":", " #",
        "%{A}",
        "\u0085", "\u2028", "\ufeff", "\0", "\u007f", "yes", "1", "~", "'", "$1")
        .ListOf().Select(parts => string.Concat(parts));

    private static Gen<string> Labels() => Gen.Elements("a", "b", "job", "__name__", "é");

    private static Gen<IReadOnlyList<T>> ListOf<T>(Gen<T> gen) =>
        gen.ListOf().Select(list => (IReadOnlyList<T>)[.. list.Take(3)]);

    private static Gen<T?> Maybe<T>(Gen<T> gen) where T : struct =>
        Gen.OneOf(Gen.Constant<T?>(null), gen.Select(v => (T?)v));

    private static Gen<T?> MaybeText<T>(Gen<T> gen) where T : class =>
        Gen.OneOf(Gen.Constant<T?>(null), gen.Select(v => (T?)v));

    private static Gen<TimeSpan> Durations() =>
        Gen.Choose(60_000, 86_400_000).Select(ms => TimeSpan.FromMilliseconds(ms));

    private static Gen<RelabelConfig> Relabeling() =>
        from separator in MaybeText(Texts())
        from regex in Gen.Elements<string?>(null, "(.*)", "a|b", "x\\.y")
        from replacement in MaybeText(Texts())
        from sources in MaybeText(ListOf(Labels()))
        select new RelabelConfig
        {
            Action = "replace",
            TargetLabel = "target",
            Separator = separator,
            Regex = regex,
            Replacement = replacement,
            SourceLabels = sources,
        };

    private static Gen<AggregationRuleConfig> Rules() =>
        from name in Texts()
        from match in Gen.Elements<string[]?>(null, ["up"], ["{a=\"1\"}", "{b=~\"x.*\"}"])
        from staleness in Maybe(Durations())
        from first in Maybe(Durations())
        from isArrival in Gen.Elements(true, false)
        from lateness in Maybe(Durations())
        from flags in Gen.Choose(0, 63)
        from grouping in ListOf(Labels())
        from drop in ListOf(Texts())
        from input in ListOf(Relabeling())
        from firstSample in Gen.Elements(Enum.GetValues<FirstSample>())
        select new AggregationRuleConfig
        {
            Name = name,
            Match = match,
            Interval = TimeSpan.FromMinutes(1),
            IntervalText = "60s",
            StalenessInterval = staleness,
            IgnoreFirstSampleInterval = first,
            NoAlignFlushToInterval = (flags & 1) != 0,
            FlushOnShutdown = (flags & 2) != 0,
            IgnoreOldSamples = (flags & 4) != 0,
            EmitPartialWindows = (flags & 8) != 0,
            IgnoreFirstIntervals = flags / 16,
            By = (flags & 1) != 0 ? [.. grouping.Distinct().Order(Millrace.Model.Utf8Order.Comparer)] : [],
            Without = (flags & 1) == 0 ? [.. grouping.Distinct().Order(Millrace.Model.Utf8Order.Comparer)] : [],
            Outputs = ["total", "max"],
            DropInputLabels = drop,
            InputRelabelConfigs = input,
            Time = isArrival ? RuleTime.Arrival : RuleTime.Event,
            AllowedLateness = isArrival ? null : lateness,
            FirstSample = firstSample,
        };

    private static Gen<RouteConfig> Routes() =>
        from name in Texts().Where(t => t.Length is > 0 and <= 128)
        from aggregates in Gen.Elements(true, false)
        from keeps in Gen.Elements(true, false)
        from drops in Gen.Elements(true, false)
        from to in Gen.Elements<string[]?>(null, [], ["storage"])
        from relabeling in ListOf(Relabeling())
        from age in Maybe(Durations())
        from hasWindow in Gen.Elements(true, false)
        select new RouteConfig
        {
            Name = name,
            Match = "{a=\"\\\\\"}",
            Aggregate = aggregates,
            KeepInput = keeps,
            DropInput = drops,
            To = to,
            RelabelConfigs = relabeling,
            TimeWindow = hasWindow ? new TimeWindowConfig { MaxAge = age, MaxFuture = age } : null,
        };

    private static AggregationRuleConfig WithoutPlace(AggregationRuleConfig rule) => rule with
    {
        File = "",
        Line = 0,
        Path = "",
        Match = rule.Match?.ToArray(),
        Outputs = rule.Outputs.ToArray(),
        By = rule.By.ToArray(),
        Without = rule.Without.ToArray(),
        DropInputLabels = rule.DropInputLabels.ToArray(),
        InputRelabelConfigs = WithoutPlace(rule.InputRelabelConfigs),
        OutputRelabelConfigs = WithoutPlace(rule.OutputRelabelConfigs),
    };

    private static RouteConfig WithoutPlace(RouteConfig route) => route with
    {
        RelabelConfigs = WithoutPlace(route.RelabelConfigs),
        AggregateRules = route.AggregateRules?.ToArray(),
        To = route.To?.ToArray(),
    };

    private static RelabelConfig[] WithoutPlace(IReadOnlyList<RelabelConfig> rules) =>
        [.. rules.Select(r => r with { File = "", Line = 0, Path = "", SourceLabels = r.SourceLabels?.ToArray() })];
}
