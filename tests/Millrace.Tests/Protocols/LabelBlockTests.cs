using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

public sealed class LabelBlockTests
{
    private readonly List<Label> _labels = [];

    [Fact]
    public void Any_label_set_comes_back_from_its_block()
    {
        var texts = ArbMap.Default.GeneratorFor<NonEmptyString>().Select(Wellformed);
        var labelSets = Gen.Zip(texts, texts).ListOf().Select(pairs => LabelSet.From(
            pairs.Take(100).Select(p => new Label(p.Item1, p.Item2)).Append(new Label("__name__", "up"))));
        Prop.ForAll(labelSets.ToArbitrary(), labels =>
        {
            LabelBlock.TryParse(LabelBlock.Encode(labels), LabelLimits.Default, _labels, out _).ShouldBeTrue();
            _labels.ShouldBe(labels.Labels.ToArray());
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void A_block_is_encoded_as_go_does_it()
    {
        Convert.ToHexString(LabelBlock.Encode(LabelSet.Of(("b", "x"), ("__name__", "up")))).ShouldBe(
            "0A0E" + "0A085F5F6E616D655F5F" + "12027570" + "0A06" + "0A0162" + "120178");
    }

    [Fact]
    public void Unsorted_labels_are_sorted_and_empty_values_dropped()
    {
        Parse("z", "1", "a", "", "__name__", "up", "b", "2").ShouldBe(LabelDefect.None);
        _labels.ShouldBe(SeriesModel.LabelsOf("__name__", "up", "b", "2", "z", "1"));
    }

    [Fact]
    public void Names_are_sorted_by_code_point()
    {
        Parse("\uFFFD", "1", "\U0001F30D", "2", "__name__", "up").ShouldBe(LabelDefect.None);
        _labels[^1].Name.ShouldBe("\U0001F30D");
    }

    [Theory]
    [InlineData(LabelDefect.DuplicateName, "__name__", "up", "a", "1", "a", "2")]
    [InlineData(LabelDefect.DuplicateName, "__name__", "up", "a", "1", "b", "", "a", "")]
    [InlineData(LabelDefect.EmptyName, "__name__", "up", "", "1")]
    [InlineData(LabelDefect.TooManyLabels, "__name__", "up", "a", "1", "b", "2", "c", "3", "d", "4")]
    [InlineData(LabelDefect.NameTooLong, "__name__", "up", "a23456789", "1")]
    [InlineData(LabelDefect.ValueTooLong, "__name__", "up", "a", "12345678901")]
    [InlineData(LabelDefect.MissingMetricName, "a", "1")]
    [InlineData(LabelDefect.MissingMetricName, "__name__", "")]
    [InlineData(LabelDefect.MissingMetricName)]
    [InlineData(LabelDefect.None, "__name__", "résumé", "a b", "1\n")]
    public void Defects_are_named(object defect, params string[] namesAndValues)
    {
        Parse(namesAndValues).ShouldBe((LabelDefect)defect);
    }

    [Fact]
    public void A_series_without_metric_name_still_gives_its_labels()
    {
        Parse("b", "1", "a", "2").ShouldBe(LabelDefect.MissingMetricName);

        _labels.ShouldBe(SeriesModel.LabelsOf("a", "2", "b", "1"));
    }

    [Theory]
    [InlineData("0A060A0161" + "1201FF", LabelDefect.InvalidUtf8)]
    [InlineData("0A060A01C0" + "120161", LabelDefect.InvalidUtf8)]
    [InlineData("0A08" + "0A0161" + "1203EDA080", LabelDefect.InvalidUtf8)]
    [InlineData("0A05", LabelDefect.Malformed)]
    [InlineData("1200", LabelDefect.Malformed)]
    [InlineData("0A030A0561", LabelDefect.Malformed)]
    [InlineData("0A020805", LabelDefect.Malformed)]
    public void Bytes_that_are_no_labels_are_named(string hex, object defect)
    {
        LabelBlock.TryParse(Convert.FromHexString(hex), LabelLimits.Default, _labels, out var found).ShouldBeFalse();
        found.ShouldBe((LabelDefect)defect);
    }

    [Fact]
    public void Every_defect_can_be_told()
    {
        foreach (var defect in Enum.GetValues<LabelDefect>().Where(d => d != LabelDefect.None))
        {
            LabelBlock.Describe(defect).ShouldNotBeEmpty();
        }
    }

    private LabelDefect Parse(params string[] namesAndValues)
    {
        var labels = SeriesModel.LabelsOf(namesAndValues);
        var block = new byte[LabelBlock.EncodedBytes(labels)];
        LabelBlock.Encode(labels, block).ShouldBe(block.Length);
        var wellFormed = LabelBlock.TryParse(block, new LabelLimits(4, 8, 10), _labels, out var defect);
        wellFormed.ShouldBe(defect == LabelDefect.None);
        return defect;
    }

    /// <summary>Lone surrogates have no UTF-8.</summary>
    private static string Wellformed(NonEmptyString text) =>
        Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text.Get));
}
