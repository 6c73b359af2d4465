using System.Globalization;
using System.Text;
using Millrace.Protocols;
using Millrace.Protocols.Text;

namespace Millrace.Tests.Protocols.Text;

public sealed class PrometheusTextDecoderTests
{
    private readonly RecordingSink.Record _record = new();

    [Fact]
    public void Reads_the_example_of_the_format_description()
    {
        Decode("""
            # HELP http_requests_total The total number of HTTP requests.
            # TYPE http_requests_total counter
            http_requests_total{method="post",code="200"} 1027 1395066363000
            http_requests_total{method="post",code="400"}    3 1395066363000

            # Escaping in label values:
            msdos_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

            # Minimalistic line:
            metric_without_timestamp_and_labels 12.47

            # A weird metric from before the epoch:
            something_weird{problem="division by zero"} +Inf -3982045000000
            """).ShouldBe([
                "metadata http_requests_total Counter 'The total number of HTTP requests.' ''",
                "series __name__=http_requests_total,method=post,code=200", "sample 1395066363000 1027 start 0",
                "series __name__=http_requests_total,method=post,code=400", "sample 1395066363000 3 start 0",
                "series __name__=msdos_access_time_seconds,path=C:\\DIR\\FILE.TXT,"
                    + "error=Cannot find file:\n\"FILE.TXT\"", "sample arrival 1458255915 start 0",
                "series __name__=metric_without_timestamp_and_labels", "sample arrival 12.47 start 0",
                "series __name__=something_weird,problem=division by zero",
                "sample -3982045000000 Infinity start 0"]);
    }

    [Fact]
    public void Tolerates_open_metrics()
    {
        Decode("""
            # TYPE foo_seconds counter
            # UNIT foo_seconds seconds
            # HELP foo_seconds Says \\ and\nmore.
            foo_seconds_total{a="b"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67 1520879606
            foo_seconds_created{a="b"} 1520430000.123
            # TYPE bar gaugehistogram
            # EOF
            """).ShouldBe([
                "metadata foo_seconds Counter 'Says \\ and\nmore.' 'seconds'",
                "series __name__=foo_seconds_total,a=b", "sample 1520879607789 17 start 0",
                "exemplar 1520879606000 0.67 trace_id=KOO5S4vxi0o",
                "series __name__=foo_seconds_created,a=b", "sample arrival 1520430000.123 start 0",
                "metadata bar GaugeHistogram '' ''"]);
    }

    [Theory]
    [InlineData("up 1", "__name__=up")]
    [InlineData("up{} 1", "__name__=up")]
    [InlineData("  up\t{ a = \"b\" , c=\"d\" , } 1", "__name__=up,a=b,c=d")]
    [InlineData("up{a=\"\"} 1\r", "__name__=up,a=")]
    [InlineData("{\"my.metric\", a=\"b\"} 1", "__name__=my.metric,a=b")]
    [InlineData("{\"my \\\"metric\\\"\"} 1", "__name__=my \"metric\"")]
    [InlineData("up{\"a.b\\\\\"=\"c\\\\d\"} 1", "__name__=up,a.b\\=c\\d")]
    [InlineData("up{a=\"\\d}\"} 1", "__name__=up,a=\\d}")]
    [InlineData("température{à=\"ç\"} 1", "__name__=température,à=ç")]
    [InlineData("{a=\"b\"} 1", "a=b")]
    [InlineData("{__name__=\"up\"} 1", "__name__=up")]
    [InlineData("up 1 # a comment", "__name__=up")]
    public void Labels_are_taken_as_written(string line, string labels)
    {
        Decode(line)[0].ShouldBe("series " + labels);
    }

    [Theory]
    [InlineData("1")]
    [InlineData("-0")]
    [InlineData("1e5")]
    [InlineData("+1.5E-3")]
    [InlineData(".5")]
    [InlineData("5.")]
    [InlineData("123456789012345678901234567890")]
    [InlineData("2.2250738585072011e-308")]
    [InlineData("0.1000000000000000055511151231257827021181583404541015625")]
    [InlineData("9007199254740993")]
    [InlineData("179769313486231570814527423731704356798070e267")]
    public void Values_are_read_as_the_platform_reads_them(string value)
    {
        Decode("up " + value)[1].ShouldBe(
            $"sample arrival {RecordingSink.Bits(double.Parse(value, CultureInfo.InvariantCulture))} start 0");
    }

    [Theory]
    [InlineData("NaN", "nan:fff8000000000000")]
    [InlineData("nan", "nan:fff8000000000000")]
    [InlineData("Inf", "Infinity")]
    [InlineData("+Inf", "Infinity")]
    [InlineData("-Inf", "-Infinity")]
    [InlineData("-inf", "-Infinity")]
    [InlineData("Infinity", "Infinity")]
    public void Values_that_are_not_numbers_have_names(string value, string bits)
    {
        Decode("up " + value)[1].ShouldBe($"sample arrival {bits} start 0");
    }

    [Theory]
    [InlineData("1760000000000", "1760000000000")]
    [InlineData("1760000000", "1760000000000")]
    [InlineData("1760000000.5", "1760000000500")]
    [InlineData("-1", "-1000")]
    [InlineData("2147483648", "2147483648")]
    [InlineData("-9223372036854775808", "-9223372036854775807")]
    public void Timestamps_are_milliseconds_or_small_enough_to_be_seconds(string text, string timestampMs)
    {
        Decode("up 1 " + text)[1].ShouldBe($"sample {timestampMs} 1 start 0");
    }

    [Theory]
    [InlineData("up", "a value is missing or not a number")]
    [InlineData("up one", "a value is missing or not a number")]
    [InlineData("up 1x", "a value is missing or not a number")]
    [InlineData("up + 1", "a value is missing or not a number")]
    [InlineData("up 1 now", "a timestamp is not a number")]
    [InlineData("up 1 1e300", "a timestamp is not a number")]
    [InlineData("up 1 NaN", "a timestamp is not a number")]
    [InlineData("up 1 1 1", "something follows the timestamp")]
    [InlineData("12 13", "a sample does not begin with a metric name")]
    [InlineData("=", "a sample does not begin with a metric name")]
    [InlineData("up{a=\"b\" 1", "a label is followed by neither , nor }")]
    [InlineData("up{a=b} 1", "a label value is not in double quotes, or they are not closed")]
    [InlineData("up{a=\"b} 1", "a label value is not in double quotes, or they are not closed")]
    [InlineData("up{a=\"b\\", "a label value is not in double quotes, or they are not closed")]
    [InlineData("up{a} 1", "a label name is not followed by =")]
    [InlineData("up{=\"a\"} 1", "a label name is missing, or its quotes or braces are not closed")]
    [InlineData("up{", "a label name is missing, or its quotes or braces are not closed")]
    [InlineData("up{\"a", "a label name is missing, or its quotes or braces are not closed")]
    [InlineData("# TYPE", "a HELP, TYPE or UNIT comment names no metric")]
    [InlineData("up 1 # {a=\"b\"}", "an exemplar's value or timestamp is missing or not a number")]
    [InlineData("up 1 # {a=\"b\"} 1 1 1", "something follows an exemplar")]
    public void A_bad_line_refuses_the_body_and_is_named(string line, string reason)
    {
        var sink = new RecordingSink(_record);

        PrometheusTextDecoder.TryDecode(
            Encoding.UTF8.GetBytes("good 1\n\n" + line + "\ngood 2\n"), ref sink, DecodeLimits.Default, out var error)
            .ShouldBeFalse();
        error.ShouldBe($"The text is malformed in line 3: {reason}.");
    }

    [Fact]
    public void Samples_and_label_bytes_are_bounded()
    {
        var body = "a{b=\"ccccccccccccc\"} 1\na{b=\"c\"} 2\n"u8;
        var sink = default(CountingSink);

        PrometheusTextDecoder.TryDecode(body, ref sink, new DecodeLimits { MaxSeries = 1 }, out var error)
            .ShouldBeFalse();
        error.ShouldContain("line 2: it holds more samples");
        PrometheusTextDecoder.TryDecode(body, ref sink, new DecodeLimits { MaxLabelBlockBytes = 30 }, out error)
            .ShouldBeFalse();
        error.ShouldContain("line 1: its labels are longer than allowed");
    }

    [Fact]
    public void Known_series_cost_no_allocation()
    {
        var text = new StringBuilder("# HELP a Some \\n help.\n# TYPE a counter\n");
        for (var i = 0; i < 1000; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"a{{path=\"C:\\\\x{i}\"}} {i}.25 17600000000{i:d2}\n");
        }
        var body = Encoding.UTF8.GetBytes(text.ToString());

        Allocations.Of(() =>
        {
            var sink = default(CountingSink);
            PrometheusTextDecoder.TryDecode(body, ref sink, DecodeLimits.Default, out _).ShouldBeTrue();
            return sink.Samples;
        }).ShouldBe((1000, 0));
    }

    private List<string> Decode(string text)
    {
        var sink = new RecordingSink(_record);
        PrometheusTextDecoder.TryDecode(
            Encoding.UTF8.GetBytes(text), ref sink, DecodeLimits.Default, out var error).ShouldBeTrue(error);
        return _record.Lines;
    }
}
