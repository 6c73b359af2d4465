namespace Millrace.Model.Re2;

/// <summary>
/// Matches by walking the text once with all possibilities in parallel, ordered by priority (Pike's machine). Slower
/// than <see cref="BacktrackMatcher"/> per step, but its memory does not grow with the text.
/// </summary>
internal sealed class ParallelMatcher
{
    private readonly RegexProgram _program;
    private readonly int _slots;
    private readonly int[] _working;
    private readonly Stack<Job> _jobs = new();
    private Threads _current;
    private Threads _next;

    private ParallelMatcher(RegexProgram program, int slots)
    {
        _program = program;
        _slots = slots;
        _working = new int[slots];
        _current = new Threads(program.Instructions.Length, slots);
        _next = new Threads(program.Instructions.Length, slots);
    }

    /// <summary>Go on at an instruction, or, if that is negative, restore a capture slot.</summary>
    private readonly record struct Job(int Instruction, int Old);

    /// <summary>As <see cref="BacktrackMatcher.TryMatch"/>.</summary>
    public static bool TryMatch(RegexProgram program, ReadOnlySpan<char> text, int from, bool whole,
        Span<int> captures) => new ParallelMatcher(program, captures.Length).Run(text, from, whole, captures);

    private bool Run(ReadOnlySpan<char> text, int from, bool whole, Span<int> captures)
    {
        var matched = false;
        var position = from;
        while (true)
        {
            if (!matched && (position == from || !whole))
            {
                // A start further right comes after every thread that began further left.
                _working.AsSpan().Fill(-1);
                if (_slots > 0)
                {
                    _working[0] = position;
                }
                Add(_current, _program.Start, text, position);
            }
            if (_current.Count == 0 && (matched || whole))
            {
                break;
            }
            var codePoint = RegexProgram.CodePointAt(text, position, out var width);
            for (var i = 0; i < _current.Count; i++)
            {
                ref readonly var instruction = ref _program.Instructions[_current.InstructionAt(i)];
                if (instruction.Operation == RegexOperation.Match)
                {
                    if (whole && position != text.Length)
                    {
                        continue;
                    }
                    matched = true;
                    if (_slots == 0)
                    {
                        return true;
                    }
                    _current.SlotsAt(i).CopyTo(captures);
                    captures[1] = position;
                    break; // the threads behind have lower priority
                }
                if (_program.Takes(instruction, codePoint))
                {
                    _current.SlotsAt(i).CopyTo(_working);
                    Add(_next, instruction.Next, text, position + width);
                }
            }
            (_current, _next) = (_next, _current);
            _next.Clear();
            if (position >= text.Length)
            {
                break;
            }
            position += width;
        }
        return matched;
    }

    /// <summary>Adds the instruction, or what it leads to without reading a character, in order of priority.</summary>
    private void Add(Threads threads, int start, ReadOnlySpan<char> text, int position)
    {
        _jobs.Push(new Job(start, 0));
        while (_jobs.TryPop(out var job))
        {
            if (job.Instruction < 0)
            {
                _working[~job.Instruction] = job.Old;
                continue;
            }
            var index = job.Instruction;
            while (threads.TryVisit(index))
            {
                ref readonly var instruction = ref _program.Instructions[index];
                if (instruction.Operation is <= RegexOperation.AnyButNewline or RegexOperation.Match)
                {
                    threads.Add(index, _working);
                    break;
                }
                if (instruction.Operation == RegexOperation.Split)
                {
                    _jobs.Push(new Job(instruction.Argument, 0));
                }
                else if (instruction.Operation == RegexOperation.Capture)
                {
                    if (instruction.Argument < _slots)
                    {
                        _jobs.Push(new Job(~instruction.Argument, _working[instruction.Argument]));
                        _working[instruction.Argument] = position;
                    }
                }
                else if (!RegexProgram.Holds(instruction.Operation, text, position))
                {
                    break;
                }
                index = instruction.Next;
            }
        }
    }

    /// <summary>The possibilities at one position, in order of priority, each with its captures.</summary>
    private sealed class Threads(int instructions, int slots)
    {
        private readonly int[] _visitedIn = new int[instructions];
        private readonly List<int> _order = [];
        private readonly List<int> _slotValues = [];
        private int _generation = 1;

        public int Count => _order.Count;

        public int InstructionAt(int index) => _order[index];

        public ReadOnlySpan<int> SlotsAt(int index) =>
            System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_slotValues).Slice(index * slots, slots);

        public bool TryVisit(int instruction)
        {
            if (_visitedIn[instruction] == _generation)
            {
                return false;
            }
            _visitedIn[instruction] = _generation;
            return true;
        }

        public void Add(int instruction, ReadOnlySpan<int> values)
        {
            _order.Add(instruction);
            _slotValues.AddRange(values);
        }

        public void Clear()
        {
            _generation++;
            _order.Clear();
            _slotValues.Clear();
        }
    }
}
