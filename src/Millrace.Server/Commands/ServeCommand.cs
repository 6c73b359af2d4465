using System.CommandLine;
using System.IO;
using System.Reflection;
using Millrace.Configuration;

namespace Millrace.Server.Commands;

/// <summary><c>millrace serve</c>: the gateway itself.</summary>
internal static class ServeCommand
{
    /// <summary>Name under which problems of the built-in configuration would be reported.</summary>
    private const string DefaultName = "default-config.yml";

    /// <summary>Runs the gateway until the token is cancelled; the result is the exit code.</summary>
    public delegate Task<int> Run(
        MillraceConfig config, Func<ConfigLoadResult> reload, bool demo, CancellationToken cancellationToken);

    public static Command Create(Run run)
    {
        var configFile = new Option<string?>("--config")
        {
            Description = "The configuration file. Without it: the built-in default on 127.0.0.1:8480.",
            HelpName = "FILE",
        };
        var demo = new Option<bool>("--demo") { Description = "Feed the gateway with made-up series." };
        var command = new Command("serve", "Run the gateway.") { configFile, demo };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var error = parsed.InvocationConfiguration.Error;
            var file = parsed.GetValue(configFile);
            ConfigLoadResult Load() => file is null ? LoadDefault() : ConfigLoader.LoadFile(file);
            var loaded = Load();
            CommandLineRoot.WriteProblems(loaded.Problems, error);
            return loaded.Config is { } config
                ? await run(config, Load, parsed.GetValue(demo), cancellationToken)
                : ExitCode.Usage;
        });
        return command;
    }

    /// <summary>The text of the built-in configuration, which needs no file beside it.</summary>
    public static string DefaultText()
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(DefaultName)
            ?? throw new InvalidOperationException($"The resource {DefaultName} is missing from the executable.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    private static ConfigLoadResult LoadDefault() =>
        ConfigLoader.Load(DefaultName, Environment.GetEnvironmentVariable,
            file => file == DefaultName ? DefaultText() : null);
}
