namespace Millrace.Aggregation.Outputs;

/// <summary>
/// Samples on their way to outputs whose state per group is large, and does not show the order of samples: they wait
/// until every group has some, and go group by group. Otherwise nearly every sample would be a walk through memory that
/// no cache of the processor holds. Twelve bytes a sample.
/// </summary>
internal sealed class GroupedSamples(OutputWindow[] outputs)
{
    private const int SamplesPerGroup = 8;
    private const int MinCapacity = 64;

    /// <summary>Beyond, the samples themselves are too many for the processor's nearest cache.</summary>
    private const int MaxCapacity = 4096;

    private int[] _latest = [];   // by group: its latest sample, counted from 1
    private int[] _before = [];   // by sample: the one before it of its group
    private double[] _values = [];
    private int _count;

    public void Reserve(int groupCount)
    {
        if (groupCount > _latest.Length)
        {
            Array.Resize(ref _latest, Math.Max(groupCount, _latest.Length + _latest.Length / 2));
            var capacity = Math.Clamp(_latest.Length * SamplesPerGroup, MinCapacity, MaxCapacity);
            Array.Resize(ref _before, capacity);
            Array.Resize(ref _values, capacity);
        }
    }

    public void Add(ReadOnlySpan<int> groups, ReadOnlySpan<double> values)
    {
        for (var i = 0; i < groups.Length; i++)
        {
            if (_count == _values.Length)
            {
                PassOn();
            }
            ref var latest = ref _latest[groups[i]];
            _before[_count] = latest;
            _values[_count] = values[i];
            latest = ++_count;
        }
    }

    /// <summary>Before anybody looks at the outputs.</summary>
    public void PassOn()
    {
        if (_count == 0)
        {
            return;
        }
        Span<double> ofGroup = stackalloc double[MinCapacity];
        for (var group = 0; group < _latest.Length; group++)
        {
            var sample = _latest[group];
            _latest[group] = 0;
            while (sample != 0)
            {
                var count = 0;
                for (; sample != 0 && count < ofGroup.Length; sample = _before[sample - 1])
                {
                    ofGroup[count++] = _values[sample - 1];
                }
                foreach (var output in outputs)
                {
                    output.AddToGroup(group, ofGroup[..count]);
                }
            }
        }
        _count = 0;
    }
}
