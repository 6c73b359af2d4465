using System.IO;
using Millrace.Aggregation.Outputs;
using Millrace.Memory;

namespace Millrace.Tests.Aggregation.Outputs;

public sealed class GroupedSamplesTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    [InlineData(3_000)]
    public void Outputs_come_to_the_same_state_as_with_samples_one_by_one(int groupCount)
    {
        var random = new Random(groupCount);
        OutputWindow[] grouped = [new Quantiles([0.5], ["0.5"]), new HistogramBucket()];
        OutputWindow[] direct = [new Quantiles([0.5], ["0.5"]), new HistogramBucket()];
        var samples = new GroupedSamples(grouped);
        var reserved = 0;
        for (var batch = 0; batch < 60; batch++)
        {
            // Groups come while samples wait.
            reserved = Math.Min(groupCount, reserved + 1 + random.Next(groupCount));
            samples.Reserve(reserved);
            foreach (var output in (OutputWindow[])[.. grouped, .. direct])
            {
                output.Reserve(reserved);
            }
            var groups = Enumerable.Range(0, random.Next(400)).Select(_ => random.Next(reserved)).ToArray();
            var values = groups.Select(_ => Math.Exp(random.NextDouble() * 9 - 2)).ToArray();
            samples.Add(groups, values);
            foreach (var output in direct)
            {
                output.AddSamples(groups, values, new long[groups.Length]);
            }
            if (random.Next(10) == 0)
            {
                samples.PassOn();
                SnapshotOf(grouped, reserved).ShouldBe(SnapshotOf(direct, reserved));
            }
        }
        samples.PassOn();
        SnapshotOf(grouped, reserved).ShouldBe(SnapshotOf(direct, reserved));
    }

    [Fact]
    public void Every_sample_is_passed_on_once()
    {
        var output = new Recorder();
        var samples = new GroupedSamples([output]);
        samples.Reserve(2);
        for (var i = 0; i < 1_000; i++)
        {
            samples.Add([i % 2], [i]);
        }
        samples.PassOn();
        samples.PassOn();
        output.Values.Order().ShouldBe(Enumerable.Range(0, 1_000).Select(i => (i % 2, (double)i)).Order());
    }

    private static byte[] SnapshotOf(OutputWindow[] outputs, int groupCount)
    {
        var stream = new MemoryStream();
        using (var writer = new SnapshotWriter(stream))
        {
            foreach (var output in outputs)
            {
                output.Write(writer, groupCount);
            }
        }
        return stream.ToArray();
    }

    private sealed class Recorder : OutputColumn<int>
    {
        public List<(int Group, double Value)> Values { get; } = [];

        public override void AddToGroup(int group, ReadOnlySpan<double> values)
        {
            foreach (var value in values)
            {
                Values.Add((group, value));
            }
        }

        protected override bool TryGetValue(in int state, out double value) => throw new NotSupportedException();

        protected override void Merge(ref int state, in int other) => throw new NotSupportedException();
    }
}
