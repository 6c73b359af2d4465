using System.IO;
using Millrace.TestKit.Processes;

namespace Millrace.TestKit.Conformance;

/// <summary>What vmagent makes of a file of rules when it starts.</summary>
public enum ValidationAnswer
{
    Accepted,
    Refused,

    /// <summary>A panic.</summary>
    Crashes,
}

/// <summary>A line of tests/cases/validation/rules.txt, where the form is described.</summary>
/// <param name="Reason">Why it is the other way round here; empty where it is not.</param>
public sealed record ValidationCase(int Line, ValidationAnswer Vmagent, string Reason, string RulesYaml)
{
    public bool IsAcceptedHere => Reason.Length > 0 == (Vmagent != ValidationAnswer.Accepted);

    public static IEnumerable<ValidationCase> ReadAll()
    {
        var path = Path.Combine(Peers.RepositoryRoot(), "tests", "cases", "validation", "rules.txt");
        var number = 0;
        foreach (var line in File.ReadLines(path))
        {
            number++;
            if (line.Length > 0 && line[0] != '#')
            {
                var bar = line.IndexOf(" |", StringComparison.Ordinal);
                var (answer, reason) = line[..bar].Split(" (", 2) is [var a, var r] ? (a, r) : (line[..bar], "");
                yield return new ValidationCase(
                    number, Enum.Parse<ValidationAnswer>(answer, ignoreCase: true), reason,
                    line[(bar + 2)..].Trim().Replace("\\n", "\n", StringComparison.Ordinal) + "\n");
            }
        }
    }
}
