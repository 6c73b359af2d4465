using Millrace.Aggregation;
using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.Relabeling;
using Millrace.Routing;

namespace Millrace.Tests.Pipeline;

public sealed class SeriesResolverTests
{
    private static readonly LabelSet Matched = LabelSet.Of(("__name__", "requests_total"), ("pod", "a"));
    private static readonly LabelSet Unmatched = LabelSet.Of(("__name__", "up"), ("pod", "a"));

    private static readonly AggregationRuleConfig Rule = new()
    {
        Name = "requests",
        Match = ["requests_total"],
        Interval = TimeSpan.FromMinutes(1),
        IntervalText = "1m",
        Outputs = ["total"],
        Without = ["pod"],
    };

    /// <summary>vmagent's table (reference of vmagent, 3.2).</summary>
    [Theory]
    [InlineData(false, false, false, true)]
    [InlineData(true, false, true, true)]
    [InlineData(false, true, false, false)]
    [InlineData(true, true, true, false)]
    public void Keeps_and_drops_raw_samples_as_vmagent_does(bool keep, bool drop, bool matched, bool unmatched)
    {
        var resolver = Resolver([new RouteConfig { KeepInput = keep, DropInput = drop }]);

        var taken = resolver.Resolve(Matched.Labels.ToArray());
        taken.Aggregates.Count.ShouldBe(1);
        taken.Fate.ShouldBe(SeriesFate.None);
        taken.Forwards.Count.ShouldBe(matched ? 1 : 0);

        var other = resolver.Resolve(Unmatched.Labels.ToArray());
        other.Aggregates.ShouldBeEmpty();
        other.Forwards.Count.ShouldBe(unmatched ? 1 : 0);
        other.Fate.ShouldBe(unmatched ? SeriesFate.None : SeriesFate.Unused);
    }

    [Fact]
    public void Forwards_everything_where_no_rule_looks()
    {
        var resolver = Resolver([new RouteConfig { Aggregate = false, DropInput = true }]);
        resolver.Resolve(Matched.Labels.ToArray()).Forwards.Count.ShouldBe(1);
    }

    [Fact]
    public void The_first_matching_route_decides()
    {
        var resolver = Resolver(
        [
            new RouteConfig { Name = "a", Match = "requests_total", Aggregate = false, To = ["first"] },
            new RouteConfig { Name = "b", To = ["second"] },
        ]);
        Destinations(resolver.Resolve(Matched.Labels.ToArray())).ShouldBe([0]);
        resolver.Resolve(Matched.Labels.ToArray()).Route.ShouldBe(0);
        Destinations(resolver.Resolve(Unmatched.Labels.ToArray())).ShouldBe([1]);
        resolver.Resolve(Unmatched.Labels.ToArray()).Route.ShouldBe(1);
    }

    [Fact]
    public void All_matching_routes_are_taken_where_that_is_declared()
    {
        var resolver = Resolver(
        [
            new RouteConfig { Name = "a", Match = "requests_total", Aggregate = false, To = ["first"] },
            new RouteConfig { Name = "b", To = ["second"], KeepInput = true },
        ], all: true);
        var taken = resolver.Resolve(Matched.Labels.ToArray());
        Destinations(taken).ShouldBe([0, 1]);
        taken.Aggregates.Count.ShouldBe(1);
    }

    [Fact]
    public void Names_why_a_series_goes_nowhere()
    {
        Resolver([new RouteConfig { Match = "other" }]).Resolve(Matched.Labels.ToArray()).Fate
            .ShouldBe(SeriesFate.NoRoute);
        var drop = new RelabelConfig { Action = "drop", SourceLabels = ["pod"], Regex = "a" };
        Resolver([new RouteConfig()], drop).Resolve(Matched.Labels.ToArray()).Fate.ShouldBe(SeriesFate.Relabeled);
        Resolver([new RouteConfig { RelabelConfigs = [drop] }]).Resolve(Matched.Labels.ToArray()).Fate
            .ShouldBe(SeriesFate.Relabeled);
    }

    [Fact]
    public void Outputs_go_where_the_routes_of_the_rule_go()
    {
        Resolver(
        [
            new RouteConfig { Name = "a", Aggregate = false, To = ["first"] },
            new RouteConfig { Name = "b", AggregateRules = ["requests"], To = ["second"] },
        ]).DestinationsOf(0).ShouldBe([1]);
    }

    [Fact]
    public void The_same_series_gets_the_same_task_and_lane_in_every_process()
    {
        var first = Resolver([new RouteConfig { KeepInput = true }]).Resolve(Matched.Labels.ToArray());
        var second = Resolver([new RouteConfig { KeepInput = true }]).Resolve(Matched.Labels.ToArray());
        second.Aggregates[0].ShouldBe(first.Aggregates[0]);
        second.Forwards.Select(forward => forward.Lane).ShouldBe(first.Forwards.Select(forward => forward.Lane));
        // Pods of one group meet in one task.
        var pod = LabelSet.Of(("__name__", "requests_total"), ("pod", "b"));
        Resolver([new RouteConfig()]).Resolve(pod.Labels.ToArray()).Aggregates[0].Task
            .ShouldBe(first.Aggregates[0].Task);
    }

    private static int[] Destinations(ResolvedSeries resolved) =>
        [.. resolved.Forwards.Select(forward => forward.Lane / 4).Distinct().Order()];

    private static SeriesResolver Resolver(
        RouteConfig[] routes, RelabelConfig? global = null, bool all = false)
    {
        var destinations = routes.Any(route => route.To is not null)
            ? new[] { Destination("first"), Destination("second") } : [Destination("first")];
        var config = new MillraceConfig
        {
            Routes = routes,
            AllMatchingRoutes = all,
            RelabelConfigs = global is null ? [] : [global],
            Destinations = destinations,
            Aggregation = new AggregationConfig { Rules = [Rule] },
        };
        return new SeriesResolver(config, [new AggregationRule(Rule, 0)], destinations);
    }

    private static DestinationConfig Destination(string name) => new() { Name = name, Lanes = 4 };
}
