using Millrace.Membership;
using Millrace.TestKit;

namespace Millrace.Tests.Membership;

/// <summary>Against a name server on the loop-back.</summary>
public sealed class SrvClientTests : IAsyncDisposable
{
    private const string Name = "_http._tcp.nodes";
    private static readonly SrvRecord[] Two =
        [new(0, 50, 8480, "node-0.nodes.svc"), new(0, 50, 8480, "node-1.nodes.svc")];

    private readonly FakeDnsServer _server = new();

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData(DnsBehaviour.Answers, "udp")]
    [InlineData(DnsBehaviour.ForgesFirst, "udp")]
    [InlineData(DnsBehaviour.Truncates, "udp tcp")]
    public async Task Records_are_found(object behaviour, string ways)
    {
        _server.Behaviour = (DnsBehaviour)behaviour;
        _server.Records[Name] = Two;
        var answer = await Client().AskAsync(Name, TestContext.Current.CancellationToken);
        (answer.Error, answer.IsNone).ShouldBe((null, false));
        answer.Found.ShouldBe(Two);
        string.Join(' ', _server.Asked).ShouldBe(string.Join(' ', ways.Split(' ').Select(way => $"{way} {Name}")));
    }

    [Fact]
    public async Task A_thousand_records_come_over_tcp()
    {
        _server.Behaviour = DnsBehaviour.Truncates;
        _server.Records[Name] = [.. Enumerable.Range(0, 1_000).Select(i => new SrvRecord(1, 2, i, $"node-{i}.nodes"))];
        (await Client().AskAsync(Name, TestContext.Current.CancellationToken)).Found.ShouldBe(_server.Records[Name]);
    }

    [Fact]
    public async Task A_name_that_does_not_exist_is_certain()
    {
        var answer = await Client().AskAsync(Name, TestContext.Current.CancellationToken);
        answer.Found.ShouldBeEmpty();
        answer.IsNone.ShouldBeTrue();
        answer.Error.ShouldBe($"\"{Name}\" does not exist");
    }

    [Theory]
    [InlineData(DnsBehaviour.ServerFailure, "refuses to answer")]
    [InlineData(DnsBehaviour.Garbage, "gave an unreadable answer")]
    public async Task A_server_that_fails_is_asked_twice(object behaviour, string error)
    {
        _server.Behaviour = (DnsBehaviour)behaviour;
        var answer = await Client().AskAsync(Name, TestContext.Current.CancellationToken);
        answer.IsNone.ShouldBeFalse();
        answer.Error.ShouldNotBeNull().ShouldContain(error);
        _server.Asked.Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_silent_server_is_given_up_and_the_next_one_asked()
    {
        await using var second = new FakeDnsServer();
        second.Records[Name] = Two;
        _server.Behaviour = DnsBehaviour.Silent;
        var clock = new ManualTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _server.WasAsked = () => asked.TrySetResult();
        var client = new SrvClient(() => new ResolverConfig([_server.Address, second.Address], [], 1), clock);

        var answer = client.AskAsync(Name, TestContext.Current.CancellationToken);
        await asked.Task;
        second.Asked.ShouldBeEmpty();
        clock.Advance(TimeSpan.FromMilliseconds(1_500));
        (await answer).Found.ShouldBe(Two);
    }

    [Fact]
    public async Task A_port_where_nobody_listens_is_an_error()
    {
        var address = _server.Address;
        await _server.DisposeAsync();
        var client = new SrvClient(() => new ResolverConfig([address], [], 1), TimeProvider.System);
        var answer = await client.AskAsync(Name, TestContext.Current.CancellationToken);
        answer.IsNone.ShouldBeFalse();
        answer.Error.ShouldNotBeNull().ShouldContain("cannot be asked");
    }

    [Fact]
    public async Task A_short_name_is_looked_for_in_the_search_domains()
    {
        _server.Records[$"{Name}.monitoring.svc.cluster.local"] = Two;
        var client = new SrvClient(
            () => new ResolverConfig([_server.Address], ["default.svc", "monitoring.svc.cluster.local"], 5),
            TimeProvider.System);
        (await client.AskAsync(Name, TestContext.Current.CancellationToken)).Found.ShouldBe(Two);
        _server.Asked.ShouldBe([$"udp {Name}.default.svc", $"udp {Name}.monitoring.svc.cluster.local"]);
    }

    [Fact]
    public async Task Giving_up_is_the_callers()
    {
        _server.Behaviour = DnsBehaviour.Silent;
        using var stop = new CancellationTokenSource();
        _server.WasAsked = stop.Cancel;
        await Should.ThrowAsync<OperationCanceledException>(Client().AskAsync(Name, stop.Token));
    }

    private SrvClient Client() =>
        new(() => new ResolverConfig([_server.Address], [], 1), TimeProvider.System);
}
