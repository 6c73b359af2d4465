using Millrace.Aggregation;
using Millrace.Protocols;

namespace Millrace.Tests.Aggregation;

/// <summary>Type, help and unit of outputs.</summary>
public sealed class OutputMetadataTests
{
    [Theory]
    [InlineData("total", "counter, Bytes sent. (total over 1m without pod), bytes")]
    [InlineData("total_prometheus", "counter, Bytes sent. (total_prometheus over 1m without pod), bytes")]
    [InlineData("sum_samples_total", "counter, Bytes sent. (sum_samples_total over 1m without pod), bytes")]
    [InlineData("increase", "gauge, Bytes sent. (increase over 1m without pod), bytes")]
    [InlineData("sum_samples", "gauge, Bytes sent. (sum_samples over 1m without pod), bytes")]
    [InlineData("sum_last", "gauge, Bytes sent. (sum_last over 1m without pod), bytes")]
    [InlineData("avg", "gauge, Bytes sent. (avg over 1m without pod), bytes")]
    [InlineData("min", "gauge, Bytes sent. (min over 1m without pod), bytes")]
    [InlineData("stddev", "gauge, Bytes sent. (stddev over 1m without pod), bytes")]
    [InlineData("quantiles(0.5, 0.9)", "gauge, Bytes sent. (quantiles over 1m without pod), bytes")]
    [InlineData("topk(3, pod)", "gauge, Bytes sent. (topk_pod over 1m without pod), bytes")]
    [InlineData("histogram_bucket", "histogram, Bytes sent. (histogram_bucket over 1m without pod), bytes")]
    [InlineData("rate_sum", "gauge, Bytes sent. (rate_sum over 1m without pod), ")]
    [InlineData("rate_avg", "gauge, Bytes sent. (rate_avg over 1m without pod), ")]
    [InlineData("stdvar", "gauge, Bytes sent. (stdvar over 1m without pod), ")]
    [InlineData("count_series", "gauge, Bytes sent. (count_series over 1m without pod), ")]
    [InlineData("count_samples", "gauge, Bytes sent. (count_samples over 1m without pod), ")]
    [InlineData("distinct(pod)", "gauge, Bytes sent. (distinct_pod over 1m without pod), ")]
    public void An_output_says_what_it_is(string output, string expected) =>
        Describe(output, "sent_total", new MetricMetadata("sent_total", MetricType.Counter, "Bytes sent.", "bytes"))
            .ShouldBe(expected);

    [Fact]
    public void Of_an_input_that_nobody_told_of_the_help_names_it()
    {
        Describe("rate_sum", "sent_total", null).ShouldBe("gauge, rate_sum of sent_total over 1m without pod, ");
        Describe("rate_sum", "", null).ShouldBe("gauge, rate_sum over 1m without pod, ");
    }

    [Fact]
    public void Buckets_have_no_unit_and_sums_have()
    {
        var input = new MetricMetadata("took", MetricType.Histogram, "", "seconds");
        Describe("increase", "took_bucket", input)
            .ShouldBe("gauge, increase of took_bucket over 1m without pod, ");
        Describe("increase", "took_sum", input).ShouldBe("gauge, increase of took_sum over 1m without pod, seconds");
    }

    [Fact]
    public void Buckets_that_keep_their_name_and_go_on_counting_are_still_buckets()
    {
        var rule = Rule("total");
        var input = new MetricMetadata("took", MetricType.Histogram, "Time.", "seconds");
        OutputMetadata.Describe(rule, rule.Outputs[0], "took_bucket", "took_bucket", false, input)
            .ShouldBe(new MetricMetadata(
                "took", MetricType.Histogram, "Time. (total over 1m without pod)", "seconds"));
        rule = Rule("increase");
        OutputMetadata.Describe(rule, rule.Outputs[0], "took_bucket", "took_bucket", false, input)
            .ShouldBe(new MetricMetadata("took_bucket", MetricType.Gauge, "Time. (increase over 1m without pod)", ""));
    }

    [Theory]
    [InlineData("total", MetricType.Histogram)]
    [InlineData("increase", MetricType.GaugeHistogram)]
    [InlineData("sum_last", MetricType.GaugeHistogram)]
    public void Native_histograms_are_histograms(string output, MetricType type)
    {
        var rule = Rule(output);
        var told = OutputMetadata.Describe(
            rule, rule.Outputs[0], "took", "x", true, new MetricMetadata("took", MetricType.Histogram, "", "seconds"));
        told.Type.ShouldBe(type);
        told.Unit.ShouldBe("seconds");
    }

    [Fact]
    public void Long_texts_are_cut_between_characters()
    {
        var input = new MetricMetadata("m", MetricType.Gauge, string.Concat(Enumerable.Repeat("🙂", 5_000)), "");
        var rule = Rule("avg");
        var help = OutputMetadata.Describe(rule, rule.Outputs[0], "m", "m:1m_avg", false, input).Help;
        help.ShouldBe(string.Concat(Enumerable.Repeat("🙂", 128)) + " (avg over 1m without pod)");
        OutputMetadata.Cut("a🙂", 2).ShouldBe("a");
    }

    private static string Describe(string output, string metric, MetricMetadata? input)
    {
        var rule = Rule(output);
        var told = OutputMetadata.Describe(rule, rule.Outputs[0], metric, "family", false, input);
        told.Family.ShouldBe("family");
        return $"{told.Type.ToString().ToLowerInvariant()}, {told.Help}, {told.Unit}";
    }

    private static AggregationRule Rule(string output) => new(
        new AggregationRuleConfig
        {
            Interval = TimeSpan.FromMinutes(1),
            IntervalText = "1m",
            Without = ["pod"],
            Outputs = [output],
        },
        0);
}
