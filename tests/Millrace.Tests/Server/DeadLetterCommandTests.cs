using System.IO;
using Millrace.Delivery;
using Millrace.Log;
using Millrace.Server.Commands;
using Millrace.TestKit;

namespace Millrace.Tests.Server;

public sealed class DeadLetterCommandTests : IDisposable
{
    private const long AtMs = 1_767_607_200_000; // 2026-01-05T10:00:00Z

    private readonly CommandRun _command = new();
    private readonly string _config;
    private readonly string _folder;

    public DeadLetterCommandTests()
    {
        _config = _command.File("gateway.yml", "");
        var path = Path.Combine(Path.GetDirectoryName(_config)!, "data");
        _folder = Path.Combine(path, "destinations", "first");
        _command.File("gateway.yml", $$"""
            server: {listen: '127.0.0.1:1'}
            log: {path: '{{path}}'}
            destinations:
            - name: first
              remote_write: {url: 'http://127.0.0.1:1/write'}
            - name: second
              remote_write: {url: 'http://127.0.0.1:1/write'}
            """);
    }

    [Fact]
    public async Task Lists_and_shows_what_waits()
    {
        using (var letters = Open())
        {
            Add(letters, "out of order sample", ("a", AtMs - 5_000, 1.5), ("a", AtMs - 4_000, 2), ("b", AtMs, 3));
            Add(letters, "invalid\nlabel", ("c", AtMs, double.NaN));
        }
        (await _command.RunAsync("deadletter", "list", "--config", _config)).ShouldBe(ExitCode.Ok);
        _command.Output.ShouldBe("""
            destination "first": 2 blocks wait, 4 samples, 102 bytes
              1  2026-01-05T10:00:00Z  status 400, out_of_order: 3 samples, 2026-01-05T09:59:55Z to 2026-01-05T10:00:00Z
                  out of order sample
              2  2026-01-05T10:00:00Z  status 400, out_of_order: 1 samples, 2026-01-05T10:00:00Z to 2026-01-05T10:00:00Z
                  invalid label
            destination "second": 0 blocks wait, 0 samples, 0 bytes

            """);
        var show = await _command.RunAsync(
            "deadletter", "show", "--config", _config, "--destination", "first", "--lsn", "1", "--limit", "1");
        show.ShouldBe(ExitCode.Ok);
        _command.Output.ShouldContain(
            "    a 1.5 @ 2026-01-05T09:59:55Z, 2 @ 2026-01-05T09:59:56Z\n    … 1 more series");
        _command.Output.ShouldNotContain("invalid label");
    }

    [Fact]
    public async Task Decides_in_the_folder_of_a_stopped_gateway()
    {
        using (var letters = Open())
        {
            Add(letters, "", ("a", AtMs, 1));
            Add(letters, "", ("b", AtMs, 1));
            Add(letters, "", ("c", AtMs, 1));
        }
        await _command.RunAsync("deadletter", "drop", "--config", _config, "--destination", "first", "--lsn", "2");
        _command.Output.ShouldBe("destination \"first\": 1 blocks with 1 samples dropped\n");
        await _command.RunAsync("deadletter", "replay", "--config", _config, "--all");
        _command.Output.ShouldBe("""
            destination "first": 2 blocks with 2 samples will be sent again with the next start of the gateway
            destination "second": no blocks wait

            """);
        await _command.RunAsync("deadletter", "list", "--config", _config, "--destination", "first");
        _command.Output.ShouldContain("2 of them to be sent again; before: 0 samples replayed, 1 dropped");
        using var opened = Open();
        opened.State.Wanted.ShouldBe(2);
    }

    [Fact]
    public async Task Says_what_is_wrong_with_the_command_line()
    {
        (await _command.RunAsync("deadletter", "drop", "--config", _config)).ShouldBe(ExitCode.Usage);
        _command.Error.ShouldContain("--lsn 7, --lsn 7-12, or --all");
        (await _command.RunAsync("deadletter", "drop", "--config", _config, "--lsn", "3")).ShouldBe(ExitCode.Usage);
        _command.Error.ShouldContain("--destination");
        (await _command.RunAsync("deadletter", "list", "--config", _config, "--lsn", "x")).ShouldBe(ExitCode.Usage);
        _command.Error.ShouldContain("\"x\" is no number");
        var unknown = await _command.RunAsync("deadletter", "list", "--config", _config, "--destination", "third");
        unknown.ShouldBe(ExitCode.Usage);
        _command.Error.ShouldContain("\"third\" is not in the configuration");
    }

    [Fact]
    public async Task Letters_that_are_locked_by_a_gateway_that_does_not_answer_are_left_alone()
    {
        using var letters = Open();
        Add(letters, "", ("a", AtMs, 1));
        var code = await _command.RunAsync("deadletter", "drop", "--config", _config, "--all");
        code.ShouldBe(ExitCode.Failure);
        _command.Error.ShouldContain("http://127.0.0.1:1 (server.listen) does not answer");
        letters.State.Letters.ShouldBe(1);
    }

    [Theory]
    [InlineData(":8480", "127.0.0.1:8480")]
    [InlineData("0.0.0.0:8480", "127.0.0.1:8480")]
    [InlineData("[::]:8480", "[::1]:8480")]
    [InlineData("10.0.0.5:8480", "10.0.0.5:8480")]
    [InlineData("localhost:8480", "localhost:8480")]
    public void A_listener_on_all_addresses_is_asked_on_this_machine(string listen, string address) =>
        LetterSettler.Address(listen).ShouldBe(address);

    public void Dispose() => _command.Dispose();

    private DeadLetters Open() => DeadLetters.OpenStopped(
        Path.Combine(_folder, DeadLetters.FolderName), new SystemDisk(), TimeProvider.System);

    private static void Add(DeadLetters letters, string text, params ReadOnlySpan<(string, long, double)> samples)
    {
        var block = SampleBlocks.Seal(Feed.Raw, 0, new LogPosition(1, 0), AtMs, samples);
        letters.TryAdd(block, Refusal.OutOfOrder, SendResult.Status(400, text), samples.Length, AtMs).ShouldBeTrue();
    }
}
