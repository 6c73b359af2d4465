using FsCheck;
using FsCheck.Fluent;
using Millrace.Model;

namespace Millrace.Tests.Model;

public sealed class SeriesSelectorTests
{
    private static readonly LabelSet Foo = LabelSet.Of(("__name__", "foo"), ("a", "1"), ("b", "xy\nz"));

    [Theory]
    [InlineData("foo", true)]
    [InlineData(" foo # the name\n", true)]
    [InlineData("fo", false)]
    [InlineData("{}", true)]
    [InlineData("foo{}", true)]
    [InlineData("bar{}", false)]
    [InlineData("{a=\"1\"}", true)]
    [InlineData("{ a = '1' , }", true)]
    [InlineData("{a=`1`}", true)]
    [InlineData("{a!=\"1\"}", false)]
    [InlineData("foo{a=\"1\",b=~\"x.*\"}", true)]
    [InlineData("{b=~\"x\"}", false)]
    [InlineData("{b!~\"y.*\"}", true)]
    [InlineData("{x=\"\"}", true)]
    [InlineData("{x!=\"w\"}", true)]
    [InlineData("{x=~\"y|\"}", true)]
    [InlineData("{x=~\".+\"}", false)]
    [InlineData("{a=\"\"}", false)]
    [InlineData("{\"foo\", a=\"1\"}", true)]
    [InlineData("{\"foo\"}", true)]
    [InlineData("{\"a\"=\"1\"}", true)]
    [InlineData("{a=\"2\" or b=~\"x.*\"}", true)]
    [InlineData("foo{a=\"2\" or b=~\"x.*\"}", true)]
    [InlineData("bar{a=\"1\" or b=~\"x.*\"}", false)]
    [InlineData("{a=\"1\",b=\"\" OR a=\"3\"}", false)]
    [InlineData("{or=\"\"}", true)]
    [InlineData("{__name__=\"foo\"}", true)]
    [InlineData("{b=\"xy\\nz\"}", true)]
    [InlineData("{b='x\\x79\\u000az'}", true)]
    [InlineData("{b=\"x\"+'y\\n'+`z`}", true)]
    [InlineData("f\\x6fo", true)]
    public void Matches_as_Prometheus_and_MetricsQL_do(string text, bool expected)
    {
        SeriesSelector.TryParse(text, out var selector, out var error).ShouldBeTrue(error);

        selector.Matches(Foo).ShouldBe(expected);

        SeriesSelector.TryParse(selector.ToString(), out var again, out error).ShouldBeTrue(error);
        again.ToString().ShouldBe(selector.ToString());
        again.Matches(Foo).ShouldBe(expected);
    }

    [Theory]
    [InlineData("", "position 1: the selector is empty")]
    [InlineData("  ", "position 1: the selector is empty")]
    [InlineData("123", "position 1: \"123\" is a number")]
    [InlineData("-1", "is a number")]
    [InlineData("5m", "is a number")]
    [InlineData("Inf", "is a number")]
    [InlineData("nan", "is a number")]
    [InlineData("\"foo\"", "a quoted metric name stands in braces: {\"foo\"}")]
    [InlineData("sum(foo)", "position 4: \"sum\" is called as a function")]
    [InlineData("foo[5m]", "position 4: \"[5m]\" is a window, which belongs to a query; write only foo")]
    [InlineData("foo{a=\"1\"}[5m]", "write only foo{a=\"1\"}")]
    [InlineData("foo or bar", "position 5: \"or\" between selectors")]
    [InlineData("foo offset 5m", "shifts time")]
    [InlineData("foo @ 1", "shifts time")]
    [InlineData("foo + bar", "found \"+ bar\" after the selector; write only foo")]
    [InlineData("{a=\"1\"}{b=\"2\"}", "already has its braces")]
    [InlineData("(foo)", "write a series selector such as foo{a=\"1\"}")]
    [InlineData("{a=\"1\"", "is never closed")]
    [InlineData("{a=\"1}", "the quote opened here is never closed")]
    [InlineData("{a}", "write one of = != =~ !~")]
    [InlineData("{a=1}", "write it in quotes, such as a=\"value\"")]
    [InlineData("{a=~\"(\"}", "position 2: invalid regular expression \"(\"")]
    [InlineData("{a=\"1\" b=\"2\"}", "write a comma, \"or\" or }")]
    [InlineData("{a=\"1\" or }", "a matcher must follow \"or\"")]
    [InlineData("{,}", "where a label name is expected")]
    [InlineData("{\"\"=\"x\"}", "the label name is empty")]
    [InlineData("{a=~\"x\\.y\"}", "\"\\.\" is not an escape; write \\\\.")]
    [InlineData("{a=\"\\xff\"}", "valid UTF-8")]
    [InlineData("{a=\"x\ny\"}", "line break")]
    public void Says_where_what_is_wrong_and_what_to_write(string text, string expected)
    {
        SeriesSelector.TryParse(text, out _, out var error).ShouldBeFalse();

        error.ShouldStartWith("position ");
        error.ShouldContain(expected);
    }

    [Theory]
    [InlineData("foo{a=\"1\",b=~\"x\" or c!=\"2\"}", "foo{a=\"1\",b=~\"x\" or c!=\"2\"}")]
    [InlineData("{__name__='foo'}", "foo")]
    [InlineData("{a='1',__name__='foo'}", "{a=\"1\",__name__=\"foo\"}")]
    [InlineData("{\"my-name\",'my label'!~`\\d`}", "{__name__=\"my-name\",\"my label\"!~\"\\\\d\"}")]
    [InlineData("{}", "{}")]
    public void Prints_in_one_form(string text, string expected)
    {
        SeriesSelector.TryParse(text, out var selector, out _).ShouldBeTrue();

        selector.ToString().ShouldBe(expected);
    }

    [Fact]
    public void Any_of_several_selectors_is_enough_and_none_choose_nothing()
    {
        SeriesSelector.TryParse("bar", out var bar, out _).ShouldBeTrue();
        SeriesSelector.TryParse("{a=\"1\"}", out var one, out _).ShouldBeTrue();

        SeriesSelector.AnyOf([bar, one]).Matches(Foo).ShouldBeTrue();
        SeriesSelector.AnyOf([bar]).Matches(Foo).ShouldBeFalse();
        SeriesSelector.AnyOf([]).Matches(Foo).ShouldBeFalse();
    }

    [Fact]
    public void Every_label_and_value_round_trips()
    {
        var value = Gen.Elements("a", "\"", "\\", "\n", "'", "`", "é", "😀", "\0", "{", " or ", "#", "=", "nan")
            .ListOf().Select(string.Concat);
        Prop.ForAll(value.ToArbitrary(), value.ToArbitrary(), (name, text) =>
        {
            if (name.Length == 0)
            {
                return;
            }
            LabelMatcher.TryCreate(name, MatchOperator.NotEqual, text, out var matcher, out _);
            LabelMatcher.TryCreate(LabelSet.MetricName, MatchOperator.Equal, name, out var metric, out _);
            foreach (var group in new LabelMatcher[][] { [matcher!], [metric!, matcher!] })
            {
                var written = new SeriesSelector([group]);
                SeriesSelector.TryParse(written.ToString(), out var read, out var error).ShouldBeTrue(error);
                read.ToString().ShouldBe(written.ToString());
                read.Groups[0][^1].Name.ShouldBe(name);
                read.Groups[0][^1].Value.ShouldBe(text);
            }
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void No_text_makes_the_parser_throw()
    {
        var piece = Gen.Elements("{", "}", "\"", "a", "=", "~", "!", ",", "or", " ", "\\", "x", "(", "[", "1", "`", "+",
            "#", "\n", "\\x", "\\u12", "😀", "\ud800");
        Prop.ForAll(piece.ListOf().Select(string.Concat).ToArbitrary(), text =>
            SeriesSelector.TryParse(text, out _, out var error) == (error.Length == 0)).QuickCheckThrowOnFailure();
    }
}
