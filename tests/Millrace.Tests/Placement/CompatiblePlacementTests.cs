using System.Text;
using Millrace.Model;
using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class CompatiblePlacementTests
{
    private static readonly string[] Letters = ["http://a:8428/api/v1/write", "http://b:8428/api/v1/write",
        "http://c:8428/api/v1/write"];

    /// <summary>Seen on a live vmagent.</summary>
    [Theory]
    [InlineData("__name__=m,a=1", 0xd0828db0189b2388, 0)]
    [InlineData("__name__=m,a=2", 0x2fa5a3be7543c4f8, 1)]
    [InlineData("a=1,__name__=m", 0xb8c3e83781b138e9, 1)]
    [InlineData("", 0xef46db3751d8e999, 0)]
    public void Vmagents_key_and_choice_are_those_of_vmagent(string labels, ulong key, int url)
    {
        var placement = new VmAgentPlacement(new VmAgentPlacementConfig { Urls = Letters });
        Label[] parsed = [.. labels.Split(',', StringSplitOptions.RemoveEmptyEntries)
            .Select(static part => new Label(part.Split('=')[0], part.Split('=')[1]))];
        var chosen = new int[1];
        placement.Place(parsed, chosen);

        placement.StableKeyOf(parsed).ShouldBe(key);
        chosen[0].ShouldBe(url);
    }

    [Fact]
    public void Vmagents_lists_choose_the_labels_that_count()
    {
        var series = LabelSet.Of(("__name__", "m"), ("job", "j"), ("pod", "p"));
        ulong Key(VmAgentPlacementConfig config) =>
            new VmAgentPlacement(config with { Urls = Letters }).StableKeyOf(series.Labels);
        ulong Hash(string text) => StableHash.Hash64(Encoding.UTF8.GetBytes(text));

        Key(new()).ShouldBe(Hash("__name__mjobjpodp"));
        Key(new() { Labels = ["pod", "__name__"] }).ShouldBe(Hash("__name__mpodp"));
        Key(new() { IgnoreLabels = ["pod"] }).ShouldBe(Hash("__name__mjobj"));
        Key(new() { Labels = ["nobody_has_it"] }).ShouldBe(0xef46db3751d8e999);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void Vmagents_replicas_are_the_urls_that_follow(int replicas)
    {
        var placement = new VmAgentPlacement(new VmAgentPlacementConfig { Urls = Letters, Replicas = replicas });
        var one = new VmAgentPlacement(new VmAgentPlacementConfig { Urls = Letters });
        placement.Replicas.ShouldBe(Math.Min(replicas, 3));
        for (var i = 0; i < 100; i++)
        {
            var series = LabelSet.Of(("__name__", $"m{i}"));
            var (urls, first) = (new int[placement.Replicas], new int[1]);
            placement.Place(series, urls);
            one.Place(series, first);

            urls.ShouldBe([.. Enumerable.Range(first[0], placement.Replicas).Select(static url => url % 3)]);
        }
    }

    [Fact]
    public void Vmagents_two_lists_exclude_each_other() => Should.Throw<ArgumentException>(() => new VmAgentPlacement(
        new VmAgentPlacementConfig { Urls = Letters, Labels = ["a"], IgnoreLabels = ["b"] }));

    /// <summary>Computed by hand from the formula, with another implementation of FNV-1a.</summary>
    [Theory]
    [InlineData("__name__=up,job=node", 100, 3, "", 12, 1)]
    [InlineData("__name__=up,job=node,instance=a:1", 128, 4, "", 119, 3)]
    [InlineData("__name__=up,job=node,instance=a:1", 128, 4, "stream_task_id", 119, 2)]
    [InlineData("__name__=up,job=node,instance=a:1", 128, 4, "job,__name__", 119, 0)]
    [InlineData("__name__=up,job=node,instance=a:1", 128, 4, "zone", 119, 1)]
    [InlineData("__name__=up,job=node", 0, 3, "", 0, 1)]
    [InlineData("__name__=häuser,ort=Köln", 1000, 7, "ort", 881, 0)]
    public void The_placement_of_stream_metrics_route_follows_its_formula(
        string labels, int tasks, int nodes, string listed, int task, int node)
    {
        var placement = new StreamMetricsRoutePlacement(tasks, nodes, Split(listed));

        placement.Place(Parse(labels)).ShouldBe((task, node));
    }

    [Fact]
    public void The_placement_of_stream_metrics_route_equals_a_naive_one()
    {
        var random = new Random(4);
        string[] names = ["__name__", "job", "instance", "pod", "Zone", "stream_task_id", "straße"];
        for (var round = 0; round < 3000; round++)
        {
            var labels = names.Where(_ => random.Next(3) > 0)
                .Select(name => (name, $"{(char)('a' + random.Next(26))}{random.Next(1000)}"))
                .Append(("always", $"{random.Next(50)}")).ToArray();
            string[] listed = [.. names.Where(_ => random.Next(4) == 0)];
            var (tasks, nodes) = (random.Next(0, 200), random.Next(2, 9));
            var jumps = random.Next(2) == 0;

            new StreamMetricsRoutePlacement(tasks, nodes, listed, jumps).Place(LabelSet.Of(labels))
                .ShouldBe(NaivePlacement(labels, tasks, nodes, listed, jumps));
        }
    }

    [Fact]
    public void With_one_node_stream_metrics_route_writes_no_label()
    {
        new StreamMetricsRoutePlacement(100, 1, []).WritesTask.ShouldBeFalse();
        new StreamMetricsRoutePlacement(100, 2, []).WritesTask.ShouldBeTrue();
        new StreamMetricsRoutePlacement(100, 1, ["job"]).Place(Parse("__name__=up,job=node")).Node.ShouldBe(0);
    }

    [Fact]
    public void Jump_is_the_published_function()
    {
        // Lamping and Veach's code, run elsewhere.
        StableJump.Bucket(0, 1).ShouldBe(0);
        StableJump.Bucket(1, 10).ShouldBe(6);
        StableJump.Bucket(42, 57).ShouldBe(43);
        StableJump.Bucket(0xDEAD10CC, 666).ShouldBe(361);
        StableJump.Bucket(256, 1024).ShouldBe(520);
        StableJump.Bucket(ulong.MaxValue, 1000).ShouldBe(313);
    }

    /// <summary>Written from the formula alone: text in, text out.</summary>
    private static (int Task, int Node) NaivePlacement(
        (string Name, string Value)[] labels, int tasks, int nodes, string[] listed, bool jumps)
    {
        var hash = NaiveHash(labels);
        var task = NaiveChoice(hash, tasks, jumps);
        if (listed.Length == 0)
        {
            return (task, NaiveChoice(hash, nodes, jumps));
        }
        (string Name, string Value)[] withId = [.. labels, ("stream_task_id", $"{task}")];
        var chosen = from name in listed from label in withId where label.Name == name select label;
        return (task, NaiveChoice(NaiveHash([.. chosen]), nodes, jumps));
    }

    private static uint NaiveHash((string Name, string Value)[] labels)
    {
        var texts = labels.SelectMany(static label => (byte[][])[
            Encoding.UTF8.GetBytes(label.Name), Encoding.UTF8.GetBytes(label.Value)]).ToList();
        texts.Sort(static (a, b) => a.AsSpan().SequenceCompareTo(b));
        var hash = 2166136261L;
        foreach (var octet in texts.SelectMany(static text => text))
        {
            hash = (hash ^ octet) * 16777619 % 4294967296;
        }
        return (uint)hash;
    }

    private static int NaiveChoice(uint hash, int count, bool jumps)
    {
        if (count <= 1)
        {
            return 0;
        }
        if (!jumps)
        {
            return (int)(hash % (long)count);
        }
        var (bucket, next, key) = (-1L, 0L, new System.Numerics.BigInteger(hash));
        while (next < count)
        {
            bucket = next;
            key = (key * 2862933555777941757 + 1) % (System.Numerics.BigInteger.One << 64);
            next = (long)((bucket + 1) * (2147483648.0 / (double)((key >> 33) + 1)));
        }
        return (int)bucket;
    }

    private static LabelSet Parse(string labels) => LabelSet.From(
        labels.Split(',').Select(static part => new Label(part.Split('=')[0], part.Split('=')[1])));

    private static string[] Split(string listed) => listed.Split(',', StringSplitOptions.RemoveEmptyEntries);
}
