using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Membership;
using Millrace.TestKit;

namespace Millrace.Tests.Membership;

public class MembershipWatchTests
{
    private static readonly NodeSetConfig Config = new() { Kind = NodeSourceKind.Addresses, DnsName = "pods" };

    private readonly ManualTimeProvider _clock = new(DateTimeOffset.UnixEpoch);
    private readonly ScriptedSource _source = new();
    private readonly MembershipSource _membership = new(Config);
    private readonly List<string> _sets = [];

    [Fact]
    public async Task Each_change_is_told_once_and_in_order()
    {
        using var stop = new CancellationTokenSource();
        var running = Run(stop.Token);
        _sets.ShouldBeEmpty(); // the first answer is an error, repeated after a second
        _source.Names = ["a", "b"];
        _clock.Advance(TimeSpan.FromSeconds(1.2));
        _source.Names = ["a", "b", "c"];
        _clock.Advance(TimeSpan.FromSeconds(33));
        _source.Names = ["a", "c"];
        _clock.Advance(TimeSpan.FromSeconds(33)); // missed, 5 s later missed again
        _clock.Advance(TimeSpan.FromSeconds(6));
        _source.Names = null;
        _clock.Advance(TimeSpan.FromMinutes(10));
        _sets.ShouldBe(["1: a b", "2: a b c", "3: a c"]);
        await stop.CancelAsync();
        await running;
    }

    [Fact]
    public async Task An_answer_that_does_not_come_is_an_error_after_the_timeout()
    {
        _source.Names = ["a"];
        using var stop = new CancellationTokenSource();
        var running = Run(stop.Token);
        _source.IsSilent = true;
        _clock.Advance(TimeSpan.FromSeconds(33));
        _membership.Status.Errors.ShouldBe(0);
        _clock.Advance(TimeSpan.FromSeconds(5));
        _membership.Status.LastError.ShouldBe("no answer within 5 s");
        _membership.Status.LastLatencyMs.ShouldBe(5_000);
        _source.IsSilent = false;
        _clock.Advance(TimeSpan.FromSeconds(40));
        _membership.Status.LastError.ShouldBeNull();
        _sets.ShouldBe(["1: a"]);
        await stop.CancelAsync();
        await running;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_stop_ends_it_wherever_it_is(bool whileLooking)
    {
        _source.Names = ["a"];
        using var stop = new CancellationTokenSource();
        var running = Run(stop.Token);
        _source.IsSilent = whileLooking;
        _clock.Advance(TimeSpan.FromSeconds(34));
        running.IsCompleted.ShouldBeFalse();
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    private Task Run(CancellationToken stop) => new MembershipWatch(
        "storage", _membership, _source, Config, _clock, new Random(1),
        set => _sets.Add($"{set.Version}: {string.Join(' ', set.Nodes.Select(node => node.Name))}"),
        NullLogger.Instance).RunAsync(stop);

    private sealed class ScriptedSource : INodeSource
    {
        public string[]? Names { get; set; }

        public bool IsSilent { get; set; }

        public async Task<NodeLookup> LookAsync(CancellationToken stop)
        {
            if (IsSilent)
            {
                // Not Task.Delay: when it is cancelled, others go on on another thread.
                var never = new TaskCompletionSource();
                await using (stop.Register(() => never.TrySetCanceled(stop)))
                {
                    await never.Task;
                }
            }
            return Names is null ? NodeLookup.Failed("does not exist")
                : NodeLookup.Found([.. Names.Select(name => new Node(name, new Uri($"http://{name}/")))]);
        }
    }
}
