using Millrace.Log;
using Millrace.TestKit.Simulation;

namespace Millrace.Tests.Simulation;

/// <summary>What must hold when a run has come to rest; the numbers are those of design.md, section 5.</summary>
internal sealed class SimulationChecks
{
    private readonly Simulation _run;
    private readonly NaiveReplay _expected;
    private readonly bool _isExact;
    private readonly List<string> _problems = [];

    private SimulationChecks(Simulation run)
    {
        _run = run;
        _isExact = !run.Scenario.MayRot;
        _expected = new NaiveReplay(run.Scenario.Naive, run.Scenario.DestinationNames);
        foreach (var record in run.Archive.Records)
        {
            _expected.Apply(record);
        }
    }

    public NaiveReplay Expected => _expected;

    /// <exception cref="SimulationFailure">With all that is wrong.</exception>
    public static SimulationChecks Check(Simulation run)
    {
        var checks = new SimulationChecks(run);
        checks.CheckRequests();
        checks.CheckLedgers();
        foreach (var backend in run.Backends)
        {
            checks.CheckOutputs(backend);
            checks.CheckRaw(backend);
            checks.CheckRepeats(backend);
        }
        if (checks._problems.Count > 0)
        {
            throw new SimulationFailure(
                string.Join('\n', checks._problems.Take(6)) + $"\n({checks._problems.Count} problems)");
        }
        return checks;
    }

    /// <summary>G1: what was acknowledged is in the log, once.</summary>
    private void CheckRequests()
    {
        var stored = new Dictionary<string, int>();
        foreach (var record in _run.Archive.Records)
        {
            if (record.Type == RecordType.Batch)
            {
                var body = Convert.ToBase64String(record.Payload);
                stored[body] = stored.GetValueOrDefault(body) + 1;
            }
        }
        foreach (var request in _run.Requests)
        {
            var times = stored.GetValueOrDefault(Convert.ToBase64String(request.Body));
            if (_isExact
                && (times > 1 + request.TimesDuringReplay || (times == 0 && request.IsAcknowledged)))
            {
                Problem(
                    $"G1: request {request.Number} is in the log {times} times, "
                    + $"acknowledged: {request.IsAcknowledged}");
            }
        }
    }

    /// <summary>G2: nothing comes or goes uncounted.</summary>
    private void CheckLedgers()
    {
        var total = _run.Gateway.Pipeline.Engine.Ledger.Total;
        var dropped = total.InvalidLabels + total.Relabeled + total.NoRoute + total.Unused + total.TooFarAhead
            + total.TooOld.Sum();
        Same("G2: samples in = aggregated + forwarded + dropped", total.Samples,
            total.Aggregated + total.ForwardedOnly + dropped);
        if (_isExact)
        {
            var expected = _expected.Ledger;
            Same("G2: samples", expected.Samples, total.Samples);
            Same("G2: aggregated", expected.Aggregated, total.Aggregated);
            Same("G2: forwarded only", expected.ForwardedOnly, total.ForwardedOnly);
            Same("G2: relabeled", expected.Relabeled, total.Relabeled);
            Same("G2: unused", expected.Unused, total.Unused);
            Same("G2: too old", expected.TooOld, total.TooOld.Sum());
            Same("G2: too far ahead", expected.TooFarAhead, total.TooFarAhead);
            Same("G2: derived", _expected.DerivedSamples, total.Derived);
            Same("G3: derived twice, or not written by a rule", 0, _expected.Strays.Count);
            Same("G3: derived too late", 0, _expected.LateDerivedSamples);
        }
        foreach (var destination in _run.Gateway.Pipeline.Destinations)
        {
            var counters = destination.Snapshot();
            Same($"G2: imbalance of {destination.Name}", 0, counters.Imbalance);
            Same($"G2: pending of {destination.Name}", 0, counters.Pending);
            Same($"G2: parked by {destination.Name}", 0, counters.Parked);
        }
    }

    /// <summary>G3: the windows of all lives are those of the log, each with one value.</summary>
    private void CheckOutputs(SimulatedBackend backend)
    {
        var delivered = new Dictionary<(string Series, long EndMs), PlainSample>();
        foreach (var sample in backend.Commits.SelectMany(commit => commit.Samples).Where(IsOutput))
        {
            var key = (sample.Series.Text, sample.TimestampMs);
            if (!delivered.TryAdd(key, sample) && delivered[key].Bits != sample.Bits)
            {
                Problem($"G3: {backend.Name} got {sample} and {delivered[key].Value:R}");
            }
        }
        if (!_isExact)
        {
            return;
        }
        var expected = _expected.Outputs[backend.Name];
        foreach (var (key, value) in expected)
        {
            if (!delivered.TryGetValue(key, out var sample))
            {
                Problem($"G3: {backend.Name} never got {key.Series} @{key.EndMs}, expected {value:R}");
            }
            else if (sample.Bits != BitConverter.DoubleToInt64Bits(value))
            {
                Problem($"G3: {backend.Name} got {sample}, expected {value:R}");
            }
        }
        foreach (var (key, sample) in delivered)
        {
            if (!expected.ContainsKey(key))
            {
                Problem($"G3: {backend.Name} got {sample}, which the log does not give");
            }
        }
    }

    /// <summary>G8: forwarded samples come all, and in the order of the log.</summary>
    private void CheckRaw(SimulatedBackend backend)
    {
        if (!_isExact || DroppedBy(backend) > 0)
        {
            return;
        }
        var delivered = new Dictionary<string, List<PlainSample>>();
        var seen = new HashSet<(string, long, long)>();
        foreach (var sample in backend.Commits.SelectMany(commit => commit.Samples).Where(sample => !IsOutput(sample)))
        {
            if (seen.Add((sample.Series.Text, sample.TimestampMs, sample.Bits)))
            {
                (delivered.TryGetValue(sample.Series.Text, out var list) ? list
                    : delivered[sample.Series.Text] = []).Add(sample);
            }
        }
        var expected = _expected.Raw[backend.Name];
        foreach (var series in expected.Keys.Union(delivered.Keys))
        {
            var wanted = expected.GetValueOrDefault(series) ?? [];
            var got = delivered.GetValueOrDefault(series) ?? [];
            if (_run.PowerLosses > 0)
            {
                // What was sent and then lost from the log is no fault; what stands in the log must have come.
                CheckAllCame(backend, wanted, seen);
                continue;
            }
            for (var i = 0; i < Math.Max(wanted.Count, got.Count); i++)
            {
                if (i >= wanted.Count || i >= got.Count || wanted[i].TimestampMs != got[i].TimestampMs
                    || wanted[i].Bits != got[i].Bits)
                {
                    Problem($"G8: {backend.Name} got {got.Count} of {wanted.Count} samples of {series}; at {i}: "
                        + $"{(i < got.Count ? got[i] : null)}, expected {(i < wanted.Count ? wanted[i] : null)}");
                    break;
                }
            }
        }
    }

    private void CheckAllCame(SimulatedBackend backend, List<PlainSample> wanted, HashSet<(string, long, long)> seen)
    {
        foreach (var sample in wanted)
        {
            if (!seen.Contains((sample.Series.Text, sample.TimestampMs, sample.Bits)))
            {
                Problem($"G8: {backend.Name} never got {sample}");
            }
        }
    }

    /// <summary>
    /// G3: what is sent again is the same block, said to be a repeat, and at most one per lane and crash.
    /// </summary>
    private void CheckRepeats(SimulatedBackend backend)
    {
        if (!_isExact || _run.PowerLosses > 0)
        {
            return;
        }
        var firsts = new Dictionary<(string, long), Committed>();
        var repeated = new HashSet<Committed>(ReferenceEqualityComparer.Instance);
        foreach (var commit in backend.Commits.Where(commit => commit.Samples.Count > 0))
        {
            var known = commit.Samples
                .Select(sample => firsts.GetValueOrDefault((sample.Series.Text, sample.TimestampMs)))
                .FirstOrDefault(first => first is not null);
            foreach (var sample in commit.Samples)
            {
                firsts.TryAdd((sample.Series.Text, sample.TimestampMs), commit);
            }
            if (known is null)
            {
                continue;
            }
            if (!known.Samples.SequenceEqual(commit.Samples, SameSample.Instance))
            {
                Problem(
                    $"G3: {backend.Name} got a block of {known.Samples.Count} samples in life {known.Life} and one of "
                    + $"{commit.Samples.Count} in life {commit.Life} that share {commit.Samples[0]}");
            }
            if (!commit.IsRepeat)
            {
                Problem($"G3: {backend.Name} got {commit.Samples[0]} twice, the second time not counted as a repeat");
            }
            if (known.Life != commit.Life)
            {
                repeated.Add(known);
            }
        }
        foreach (var blocks in repeated.GroupBy(first => (first.Life, first.Lane)).Where(blocks => blocks.Count() > 1))
        {
            Problem(
                $"G3: {blocks.Count()} blocks of lane {blocks.Key.Lane} of {backend.Name} that life "
                + $"{blocks.Key.Life} sent were sent again by later ones");
        }
    }

    private long DroppedBy(SimulatedBackend backend) =>
        _run.Gateway.Pipeline.Destinations.Single(destination => destination.Name == backend.Name).Snapshot().Dropped;

    private static bool IsOutput(PlainSample sample) => sample.Series.Name.Contains(':', StringComparison.Ordinal);

    private void Same(string what, long expected, long actual)
    {
        if (expected != actual)
        {
            Problem($"{what}: {actual}, expected {expected}");
        }
    }

    private void Problem(string text) => _problems.Add(text);

    private sealed class SameSample : IEqualityComparer<PlainSample>
    {
        public static readonly SameSample Instance = new();

        public bool Equals(PlainSample x, PlainSample y) =>
            x.Series.Text == y.Series.Text && x.TimestampMs == y.TimestampMs && x.Bits == y.Bits;

        public int GetHashCode(PlainSample obj) => obj.TimestampMs.GetHashCode();
    }
}
