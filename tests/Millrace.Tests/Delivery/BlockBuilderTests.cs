using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;
using Millrace.Protocols;
using Millrace.Tests.Protocols.Compression;
using Random = System.Random;

namespace Millrace.Tests.Delivery;

public class BlockBuilderTests
{
    private const long T0 = 1_700_000_000_000;

    [Fact]
    public void Writes_a_sample_as_remote_write_has_it()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        var up = builder.Register(labels.Add(("__name__", "up")));
        builder.Add(up, T0, 1.5).ShouldBe(AddResult.Added);
        var block = Seal(builder);
        Convert.ToHexString(SnappyTests.Decode(block)).ShouldBe(
            "0A" + "22" + "0A0E" + "0A085F5F6E616D655F5F" + "12027570" + "1210" + "09" + "000000000000F83F"
            + "10" + "80D095FFBC31");
    }

    [Fact]
    public void A_known_series_takes_a_fraction_of_its_bytes()
    {
        var (labels, builder, series) = Pods(podCount: 4);
        Fill(builder, series, T0);
        var block = Seal(builder, out var summary);
        summary.Samples.ShouldBe(series.Length);
        (summary.UncompressedBytes / (double)series.Length).ShouldBeGreaterThan(280);
        (block.Length / (double)series.Length).ShouldBeLessThan(52);
        labels.Asked.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Labels_are_asked_for_once_while_the_order_stays()
    {
        var (labels, builder, series) = Pods(podCount: 4);
        Fill(builder, series, T0);
        Seal(builder);
        Fill(builder, series, T0 + 1000);
        Seal(builder);
        labels.Asked = 0;
        Fill(builder, series, T0 + 2000);
        // The first of a block is made anew.
        labels.Asked.ShouldBe(1);
    }

    [Fact]
    public void Any_sequence_decodes_to_the_expected_request() =>
        Prop.ForAll<int>(seed =>
        {
            var scenario = new Scenario(seed);
            var builder = scenario.NewBuilder(new BlockLimits { MaxSamples = 500 });
            for (var block = 0; block < 6; block++)
            {
                var expected = scenario.AddSome(builder);
                var sealedBlock = Seal(builder, out var summary);
                var decoded = SnappyTests.Decode(sealedBlock);
                decoded.AsSpan().SequenceEqual(expected).ShouldBeTrue($"block {block}");
                summary.UncompressedBytes.ShouldBe(expected.Length);
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Warm_and_cold_builders_give_the_same_bytes() =>
        Prop.ForAll<int>(seed =>
        {
            // The warm builders see everything, one of them with hardly any room for fragments; the cold ones one
            // block each.
            var warmScenario = new Scenario(seed);
            var tightScenario = new Scenario(seed);
            var warm = warmScenario.NewBuilder(new BlockLimits { MaxSamples = 500 });
            var tight = tightScenario.NewBuilder(new BlockLimits { MaxSamples = 500, MaxFragmentBytes = 400 });
            for (var block = 0; block < 6; block++)
            {
                var coldScenario = warmScenario.Copy();
                var cold = coldScenario.NewBuilder(new BlockLimits { MaxSamples = 500 });
                warmScenario.AddSome(warm);
                tightScenario.AddSome(tight);
                coldScenario.AddSome(cold);
                var bytes = Seal(warm);
                Seal(cold).AsSpan().SequenceEqual(bytes).ShouldBeTrue($"cold, block {block}");
                Seal(tight).AsSpan().SequenceEqual(bytes).ShouldBeTrue($"tight, block {block}");
            }
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    public void Asks_for_a_seal_when_a_sample_is_not_after_the_last_of_its_series(int laterMs)
    {
        var (_, builder, series) = Pods(podCount: 1);
        builder.Add(series[0], T0, 1).ShouldBe(AddResult.Added);
        builder.Add(series[1], T0, 1).ShouldBe(AddResult.Added);
        builder.Add(series[0], T0 + laterMs, 2).ShouldBe(AddResult.MustSealFirst);
        builder.AddHistogram(series[0], [], T0 + laterMs).ShouldBe(AddResult.MustSealFirst);
        builder.SampleCount.ShouldBe(2);
        builder.Add(series[0], T0 + 1, 2).ShouldBe(AddResult.Added);
        Seal(builder);
        builder.Add(series[0], T0 + laterMs, 2).ShouldBe(AddResult.Added);
    }

    [Fact]
    public void Asks_for_a_seal_when_the_block_is_full()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits { MaxSamples = 3 });
        var up = builder.Register(labels.Add(("__name__", "up")));
        for (var i = 0; i < 3; i++)
        {
            builder.Add(up, T0 + i, 1).ShouldBe(AddResult.Added);
        }
        builder.Add(up, T0 + 3, 1).ShouldBe(AddResult.MustSealFirst);
        builder.AddExemplar(up, [], 1, T0).ShouldBe(AddResult.Added);
        Seal(builder, out var summary);
        summary.ShouldBe(new BlockSummary(3, 0, 1, 0, T0, T0 + 2, summary.UncompressedBytes));
        builder.IsEmpty.ShouldBeTrue();
        builder.Add(up, T0 + 3, 1).ShouldBe(AddResult.Added);
    }

    [Fact]
    public void A_block_does_not_pass_its_limit_of_bytes_by_more_than_an_entry()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits { MaxUncompressedBytes = 1000 });
        var big = builder.Register(labels.Add(("__name__", "big"), ("a", new string('a', 20_000))));
        var small = builder.Register(labels.Add(("__name__", "small")));
        builder.Add(big, T0, 1).ShouldBe(AddResult.Added, "an entry above the limit goes alone");
        builder.Add(small, T0, 1).ShouldBe(AddResult.MustSealFirst);
        Seal(builder);
        builder.Add(small, T0, 1).ShouldBe(AddResult.Added);
        builder.Add(big, T0, 1).ShouldBe(AddResult.MustSealFirst);
        builder.AddExemplar(small, new byte[2000], 1, T0).ShouldBe(AddResult.MustSealFirst);
        builder.AddMetadata("f"u8, MetricType.Counter, new byte[2000], [])
            .ShouldBe(AddResult.MustSealFirst);
    }

    [Fact]
    public void Fragments_are_dropped_when_their_memory_is_used_up()
    {
        var labels = new LabelTable();
        var limits = new BlockLimits { MaxFragmentBytes = 20_000 };
        var builder = new BlockBuilder(labels, limits);
        var series = Enumerable.Range(0, 200)
            .Select(i => builder.Register(labels.Add(("__name__", "m" + i), ("x", new string('x', i)))))
            .ToArray();
        var random = new Random(5);
        for (var round = 0; round < 50; round++)
        {
            random.Shuffle(series);
            Fill(builder, series, T0 + round);
            Seal(builder);
            builder.FragmentBytes.ShouldBeLessThanOrEqualTo(limits.MaxFragmentBytes);
        }
        builder.FragmentBytes.ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Forgetting_series_starts_from_nothing()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        var up = builder.Register(labels.Add(("__name__", "up")));
        builder.Add(up, T0, 1);
        Should.Throw<InvalidOperationException>(builder.ForgetSeries);
        Seal(builder);
        builder.ForgetSeries();
        labels = labels.Replace(("__name__", "down"));
        var down = builder.Register(0);
        down.ShouldBe(0);
        builder.Add(down, T0, 1);
        Encoding.Latin1.GetString(SnappyTests.Decode(Seal(builder))).ShouldContain("down");
    }

    [Fact]
    public void Known_series_are_added_without_allocating()
    {
        var (_, builder, series) = Pods(podCount: 2);
        for (var round = 0; round < 3; round++)
        {
            Fill(builder, series, T0 + round);
            builder.Seal(out _);
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        Fill(builder, series, T0 + 10);
        builder.Seal(out _);
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBe(0);
    }

    internal static byte[] Seal(BlockBuilder builder) => Seal(builder, out _);

    internal static byte[] Seal(BlockBuilder builder, out BlockSummary summary)
    {
        var announced = builder.CompressedBytes;
        var block = builder.Seal(out summary).ToArray();
        block.Length.ShouldBeInRange(announced, announced + 5);
        return block;
    }

    private static void Fill(BlockBuilder builder, int[] series, long timestampMs)
    {
        foreach (var one in series)
        {
            if (builder.Add(one, timestampMs, one) != AddResult.Added)
            {
                throw new InvalidOperationException("The block is full.");
            }
        }
    }

    /// <summary>The workload of the bench tools: 450 series a pod, 11 or 12 labels.</summary>
    internal static (LabelTable Labels, BlockBuilder Builder, int[] Series) Pods(int podCount)
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        var series = new List<int>();
        for (var i = 0; i < podCount * 450; i++)
        {
            series.Add(builder.Register(labels.Add(PodLabels(i / 450, i % 450))));
        }
        return (labels, builder, [.. series]);
    }

    internal static (string, string)[] PodLabels(int pod, int n)
    {
        string[] buckets = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
        var place = n % 15;
        var combination = n / 15;
        var name = place < 12 ? "http_request_duration_seconds_bucket"
            : place == 12 ? "http_request_duration_seconds_sum"
            : place == 13 ? "http_request_duration_seconds_count" : "http_requests_total";
        (string, string)[] labels =
        [
            ("__name__", name), ("cluster", "eu-west-1-prod-a"),
            ("code", new[] { "200", "404", "500" }[combination % 3]),
            ("instance", $"10.{pod / 250 % 250}.{pod % 250}.17:8080"), ("job", $"shop/service-{pod % 20}"),
            ("le", place < 12 ? buckets[place] : ""), ("method", combination / 3 % 2 == 0 ? "GET" : "POST"),
            ("namespace", "shop"), ("path", $"/api/v1/resource-{combination / 6}"),
            ("pod", $"service-{pod % 20}-5d8f7c9b6d-{pod:x5}"), ("service", $"service-{pod % 20}"),
            ("zone", "eu-west-1b"),
        ];
        return [.. labels.Where(l => l.Item2.Length > 0)];
    }

    /// <summary>Series with labels like and unlike each other, added in orders that change now and then.</summary>
    private sealed class Scenario
    {
        private readonly int _seed;
        private readonly LabelTable _labels = new();
        private readonly List<byte[]> _blocks = [];
        private int[] _order;
        private int[] _registered = [];
        private int _round;

        public Scenario(int seed)
        {
            _seed = seed;
            var random = new Random(seed);
            var count = random.Next(1, 60);
            for (var i = 0; i < count; i++)
            {
                var id = random.Next(4) switch
                {
                    0 => _labels.Add(("__name__", "m" + i), ("noise", Text(random, random.Next(300)))),
                    1 => _labels.Add(("__name__", "m" + i)),
                    2 => _labels.Add(PodLabels(random.Next(3), i)),
                    _ => random.Next(12) == 0
                        ? _labels.Add(("__name__", "huge" + i), ("noise", Text(random, random.Next(15_000, 20_000))))
                        : _labels.Add(("__name__", "repeated" + i), ("a", new string('a', random.Next(200)))),
                };
                _blocks.Add(_labels.LabelsOf(id).ToArray());
            }
            _order = [.. Enumerable.Range(0, count)];
        }

        public Scenario Copy()
        {
            var copy = new Scenario(_seed) { _round = _round, _order = [.. _order] };
            return copy;
        }

        public BlockBuilder NewBuilder(BlockLimits limits)
        {
            var builder = new BlockBuilder(_labels, limits);
            _registered = [.. _blocks.Select((_, id) => builder.Register(id))];
            return builder;
        }

        /// <summary>Adds at most 400 things and answers the request that they are.</summary>
        public byte[] AddSome(BlockBuilder builder)
        {
            var random = new Random(unchecked(_seed * 31 + _round++));
            if (random.Next(3) == 0)
            {
                random.Shuffle(_order);
            }
            var expected = new List<byte>();
            var time = T0 + _round * 100_000L;
            for (var i = 0; i < Math.Min(_order.Length * 2, 400); i++)
            {
                // A few more of the same series at once, and a series twice in a block.
                var id = _order[i % _order.Length];
                for (var repeat = random.Next(5) == 0 ? 3 : 1; repeat > 0; repeat--)
                {
                    AddOne(builder, random, id, ++time, expected);
                }
            }
            return [.. expected];
        }

        private void AddOne(BlockBuilder builder, Random random, int id, long time, List<byte> expected)
        {
            var value = random.Next(3) == 0 ? 0 : BitConverter.Int64BitsToDouble(random.NextInt64());
            switch (random.Next(40))
            {
                case 0:
                    byte[] exemplarLabels = LabelTable.Encode(("trace_id", "abc"));
                    builder.AddExemplar(_registered[id], exemplarLabels, value, time).ShouldBe(AddResult.Added);
                    Expect(expected, id, Field(0x1A,
                        [.. exemplarLabels, 0x11, .. BitConverter.GetBytes(value), 0x18, .. Varint(time)]));
                    break;
                case 1:
                    // Without a timestamp, with another one, and with the right one.
                    byte[] message = [0x08, 17, 0x19, .. BitConverter.GetBytes(value)];
                    var written = random.Next(3);
                    message = written == 0 ? message : [.. message, 0x78, .. Varint(time - 1 + (written - 1))];
                    builder.AddHistogram(_registered[id], message, time).ShouldBe(AddResult.Added);
                    Expect(expected, id, Field(0x22,
                        written == 2 ? message : [.. message, 0x78, .. Varint(time)]));
                    break;
                case 2:
                    builder.AddMetadata("family"u8, MetricType.Summary, "Hälp"u8, "s"u8).ShouldBe(AddResult.Added);
                    expected.AddRange(Field(0x1A,
                    [
                        0x08, 5, .. Field(0x12, "family"u8.ToArray()), .. Field(0x22, "Hälp"u8.ToArray()),
                        .. Field(0x2A, "s"u8.ToArray()),
                    ]));
                    break;
                case 3 or 4 or 5 or 6 or 7:
                    // Now and then a start that is no varint of six bytes.
                    var start = random.Next(5) == 0 ? 12 : T0 + random.Next(1000);
                    builder.Add(_registered[id], time, value, start).ShouldBe(AddResult.Added);
                    Expect(expected, id, Field(0x12,
                    [
                        0x09, .. BitConverter.GetBytes(value), 0x10, .. Varint(time), 0x18, .. Varint(start),
                    ]));
                    break;
                default:
                    builder.Add(_registered[id], time, value).ShouldBe(AddResult.Added);
                    Expect(expected, id, Field(0x12,
                        [0x09, .. BitConverter.GetBytes(value), 0x10, .. Varint(time)]));
                    break;
            }
        }

        private void Expect(List<byte> expected, int id, byte[] rest) =>
            expected.AddRange(Field(0x0A, [.. _blocks[id], .. rest]));

        private static byte[] Field(byte tag, byte[] value) => [tag, .. Varint(value.Length), .. value];

        private static string Text(Random random, int length) =>
            string.Create(length, random, (text, r) =>
            {
                foreach (ref var c in text)
                {
                    c = (char)r.Next('a', 'z');
                }
            });
    }

    internal static byte[] Varint(long number)
    {
        var bytes = new List<byte>();
        var rest = (ulong)number;
        for (; rest >= 0x80; rest >>= 7)
        {
            bytes.Add((byte)(rest | 0x80));
        }
        bytes.Add((byte)rest);
        return [.. bytes];
    }
}

/// <summary>Label sets by number.</summary>
internal sealed class LabelTable : ISeriesLabels
{
    private readonly List<byte[]> _labels = [];

    public int Asked { get; set; }

    public int Add(params (string Name, string Value)[] labels)
    {
        _labels.Add(Encode(labels));
        return _labels.Count - 1;
    }

    public LabelTable Replace(params (string Name, string Value)[] labels)
    {
        _labels.Clear();
        Add(labels);
        return this;
    }

    public ReadOnlySpan<byte> LabelsOf(int seriesId)
    {
        Asked++;
        return _labels[seriesId];
    }

    public static byte[] Encode(params (string Name, string Value)[] labels)
    {
        var bytes = new List<byte>();
        foreach (var (name, value) in labels)
        {
            var nameBytes = Encoding.UTF8.GetBytes(name);
            var valueBytes = Encoding.UTF8.GetBytes(value);
            byte[] label =
            [
                0x0A, .. BlockBuilderTests.Varint(nameBytes.Length), .. nameBytes,
                0x12, .. BlockBuilderTests.Varint(valueBytes.Length), .. valueBytes,
            ];
            bytes.AddRange([0x0A, .. BlockBuilderTests.Varint(label.Length), .. label]);
        }
        return [.. bytes];
    }
}
