using Millrace.Aggregation.Exemplars;
using Millrace.Aggregation.Histograms;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Aggregation;

/// <summary>One open window of a shard: a run per series slot, and a row per group for each output.</summary>
internal sealed class WindowState
{
    private readonly AggregationRule _rule;
    private readonly OutputWindow[] _takingAtOnce;
    private readonly GroupedSamples? _grouped; // null where no output takes samples by group

    public WindowState(AggregationRule rule)
    {
        _rule = rule;
        Outputs = new OutputWindow[rule.Outputs.Length];
        for (var i = 0; i < Outputs.Length; i++)
        {
            Outputs[i] = rule.NewWindow(i);
        }
        _takingAtOnce = Array.FindAll(Outputs, output => !output.TakesByGroup);
        var takingByGroup = Array.FindAll(Outputs, output => output.TakesByGroup);
        _grouped = takingByGroup.Length > 0 ? new GroupedSamples(takingByGroup) : null;
        if (rule.DedupMs > 0 && !rule.IsArrivalTime)
        {
            Dedup = new DedupWindow((int)rule.DedupMs);
        }
        SideRuns = new SideRuns(Runs, rule.Config.Resets);
        Remembered = rule.Config.RemembersSamples ? new RememberedSamples() : null;
        StaleMarkers = rule.UsesLastSamples ? new StaleMarkers() : null;
    }

    public long Window { get; private set; }

    /// <summary>Where the window begins; times of runs count from here.</summary>
    public long StartMs { get; private set; }

    public Column<Run> Runs { get; } = new();

    public SideRuns SideRuns { get; }

    /// <summary>Only with <c>dedup: exact</c>.</summary>
    public RememberedSamples? Remembered { get; }

    /// <summary>Only where an output asks which series are there at the window's end.</summary>
    public StaleMarkers? StaleMarkers { get; }

    public OutputWindow[] Outputs { get; }

    /// <summary>Null while no histogram came.</summary>
    public HistogramWindow? Histograms { get; set; }

    /// <summary>Null while no exemplar came.</summary>
    public ExemplarWindow? Exemplars { get; set; }

    /// <summary>Samples held back until the close; null where all samples count at once.</summary>
    public DedupWindow? Dedup { get; }

    public bool Holds(int slot) => Runs[slot].FirstOffset != 0 || (Dedup is not null && Dedup.Holds(slot))
        || Histograms?.Holds(slot) == true || StaleMarkers?.Has(slot) == true
        || Exemplars?.Holds(slot) == true;

    /// <summary>The state must be all clear: new, or swept.</summary>
    public WindowState Open(long window, long startMs, int seriesCount, int groupCount)
    {
        Window = window;
        StartMs = startMs;
        Reserve(seriesCount, groupCount);
        return this;
    }

    public void Reserve(int seriesCount, int groupCount)
    {
        if (!_rule.IsArrivalTime)
        {
            Runs.EnsureCapacity(seriesCount); // In arrival time a series has its increase beside it.
        }
        Dedup?.Reserve(seriesCount);
        foreach (var output in Outputs)
        {
            output.Reserve(groupCount);
        }
        _grouped?.Reserve(groupCount);
        Histograms?.Reserve(groupCount);
    }

    /// <summary>Samples in log order, as three spans of equal length.</summary>
    public void AddSamples(ReadOnlySpan<int> groups, ReadOnlySpan<double> values, ReadOnlySpan<long> timesMs)
    {
        foreach (var output in _takingAtOnce)
        {
            output.AddSamples(groups, values, timesMs);
        }
        _grouped?.Add(groups, values);
    }

    /// <summary>Before anybody looks at the outputs.</summary>
    public void Settle() => _grouped?.PassOn();

    public void Write(SnapshotWriter writer, int seriesCount, int groupCount)
    {
        Settle();
        writer.Write(Window);
        writer.Write(StartMs);
        for (var slot = 0; slot < Math.Min(seriesCount, Runs.Capacity); slot++)
        {
            // Where its side runs are kept shows how they came to be.
            var run = Runs[slot];
            writer.Write(run.FirstOffset == Run.InSideTable ? new Run { FirstOffset = Run.InSideTable } : run);
        }
        SideRuns.Write(writer);
        Remembered?.Write(writer);
        StaleMarkers?.Write(writer);
        foreach (var output in Outputs)
        {
            output.Write(writer, groupCount);
        }
        if (_rule.TakesHistograms)
        {
            writer.Write(Histograms is null ? 0 : 1);
            Histograms?.Write(writer, groupCount);
        }
        Dedup?.Write(writer, seriesCount);
        if (_rule.TakesExemplars)
        {
            writer.Write(Exemplars is null ? 0 : 1);
            Exemplars?.Write(writer);
        }
    }

    public void Read(SnapshotReader reader, int seriesCount, int groupCount)
    {
        Open(reader.ReadInt64(), reader.ReadInt64(), seriesCount, groupCount);
        for (var slot = 0; slot < Math.Min(seriesCount, Runs.Capacity); slot++)
        {
            Runs[slot] = reader.Read<Run>();
        }
        SideRuns.Read(reader);
        Remembered?.Read(reader);
        StaleMarkers?.Read(reader);
        foreach (var output in Outputs)
        {
            output.Read(reader, groupCount);
        }
        if (_rule.TakesHistograms && reader.ReadInt32() != 0)
        {
            Histograms = new HistogramWindow(_rule);
            Histograms.Read(reader, groupCount);
        }
        Dedup?.Read(reader, seriesCount);
        if (_rule.TakesExemplars && reader.ReadInt32() != 0)
        {
            Exemplars = new ExemplarWindow(_rule.ExemplarCount);
            Exemplars.Read(reader);
        }
    }
}
