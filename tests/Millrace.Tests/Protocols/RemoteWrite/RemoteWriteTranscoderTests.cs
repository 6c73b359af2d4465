using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;
using Millrace.Protocols;
using Millrace.Protocols.Compression;
using Millrace.Protocols.RemoteWrite;
using Millrace.Tests.Delivery;
using Millrace.Tests.Protocols.Compression;
using Random = System.Random;

namespace Millrace.Tests.Protocols.RemoteWrite;

public class RemoteWriteTranscoderTests
{
    private const long T0 = 1_700_000_000_000;

    private readonly RemoteWriteTranscoder _transcoder = new();

    [Fact]
    public void Zstd_holds_the_same_request()
    {
        Assert.SkipUnless(Zstd.IsAvailable, Zstd.MissingLibrary);
        var (block, _) = RandomBlock(1, 300);
        byte[] body = [];
        _transcoder.TryToVictoriaMetrics(block, ref body, out var length).ShouldBeTrue();
        byte[] request = [];
        Zstd.Decompress(body.AsSpan(0, length), 1 << 24, ref request, out var size).ShouldBe(DecompressResult.Ok);
        request[..size].ShouldBe(SnappyTests.Decode(block));
    }

    [Fact]
    public void A_request_of_2_0_begins_with_the_empty_symbol_and_refers_to_the_others()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        var up = builder.Register(labels.Add(("__name__", "up"), ("a", "up")));
        builder.Add(up, T0, 1.5, T0 - 1000);
        builder.AddExemplar(up, LabelTable.Encode(("a", "x")), 2, T0);
        byte[] body = [];
        _transcoder.TryToV2(
            BlockBuilderTests.Seal(builder), _ => new MetricMetadata("up", MetricType.Gauge, "Is it up?", ""),
            ref body, out var length, out var counts).ShouldBeTrue();
        counts.ShouldBe(new BlockCounts(1, 0, 1, T0, T0));
        SnappyTests.Decode(body.AsSpan(0, length)).ShouldBe(new WireWriter()
            .Text(4, "").Text(4, "__name__").Text(4, "up").Text(4, "a").Text(4, "Is it up?").Text(4, "x")
            .Message(5, series => series
                .Packed(1, 1, 2, 3, 2)
                .Message(2, sample => sample.Double(1, 1.5).Varint(2, T0).Varint(3, T0 - 1000))
                .Message(4, exemplar => exemplar.Packed(1, 3, 5).Double(2, 2).Varint(3, T0))
                .Message(5, metadata => metadata.Varint(1, 2).Varint(3, 4).Varint(4, 0)))
            .ToArray());
    }

    [Fact]
    public void A_request_of_2_0_says_what_the_block_says_with_each_label_set_once() =>
        Prop.ForAll<int>(seed =>
        {
            var (block, events) = RandomBlock(seed, 200);
            byte[] body = [];
            _transcoder.TryToV2(block, null, ref body, out var length, out var counts).ShouldBeTrue();
            var expected = new List<string>();
            foreach (var series in events.GroupBy(e => e.Series).Where(g => g.Any(e => e.Kind != 'e')))
            {
                var exemplars = series.Where(e => e.Kind == 'e').ToArray();
                foreach (var kind in "sh".Where(kind => series.Any(e => e.Kind == kind)))
                {
                    expected.Add(series.Key);
                    expected.AddRange(series.Where(e => e.Kind == kind).Concat(exemplars).Select(e => e.Line));
                    exemplars = [];
                }
            }
            DecodeV2(body.AsSpan(0, length)).ShouldBe(expected);
            var written = expected.Select(line => line[0]).ToArray();
            counts.Samples.ShouldBe(events.Count(e => e.Kind == 's'));
            counts.Histograms.ShouldBe(events.Count(e => e.Kind == 'h'));
            counts.Exemplars.ShouldBe(written.Count(kind => kind == 'e'));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Metadata_is_found_by_the_name_and_then_by_its_family()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        foreach (var name in new[] { "h_bucket", "h_count", "x_total", "plain", "plain_total" })
        {
            builder.Add(builder.Register(labels.Add(("__name__", name))), T0, 1);
        }
        builder.Add(builder.Register(labels.Add(("no", "name"))), T0, 1);
        var asked = new List<string>();
        byte[] body = [];
        _transcoder.TryToV2(
            BlockBuilderTests.Seal(builder),
            family =>
            {
                asked.Add(family);
                return family is "h" or "plain" ? new MetricMetadata(family, MetricType.Counter, "", "") : null;
            },
            ref body, out var length, out _).ShouldBeTrue();
        asked.ShouldBe(
            ["h_bucket", "h", "h_count", "h", "x_total", "x", "plain", "plain_total", "plain"]);
        DecodeV2(body.AsSpan(0, length)).Count(line => line.StartsWith("metadata", StringComparison.Ordinal))
            .ShouldBe(4);
    }

    [Fact]
    public void Plain_1_0_has_everything_but_the_start_timestamps() =>
        Prop.ForAll<int>(seed =>
        {
            var (block, events) = RandomBlock(seed, 100);
            byte[] body = [];
            _transcoder.TryToPlainV1(block, ref body, out var length).ShouldBeTrue();
            DecodeV1(body.AsSpan(0, length)).ShouldBe(events.SelectMany(e => (string[])[e.Series, e.PlainLine]));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_block_without_start_timestamps_is_plain_as_it_is()
    {
        var (_, builder, series) = BlockBuilderTests.Pods(podCount: 1);
        foreach (var one in series)
        {
            builder.Add(one, T0, one);
        }
        builder.AddMetadata("family"u8, MetricType.Counter, "help"u8, []);
        var block = BlockBuilderTests.Seal(builder);
        byte[] body = [];
        _transcoder.TryToPlainV1(block, ref body, out var length).ShouldBeTrue();
        body[..length].ShouldBe(block);
    }

    [Fact]
    public void Counts_what_the_block_holds() =>
        Prop.ForAll<int>(seed =>
        {
            var (block, events) = RandomBlock(seed, 100);
            _transcoder.TryCount(block, out var counts).ShouldBeTrue();
            var points = events.Where(e => e.Kind != 'e').Select(e => e.Time).ToArray();
            counts.ShouldBe(new BlockCounts(
                events.Count(e => e.Kind == 's'), events.Count(e => e.Kind == 'h'), events.Count(e => e.Kind == 'e'),
                points.Append(long.MaxValue).Min(), points.Append(long.MinValue).Max()));
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Equal_blocks_give_equal_bodies()
    {
        var (block, _) = RandomBlock(11, 300);
        byte[] first = [];
        byte[] second = [];
        _transcoder.TryToV2(block, null, ref first, out var firstLength, out _).ShouldBeTrue();
        _transcoder.TryToV2(RandomBlock(12, 300).Block, null, ref second, out _, out _).ShouldBeTrue();
        _transcoder.TryToV2(block, null, ref second, out var secondLength, out _).ShouldBeTrue();
        second[..secondLength].ShouldBe(first[..firstLength]);
    }

    [Fact]
    public void An_exemplar_without_its_sample_leaves_2_0_nothing_to_send()
    {
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        builder.AddExemplar(builder.Register(labels.Add(("__name__", "up"))), [], 1, T0);
        byte[] body = [];
        _transcoder.TryToV2(BlockBuilderTests.Seal(builder), null, ref body, out var length, out var counts)
            .ShouldBeTrue();
        counts.ShouldBe(BlockCounts.None);
        DecodeV2(body.AsSpan(0, length)).ShouldBeEmpty();
    }

    [Fact]
    public void A_block_above_the_bound_is_refused()
    {
        var (block, _) = RandomBlock(3, 100);
        var size = SnappyTests.Decode(block).Length;
        byte[] body = [];
        new RemoteWriteTranscoder(size).TryCount(block, out _).ShouldBeTrue();
        new RemoteWriteTranscoder(size - 1).TryCount(block, out _).ShouldBeFalse();
        new RemoteWriteTranscoder(size - 1).TryToVictoriaMetrics(block, ref body, out _).ShouldBeFalse();
    }

    /// <summary>Blocks come back from disk: whatever stands there, the answer is a result.</summary>
    [Fact]
    public void Survives_bytes_that_are_no_block()
    {
        var (block, _) = RandomBlock(5, 40);
        var request = SnappyTests.Decode(block);
        var random = new Random(9);
        byte[] body = [];
        var refused = 0;
        for (var round = 0; round < 5000; round++)
        {
            var mutated = request.AsSpan(0, random.Next(1, request.Length + 1)).ToArray();
            for (var i = random.Next(4); i > 0; i--)
            {
                mutated[random.Next(mutated.Length)] = (byte)random.Next(256);
            }
            var bad = SnappyTests.Encode(mutated);
            refused += _transcoder.TryToV2(bad, null, ref body, out _, out _) ? 0 : 1;
            _transcoder.TryToPlainV1(bad, ref body, out _);
            _transcoder.TryCount(bad, out _);
        }
        refused.ShouldBeInRange(1000, 5000);
        _transcoder.TryCount([], out _).ShouldBeFalse();
    }

    /// <summary>A few series, several times each, in any order; what a decoder must tell of each entry.</summary>
    private static (byte[] Block, List<Event> Events) RandomBlock(int seed, int maxEvents)
    {
        var random = new Random(seed);
        var labels = new LabelTable();
        var builder = new BlockBuilder(labels, new BlockLimits());
        var series = Enumerable.Range(0, random.Next(1, 20))
            .Select(i => builder.Register(labels.Add(BlockBuilderTests.PodLabels(i % 2, i))))
            .ToArray();
        var events = new List<Event>();
        var count = random.Next(1, maxEvents);
        for (var i = 0; i < count; i++)
        {
            var which = random.Next(series.Length);
            var name = "series " + RecordingSink.Text(labels.LabelsOf(which));
            var time = T0 + i * 3;
            var start = random.Next(3) == 0 ? T0 - random.Next(1000) : 0;
            switch (random.Next(6))
            {
                case 0:
                    var histogram = RemoteWriteBodies.Histogram(time, i);
                    byte[] message =
                        start == 0 ? histogram : [.. histogram, .. new WireWriter().Varint(17, (ulong)start).ToArray()];
                    builder.AddHistogram(series[which], message, time).ShouldBe(AddResult.Added);
                    events.Add(new Event('h', name, time,
                        $"histogram {time} {Convert.ToHexString(message)} start {start}",
                        $"histogram {time} {Convert.ToHexString(histogram)} start 0"));
                    break;
                case 1:
                    var trace = LabelTable.Encode(("trace_id", $"{i}"), ("code", "200"));
                    builder.AddExemplar(series[which], trace, i, time).ShouldBe(AddResult.Added);
                    var line = $"exemplar {time} {i} trace_id={i},code=200";
                    events.Add(new Event('e', name, time, line, line));
                    break;
                default:
                    builder.Add(series[which], time, i, start).ShouldBe(AddResult.Added);
                    events.Add(new Event('s', name, time,
                        $"sample {time} {i} start {start}", $"sample {time} {i} start 0"));
                    break;
            }
        }
        return (BlockBuilderTests.Seal(builder), events);
    }

    private static List<string> DecodeV1(ReadOnlySpan<byte> block)
    {
        var record = new RecordingSink.Record();
        var sink = new RecordingSink(record);
        RemoteWriteV1Decoder.TryDecode(SnappyTests.Decode(block), ref sink, DecodeLimits.Default, out var error)
            .ShouldBeTrue(error);
        return record.Lines;
    }

    private static List<string> DecodeV2(ReadOnlySpan<byte> block)
    {
        var record = new RecordingSink.Record();
        var sink = new RecordingSink(record);
        RemoteWriteV2Decoder.TryDecode(SnappyTests.Decode(block), ref sink, DecodeLimits.Default, out var error)
            .ShouldBeTrue(error);
        return record.Lines;
    }

    private sealed record Event(char Kind, string Series, long Time, string Line, string PlainLine);
}
