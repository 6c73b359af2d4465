using Millrace.Model;
using Millrace.Routing;

namespace Millrace.Tests.Routing;

public sealed class LaneKeyTests
{
    [Fact]
    public void The_lane_of_a_series_is_the_same_in_every_release()
    {
        LaneKey.StableLaneOf(Bucket("api:9090", "0.5"), 16).ShouldBe(5);
        LaneKey.StableLaneOf(Bucket("api:9091", "0.5"), 1_000_003).ShouldBe(998815);
        LaneKey.StableLaneOf(LabelSet.Of(("__name__", "up:sum"), ("job", "api")), 1_000_003).ShouldBe(937897);
    }

    [Fact]
    public void Series_that_a_target_exposes_under_one_name_share_a_lane()
    {
        LaneKey.StableLaneOf(Bucket("api:9090", "0.5"), 1_000_003)
            .ShouldBe(LaneKey.StableLaneOf(Bucket("api:9090", "+Inf"), 1_000_003));
    }

    [Fact]
    public void Series_without_an_instance_are_dealt_one_by_one()
    {
        var lanes = new HashSet<int>();
        for (var i = 0; i < 1000; i++)
        {
            lanes.Add(LaneKey.StableLaneOf(LabelSet.Of(("__name__", "up:sum"), ("zone", $"{i}")), 16));
        }
        lanes.Count.ShouldBe(16);
    }

    [Fact]
    public void Where_one_value_ends_and_the_next_begins_matters()
    {
        var one = LabelSet.Of(("__name__", "a"), ("job", "bc"), ("instance", "i"));
        var other = LabelSet.Of(("__name__", "ab"), ("job", "c"), ("instance", "i"));

        LaneKey.StableLaneOf(one, 1_000_003).ShouldNotBe(LaneKey.StableLaneOf(other, 1_000_003));
    }

    private static LabelSet Bucket(string instance, string le) =>
        LabelSet.Of(("__name__", "http_duration_bucket"), ("instance", instance), ("job", "api"), ("le", le));
}
