namespace Millrace.Model.Re2;

/// <summary>
/// Matches by backtracking, but visits each pair of instruction and position only once, so the time is bounded by
/// their product (the "bit-state" matcher of RE2). Fastest where that product is small; <see cref="ParallelMatcher"/>
/// takes over where it is not. One instance per thread, for its memory.
/// </summary>
internal sealed class BacktrackMatcher
{
    /// <summary>Pairs of instruction and position, 32 KiB of bits: what RE2 uses too.</summary>
    private const int MaxPairs = 256 * 1024;

    private const int MaxKeptJobs = 4096;

    [ThreadStatic]
    private static BacktrackMatcher? _ofThread;

    private readonly ulong[] _visited = new ulong[MaxPairs / 64];
    private Job[] _jobs = new Job[64];
    private int _jobCount;

    /// <summary>Go on at an instruction, or, if that is negative, restore a capture slot.</summary>
    private readonly record struct Job(int Instruction, int Position);

    public static BacktrackMatcher OfThread => _ofThread ??= new BacktrackMatcher();

    public static bool Fits(RegexProgram program, ReadOnlySpan<char> text) =>
        (long)program.Instructions.Length * (text.Length + 1) <= MaxPairs;

    /// <summary>
    /// Finds the first match at or after <paramref name="from"/>; whole: only one that spans the text. Without room
    /// for captures it only answers whether there is one.
    /// </summary>
    public bool TryMatch(RegexProgram program, ReadOnlySpan<char> text, int from, bool whole, Span<int> captures)
    {
        var pairs = program.Instructions.Length * (text.Length + 1);
        _visited.AsSpan(0, (pairs + 63) / 64).Clear();
        for (var start = from; start <= text.Length; start++)
        {
            captures.Fill(-1);
            if (TryMatchAt(program, text, start, whole, captures))
            {
                return true;
            }
            if (whole)
            {
                break;
            }
            if (start + 1 < text.Length && char.IsSurrogatePair(text[start], text[start + 1]))
            {
                start++;
            }
        }
        return false;
    }

    private bool TryMatchAt(RegexProgram program, ReadOnlySpan<char> text, int start, bool whole, Span<int> captures)
    {
        _jobCount = 0;
        Push(program.Start, start);
        var matched = false;
        while (_jobCount > 0 && !matched)
        {
            var job = _jobs[--_jobCount];
            if (job.Instruction < 0)
            {
                captures[~job.Instruction] = job.Position;
            }
            else
            {
                matched = Follow(program, text, job, whole, start, captures);
            }
        }
        if (_jobs.Length > MaxKeptJobs)
        {
            _jobs = new Job[64];
        }
        return matched;
    }

    private bool Follow(RegexProgram program, ReadOnlySpan<char> text, Job job, bool whole, int start,
        Span<int> captures)
    {
        var (index, position) = job;
        while (Visit(index, position, text.Length))
        {
            ref readonly var instruction = ref program.Instructions[index];
            switch (instruction.Operation)
            {
                case RegexOperation.Split:
                    Push(instruction.Argument, position);
                    break;
                case RegexOperation.Capture:
                    if (instruction.Argument < captures.Length)
                    {
                        Push(~instruction.Argument, captures[instruction.Argument]);
                        captures[instruction.Argument] = position;
                    }
                    break;
                case RegexOperation.Match:
                    if (whole && position != text.Length)
                    {
                        return false;
                    }
                    if (captures.Length >= 2)
                    {
                        captures[0] = start;
                        captures[1] = position;
                    }
                    return true;
                case <= RegexOperation.AnyButNewline:
                    if (!program.Takes(instruction, RegexProgram.CodePointAt(text, position, out var width)))
                    {
                        return false;
                    }
                    position += width;
                    break;
                default:
                    if (!RegexProgram.Holds(instruction.Operation, text, position))
                    {
                        return false;
                    }
                    break;
            }
            index = instruction.Next;
        }
        return false;
    }

    private bool Visit(int instruction, int position, int length)
    {
        var pair = instruction * (length + 1) + position;
        var bit = 1UL << (pair & 63);
        ref var word = ref _visited[pair >> 6];
        if ((word & bit) != 0)
        {
            return false;
        }
        word |= bit;
        return true;
    }

    private void Push(int instruction, int position)
    {
        if (_jobCount == _jobs.Length)
        {
            Array.Resize(ref _jobs, _jobCount * 2);
        }
        _jobs[_jobCount++] = new Job(instruction, position);
    }
}
