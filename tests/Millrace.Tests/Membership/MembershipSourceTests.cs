using FsCheck;
using FsCheck.Fluent;
using Millrace.Membership;

namespace Millrace.Tests.Membership;

/// <summary>Scripts of answers on a clock of their own; times are in seconds.</summary>
public class MembershipSourceTests
{
    private static readonly NodeSetConfig Dns = new() { Kind = NodeSourceKind.Addresses, DnsName = "pods" };

    private readonly MembershipSource _source = new(Dns);

    [Fact]
    public void A_list_is_there_from_the_start()
    {
        var source = new MembershipSource(new NodeSetConfig { Nodes = Nodes("b", "a") });
        source.Current.Version.ShouldBe(1);
        Names(source.Current).ShouldBe("b a"); // as written: some placements go by the order
        source.Status.Nodes.ShouldBe(2);
    }

    [Fact]
    public void The_first_answer_is_the_first_set_in_the_order_of_the_names()
    {
        _source.Current.ShouldBe(NodeSet.Empty);
        var first = Found(_source, 0, "c", "a", "b");
        Names(first).ShouldBe("a b c");
        first!.Version.ShouldBe(1);
        Found(_source, 30, "b", "c", "a").ShouldBeNull(); // DNS shuffles
    }

    [Theory]
    [InlineData("\"pods\" does not exist")]
    [InlineData("no answer within 5 s")]
    [InlineData(null)]
    public void Without_an_answer_the_last_set_stays(string? error)
    {
        Found(_source, 0, "a", "b");
        for (var at = 30; at < 10_000; at += 30)
        {
            Nothing(_source, at, error).ShouldBeNull();
        }
        Names(_source.Current).ShouldBe("a b");
        _source.Status.LastError.ShouldBe(error ?? "the answer is empty");
    }

    [Theory]
    [InlineData("\"pods\" does not exist")]
    [InlineData("no answer within 5 s")]
    [InlineData(null)]
    public void At_the_start_the_fallback_stands_in_and_never_again(string? error)
    {
        var source = new MembershipSource(Dns with { Fallback = new Uri("http://spare/api/v1/write") });
        var set = Nothing(source, 0, error);
        set.ShouldNotBeNull().IsFallback.ShouldBeTrue();
        set.Nodes.ShouldBe([new Node("fallback", new Uri("http://spare/api/v1/write"))]);
        Nothing(source, 1, error).ShouldBeNull();

        var found = Found(source, 3, "a");
        (Names(found), found!.Version, found.IsFallback).ShouldBe(("a", 2, false));
        Nothing(source, 30, error).ShouldBeNull();
        Nothing(source, 60, error).ShouldBeNull();
        Names(source.Current).ShouldBe("a");
    }

    [Fact]
    public void Without_a_fallback_nobody_is_there_until_an_answer_comes()
    {
        Nothing(_source, 0, "refused").ShouldBeNull();
        _source.Current.Nodes.ShouldBeEmpty();
        Names(Found(_source, 1, "a")).ShouldBe("a");
    }

    [Fact]
    public void A_new_node_is_there_at_once()
    {
        Found(_source, 0, "a", "c");
        Names(Found(_source, 30, "a", "b", "c")).ShouldBe("a b c");
    }

    [Fact]
    public void A_missing_node_goes_with_the_second_answer_after_the_debounce()
    {
        Found(_source, 0, "a", "b");
        Found(_source, 30, "a").ShouldBeNull();
        _source.WaitBeforeNextLook(30_000).ShouldBe(TimeSpan.FromSeconds(5));
        _source.Status.Unconfirmed.ShouldBe(1);
        Found(_source, 34.999, "a").ShouldBeNull();
        Names(Found(_source, 35, "a")).ShouldBe("a");
        _source.Status.Unconfirmed.ShouldBe(0);
        _source.WaitBeforeNextLook(35_000).ShouldBe(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void One_answer_is_not_enough_however_late_it_is()
    {
        Found(_source, 0, "a", "b");
        Found(_source, 500, "a").ShouldBeNull();
        Found(_source, 1_000, "a", "b").ShouldBeNull();
        Names(_source.Current).ShouldBe("a b");
    }

    [Fact]
    public void Errors_neither_confirm_that_a_node_is_missing_nor_contradict_it()
    {
        Found(_source, 0, "a", "b");
        Found(_source, 30, "a").ShouldBeNull();
        Nothing(_source, 36, "timeout").ShouldBeNull();
        Nothing(_source, 40, null).ShouldBeNull();
        Names(Found(_source, 41, "a")).ShouldBe("a");
    }

    [Fact]
    public void A_node_that_comes_and_goes_is_one_change()
    {
        Found(_source, 0, "a", "b");
        var changes = 0;
        for (var look = 1; look <= 1_000; look++)
        {
            changes += Found(_source, look * 5, look % 2 == 1 ? ["a", "b", "c"] : ["a", "b"]) is null ? 0 : 1;
        }
        changes.ShouldBe(1);
        Names(_source.Current).ShouldBe("a b c");
        _source.Status.Changes.ShouldBe(2);
    }

    [Fact]
    public void A_node_that_comes_and_goes_does_not_hold_up_the_others()
    {
        Found(_source, 0, "a", "b", "flaps");
        Found(_source, 30, "a").ShouldBeNull();
        Names(Found(_source, 35, "a", "flaps")).ShouldBe("a flaps");
        Names(Found(_source, 40, "a", "d")).ShouldBe("a d flaps");
    }

    [Fact]
    public void Another_address_behind_a_name_is_taken_when_it_is_seen_twice()
    {
        var moved = new Node("b", new Uri("http://b:9999/api/v1/write"));
        Found(_source, 0, "a", "b");
        Observe(_source, 30, NodeLookup.Found([.. Nodes("a"), moved])).ShouldBeNull();
        var set = Observe(_source, 36, NodeLookup.Found([.. Nodes("a"), moved]));
        set.ShouldNotBeNull().Nodes.ShouldBe([.. Nodes("a"), moved]);
        set.Version.ShouldBe(2);
    }

    [Fact]
    public void Addresses_that_alternate_change_nothing()
    {
        var other = new Node("b", new Uri("http://b:9999/api/v1/write"));
        Found(_source, 0, "a", "b");
        for (var look = 1; look < 100; look++)
        {
            Observe(_source, look * 30, NodeLookup.Found([.. Nodes("a"), look % 2 == 0 ? Nodes("b")[0] : other]))
                .ShouldBeNull();
        }
    }

    [Fact]
    public void A_file_counts_as_it_stands_and_keeps_its_order()
    {
        var source = new MembershipSource(new NodeSetConfig { Kind = NodeSourceKind.File, Debounce = TimeSpan.Zero });
        Names(Found(source, 0, "c", "a", "b")).ShouldBe("c a b");
        Names(Found(source, 2, "b", "c")).ShouldBe("b c");
        Found(source, 4, "b", "c").ShouldBeNull();
        Names(Found(source, 6, "c", "b")).ShouldBe("c b");
        Nothing(source, 8, null).ShouldBeNull(); // emptied by mistake
        source.Current.Version.ShouldBe(3);
    }

    [Fact]
    public void More_nodes_than_a_fleet_has_are_an_error()
    {
        Found(_source, 0, "a");
        Found(_source, 30, [.. Enumerable.Range(0, NodeSet.MaxNodes + 1).Select(i => $"n{i}")]).ShouldBeNull();
        _source.Status.Errors.ShouldBe(1);
        _source.Status.LastError.ShouldNotBeNull().ShouldContain("1025 nodes");
        Names(_source.Current).ShouldBe("a");
    }

    [Fact]
    public void New_names_in_each_answer_do_not_pile_up()
    {
        for (var look = 0; look < 20; look++)
        {
            Found(_source, look, [.. Enumerable.Range(0, 500).Select(i => $"n{look}-{i}")]);
            _source.Current.Nodes.Count.ShouldBeInRange(500, NodeSet.MaxNodes);
        }
    }

    [Fact]
    public void Failed_looks_are_repeated_sooner()
    {
        var waits = new List<double>();
        for (var i = 0; i < 7; i++)
        {
            Nothing(_source, i, "refused");
            waits.Add(_source.WaitBeforeNextLook(i).TotalSeconds);
        }
        waits.ShouldBe([1, 2, 4, 8, 16, 30, 30]);
        Found(_source, 10, "a");
        _source.WaitBeforeNextLook(10).ShouldBe(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void The_status_counts_what_happened()
    {
        _source.Observe(NodeLookup.Failed("refused"), 7, 1_000);
        _source.Observe(NodeLookup.Found([]), 1, 2_000);
        _source.Observe(NodeLookup.Found(Nodes("a", "b")), 5, 3_000);
        _source.Observe(NodeLookup.Found(Nodes("a", "b")), 3, 4_000);
        _source.Status.ShouldBe(new MembershipStatus
        {
            Looks = 4,
            Errors = 1,
            EmptyAnswers = 1,
            LastLatencyMs = 3,
            LatencySumMs = 16,
            Changes = 1,
            Nodes = 2,
            LastFoundAtMs = 4_000,
            LastChangeAtMs = 3_000,
        });
    }

    [Fact]
    public void Whatever_the_answers_each_set_follows_from_the_last_few()
    {
        var answers = Gen.OneOf(
            Gen.Constant<string[]?>(null),
            Gen.SubListOf("a", "b", "c", "d").Select(names => (string[]?)[.. names])).ListOf();
        Prop.ForAll(answers.ToArbitrary(), script =>
        {
            var source = new MembershipSource(Dns);
            var good = new List<string[]>();
            var at = 0;
            foreach (var names in script)
            {
                var before = source.Current;
                at += 30;
                var lookup = names is null ? NodeLookup.Failed("x") : NodeLookup.Found(Nodes(names));
                var changed = Observe(source, at, lookup);
                (changed?.Version ?? before.Version).ShouldBe(before.Version + (changed is null ? 0 : 1));
                source.Current.ShouldBe(changed ?? before);
                if (names is { Length: > 0 })
                {
                    good.Add(names);
                }
                // 30 s apart, so two good answers settle it.
                var last = good.LastOrDefault() ?? [];
                var kept = good.Count < 2 ? [] : good[^2];
                Names(source.Current).ShouldBe(string.Join(' ', last.Union(kept).Order(StringComparer.Ordinal)));
            }
        }).QuickCheckThrowOnFailure();
    }

    private static List<Node> Nodes(params IEnumerable<string> names) =>
        [.. names.Select(static name => new Node(name, new Uri($"http://{name}:8480/api/v1/write")))];

    private static NodeSet? Found(MembershipSource source, double atSeconds, params string[] names) =>
        Observe(source, atSeconds, NodeLookup.Found(Nodes(names)));

    private static NodeSet? Nothing(MembershipSource source, double atSeconds, string? error) =>
        Observe(source, atSeconds, new NodeLookup([], error));

    private static NodeSet? Observe(MembershipSource source, double atSeconds, NodeLookup lookup) =>
        source.Observe(lookup, 1, (long)(atSeconds * 1_000));

    private static string Names(NodeSet? set) => string.Join(' ', set.ShouldNotBeNull().Nodes.Select(n => n.Name));
}
