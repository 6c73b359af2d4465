using System.CommandLine;

namespace Millrace.Server.Commands;

/// <summary>
/// <c>millrace completion</c>: a script for the shell. It asks the executable itself for words by the
/// <c>[suggest:POSITION]</c> directive, so it never has to change with the commands.
/// </summary>
internal static class CompletionCommand
{
    private const string Bash = """
        # millrace: completion for bash. Load it with: source <(millrace completion bash)
        _millrace() {
          local IFS=$'\n'
          COMPREPLY=($(compgen -W "$(millrace "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" \
            -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _millrace millrace

        """;

    private const string Zsh = """
        #compdef millrace
        # millrace: completion for zsh. Load it with: source <(millrace completion zsh)
        _millrace() {
          local -a words_found
          words_found=("${(@f)$(millrace "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}")
          compadd -a words_found
          _files
        }
        compdef _millrace millrace

        """;

    private const string Fish = """
        # millrace: completion for fish. Load it with: millrace completion fish | source
        function __millrace
          millrace "[suggest:"(commandline -C)"]" (commandline -cp) 2>/dev/null
        end
        complete -c millrace -a '(__millrace)'

        """;

    public static Command Create()
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish." };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        var command = new Command("completion", "Print a completion script for a shell.") { shell };
        command.SetAction(parsed => parsed.InvocationConfiguration.Output.Write(parsed.GetValue(shell) switch
        {
            "zsh" => Zsh,
            "fish" => Fish,
            _ => Bash,
        }));
        return command;
    }
}
