namespace Millrace.Model;

/// <summary>
/// One thing that is wrong in a configuration: where (file, 1-based line, path such as <c>routes[0].match</c>), and
/// what is wrong with which value and what to do about it.
/// </summary>
public sealed record ConfigProblem(string File, int Line, string Path, string Message)
{
    public override string ToString() => $"{File}:{Line}: {Path}: {Message}";
}
