using System.Globalization;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;
using Millrace.Protocols.Text;

namespace Millrace.Tests.Protocols;

/// <summary>Whatever a model says, a body written from it tells again, in each protocol.</summary>
public sealed class DecoderPropertyTests
{
    private static readonly Gen<string> Texts = Gen.OneOf(
        Gen.Elements("", "a", "__name__", "job", "\\", "\"", "\n", "}{", "x=\"y\"", "測試", "\U0001F30D", "#", " "),
        Gen.ArrayOf(Gen.Choose(32, 126)).Select(codes => string.Concat(codes.Select(c => (char)c))));

    private static readonly Gen<Label[]> Labels =
        Gen.Zip(Texts, Texts).Select(pair => new Label(pair.Item1, pair.Item2)).ArrayOf();

    private static readonly Gen<double> Values = Gen.OneOf(
        ArbMap.Default.GeneratorFor<double>(), Gen.Elements(0.0, -0.0, 1, double.NaN, double.PositiveInfinity),
        Gen.Constant(BitConverter.UInt64BitsToDouble(0x7ff0000000000002)));

    private static readonly Gen<long> Times = Gen.OneOf(
        Gen.Choose(0, 1000).Select(offset => RemoteWriteBodies.Now + offset),
        ArbMap.Default.GeneratorFor<long>().Where(time => time != long.MinValue), Gen.Constant(0L));

    private static readonly Gen<SampleModel[]> Samples = Gen.ArrayOf(
        from timestampMs in Times
        from value in Values
        from startMs in Gen.Elements(0L, 5L)
        select new SampleModel(timestampMs, value, startMs));

    private static readonly Gen<ExemplarModel[]> Exemplars = Gen.ArrayOf(
        from labels in Labels
        from value in Values
        from timestampMs in Times
        select new ExemplarModel(labels, value, timestampMs));

    private static readonly Gen<SeriesModel[]> Bodies = Gen.ArrayOf(
        from labels in Labels
        from samples in Samples
        from histograms in Gen.Zip(Times, Gen.Choose(0, 9)).ArrayOf()
        from exemplars in Exemplars
        let isHistogram = histograms.Length > 1
        select new SeriesModel(labels)
        {
            Samples = isHistogram ? [] : [new(RemoteWriteBodies.Now, 1), .. samples],
            Histograms = isHistogram ? [.. histograms.Select(h => (h.Item1, (double)h.Item2))] : [],
            Exemplars = exemplars,
        });

    [Fact]
    public void Remote_write_1_tells_the_model() => Check(RemoteWriteBodies.V1, DecodeV1);

    [Fact]
    public void Remote_write_2_tells_the_model() => Check(RemoteWriteBodies.V2, DecodeV2);

    [Fact]
    public void Remote_write_1_tells_the_same_of_a_body_that_comes_in_parts()
    {
        Prop.ForAll(Bodies.ToArbitrary(), ArbMap.Default.ArbFor<int>(), (series, seed) =>
        {
            var record = new RecordingSink.Record();
            var sink = new RecordingSink(record);
            var whole = RemoteWriteBodies.V1([.. series, .. RemoteWriteBodies.Scrape(20)]);
            DecodeV1(whole, ref sink, out _).ShouldBeTrue();
            var random = new System.Random(seed);
            var body = seed % 2 == 0 ? whole : new InputMutator().Mutate(random, [whole]).ToArray();

            record.Lines.Clear();
            var isWellFormed = DecodeV1(body, ref sink, out var error);
            var lines = record.Lines.ToArray();

            record.Lines.Clear();
            var progress = default(V1Progress);
            for (var there = 0; there < body.Length; there += random.Next(1, 500))
            {
                RemoteWriteV1Decoder.TakeKnown(body.AsSpan(0, there), ref progress, ref sink, DecodeLimits.Default);
            }
            RemoteWriteV1Decoder
                .TryDecodeRest(body, progress, ref sink, DecodeLimits.Default, out var errorInParts)
                .ShouldBe(isWellFormed);
            errorInParts.ShouldBe(error);
            record.Lines.ShouldBe(lines);
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void Text_tells_the_model()
    {
        Prop.ForAll(Bodies.ToArbitrary(), series =>
        {
            var record = new RecordingSink.Record();
            var sink = new RecordingSink(record);
            var (text, lines) = WriteText(series);
            PrometheusTextDecoder.TryDecode(Encoding.UTF8.GetBytes(text), ref sink, DecodeLimits.Default, out var error)
                .ShouldBeTrue(error + text);
            record.Lines.ShouldBe(lines);
        }).QuickCheckThrowOnFailure();
    }

    private delegate bool Decode(byte[] body, ref RecordingSink sink, out string error);

    private static bool DecodeV1(byte[] body, ref RecordingSink sink, out string error) =>
        RemoteWriteV1Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out error);

    private static bool DecodeV2(byte[] body, ref RecordingSink sink, out string error) =>
        RemoteWriteV2Decoder.TryDecode(body, ref sink, DecodeLimits.Default, out error);

    /// <summary>Decodes twice, so that the second time every series is known.</summary>
    private static void Check(Func<SeriesModel[], byte[]> write, Decode decode)
    {
        Prop.ForAll(Bodies.ToArbitrary(), series =>
        {
            var record = new RecordingSink.Record();
            var sink = new RecordingSink(record);
            var body = write(series);
            decode(body, ref sink, out var error).ShouldBeTrue(error);
            decode(body, ref sink, out error).ShouldBeTrue(error);
            var lines = series.SelectMany(s => s.Lines()).ToList();
            record.Lines.ShouldBe([.. lines, .. lines]);
            record.Hits.ShouldBeGreaterThanOrEqualTo(series.Length);
        }).QuickCheckThrowOnFailure();
    }

    private static (string Text, List<string> Lines) WriteText(SeriesModel[] series)
    {
        var text = new StringBuilder();
        var lines = new List<string>();
        foreach (var one in series)
        {
            var pairs = string.Join(",", one.Labels.Select(l => $"\"{Escape(l.Name)}\"=\"{Escape(l.Value)}\""));
            foreach (var sample in one.Samples)
            {
                var value = double.IsNaN(sample.Value) ? double.NaN : sample.Value;
                var isSeconds = sample.TimestampMs is >= int.MinValue and <= int.MaxValue;
                text.Append(CultureInfo.InvariantCulture, $"{{{pairs}}} {value:R} {sample.TimestampMs}\n")
                    .Replace("Infinity", "Inf");
                lines.AddRange(new SeriesModel(one.Labels)
                {
                    Samples = [new(isSeconds ? sample.TimestampMs * 1000 : sample.TimestampMs, value)],
                }.Lines());
            }
        }
        return (text.ToString(), lines);
    }

    private static string Escape(string text) =>
        text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n");
}
