namespace Millrace.Tests.Tidy;

/// <summary>Each check against what it must find, and what it must let pass.</summary>
public sealed class TidyCheckTests
{
    private const string Architecture = """
        | Slice | Duty | Opens with | May use |
        |---|---|---|---|
        | `Model` | nouns | `LabelSet` | – |
        | `Log` | bytes | `RecordLog` | Model |
        | `Pipeline` | the path | `Engine` | all of the above, and the config records |
        | `Configuration` | the file | `Loader` | the slices' config records |
        | `Telemetry`, `Web` | metrics | `Page` | what they show |
        """;

    [Theory]
    [InlineData("Log", "using Millrace.Pipeline;\nclass A;")]
    [InlineData("Log", "class A { Millrace.Pipeline.Engine? _e; }")]
    [InlineData("Log", "class A { string S => $\"{Pipeline.Engine.Name}\"; }")]
    [InlineData("Model", "using static Millrace.Log.Log1;\nclass A;")]
    [InlineData("Pipeline", "using Millrace.Web;\nclass A;")]
    [InlineData("Elsewhere", "class A;")]
    public void Finds_an_arrow_that_the_table_does_not_have(string slice, string code) =>
        ArrowsOf(slice, code).ShouldHaveSingleItem();

    [Theory]
    [InlineData("Log", "using Millrace.Model;\nnamespace Millrace.Log;\nclass A;")]
    [InlineData("Log", "// Millrace.Pipeline.Engine\nclass A { string S => \"Millrace.Pipeline\"; }")]
    [InlineData("Log", "class A { void F() { Pipeline.Run(); other.Pipeline.Engine(); } }")]
    [InlineData("Pipeline", "using Millrace.Log;\nusing Millrace.Configuration;\nclass A;")]
    [InlineData("Configuration", "using Millrace.Pipeline;\nclass A;")]
    [InlineData("Web", "using Millrace.Telemetry;\nclass A;")]
    public void Lets_the_arrows_of_the_table_pass(string slice, string code) => ArrowsOf(slice, code).ShouldBeEmpty();

    [Fact]
    public void Refuses_a_table_that_names_no_slice() => Should.Throw<InvalidOperationException>(
        () => SliceArrows.Read("| `Log` | bytes | `RecordLog` | Memry |"));

    [Fact]
    public void Finds_a_file_that_is_too_long() => SourceChecks.LongFiles(
        [File(new string('\n', 800)), File(new string('\n', 801))]).ShouldHaveSingleItem().ShouldContain("801 lines");

    [Fact]
    public void Finds_a_line_that_is_too_long_in_characters_not_bytes() => SourceChecks.LongLines(
        [File("a\n" + new string('–', 120) + "\n" + new string('x', 121))]).ShouldBe(["a.cs:3: 121 columns"]);

    [Fact]
    public void Lets_quoted_text_be_as_long_as_it_is()
    {
        var quoted = new string('x', 121);

        SourceChecks.LongLines([File($"var s = \"\"\"\n{quoted}\n\"\"\";")]).ShouldBeEmpty();
        SourceChecks.LongLines([File($"// {quoted}\nvar s = \"{quoted}\";")]).Count().ShouldBe(2);
    }

    [Fact]
    public void Finds_a_method_that_is_too_long()
    {
        static string Method(int lines) =>
            "class A\n{\n    void F(string s = \"{\")\n    {\n" + Lines(lines - 3) + "    }\n}\n";

        SourceChecks.LongMethods([File(Method(70))]).ShouldBeEmpty();
        SourceChecks.LongMethods([File(Method(71))]).ShouldHaveSingleItem().ShouldStartWith("a.cs:3: 71 lines: void F");
    }

    [Fact]
    public void Counts_a_long_type_of_short_methods_as_short()
    {
        var methods = string.Concat(Enumerable.Repeat("int F() { return 1; }\n", 90));

        SourceChecks.LongMethods([File("class A\n{\n" + methods + "}\n")]).ShouldBeEmpty();
    }

    [Fact]
    public void Takes_no_table_of_cases_for_a_method() => SourceChecks.LongMethods(
        [File("class A\n{\n    static List<int> Cases => new()\n    {\n" + Lines(90) + "    };\n}\n")]).ShouldBeEmpty();

    [Theory]
    [InlineData("class LogManager;")]
    [InlineData("record struct SeriesInfo;")]
    [InlineData("static class StringUtils { }")]
    [InlineData("interface IDataHandler { }")]
    [InlineData("class WriteHandler : IDisposable { }")]
    public void Finds_a_type_whose_name_says_nothing(string code) =>
        SourceChecks.BannedTypeNames([File(code)]).ShouldNotBeEmpty();

    [Fact]
    public void Lets_words_pass_that_only_contain_a_banned_one() => SourceChecks.BannedTypeNames(
        [File("class MetricMetadata; // class Manager\nclass Utility; class A { string S => \"class Helper\"; }\n"
            + "class FakeHandler(int a) : HttpMessageHandler { }")])
        .ShouldBeEmpty();

    [Theory]
    [InlineData("// TO" + "DO: later")]
    [InlineData("// FIX" + "ME")]
    [InlineData("class A { void F() => Thread.Sleep(1); }")]
    [InlineData("class A { void F() => System.Console.WriteLine(); }")]
    public void Finds_what_was_left_in_the_product(string code) =>
        SourceChecks.Leftovers([File(code)]).ShouldHaveSingleItem();

    [Theory]
    [InlineData("// Copy" + "right somebody")]
    [InlineData("#region Fields")]
    [InlineData("    #endregion")]
    public void Finds_banners_and_regions(string code) =>
        SourceChecks.BannersAndRegions([File(code)]).ShouldHaveSingleItem();

    [Fact]
    public void Finds_a_silenced_analyzer() =>
        SourceChecks.SilencedAnalyzer([File("a\n#pragma warning disable RS" + "0030\n")]).ShouldHaveSingleItem();

    [Theory]
    [InlineData("no title")]
    [InlineData("# One\n\n# Two")]
    public void Finds_a_document_without_one_title(string text) =>
        DocumentChecks.TitleCounts([File(text)]).ShouldHaveSingleItem();

    [Fact]
    public void Takes_no_comment_in_a_code_block_for_a_title() =>
        DocumentChecks.TitleCounts([File("# One\n```\n# two\n```\n## Three\n")]).ShouldBeEmpty();

    [Theory]
    [InlineData("[a](gone.md)")]
    [InlineData("[a](../docs/b.md#no-such-heading)")]
    [InlineData("[a](#nowhere)")]
    public void Finds_a_link_that_leads_nowhere(string text) => BrokenLinksIn(text).ShouldHaveSingleItem();

    [Theory]
    [InlineData("[a](b.md) and [b](./b.md#when-a-point-appears) and [c](https://gone.example)")]
    [InlineData("# A (b)\n[a](#a-b)")]
    [InlineData("`[a](gone.md)`\n```\n[a](gone.md)\n```\n")]
    public void Lets_good_links_pass(string text) => BrokenLinksIn(text).ShouldBeEmpty();

    [Fact]
    public void Finds_a_metric_that_is_not_described()
    {
        const string Page = "| `millrace_a_total` | counter |\n| `millrace_b_seconds` | histogram |\n";

        DocumentChecks.UnknownMetrics([File("`millrace_a_total` millrace_b_seconds_bucket millrace-data")], Page)
            .ShouldBeEmpty();
        DocumentChecks.UnknownMetrics([File("rate(millrace_c_total[5m])")], Page).ShouldHaveSingleItem();
    }

    [Theory]
    [InlineData("a // b\nc", "a     \nc")]
    [InlineData("a /* b\n */ c", "a     \n    c")]
    [InlineData("a \"// {\" c", "a        c")]
    [InlineData("a '{' '\\'' c", "a          c")]
    [InlineData("a @\"\\\" c", "a      c")]
    [InlineData("a $\"x{b + \"}\"}{{y\" c", "a     b +          c")]
    [InlineData("a \"\"\" \" { \"\"\" c", "a             c")]
    [InlineData("a $$\"\"\"{b}{{c}}\"\"\" d", "a           c      d")]
    public void Tells_code_from_text(string text, string code) => CSharpCode.Only(text).ShouldBe(code);

    private static RepositoryFile File(string text) => new("a.cs", text);

    private static string Lines(int count) => string.Concat(Enumerable.Repeat("        F();\n", count));

    private static List<string> ArrowsOf(string slice, string code) => [.. SliceArrows.Read(Architecture).Offences(
    [
        new($"src/Millrace/{slice}/A.cs", code), new("src/Millrace/Pipeline/Engine.cs", "class Engine;"),
    ])];

    private static List<string> BrokenLinksIn(string text) => [.. DocumentChecks.BrokenLinks(
        [new("docs/a.md", text)], static path => path is "docs/a.md" or "docs/b.md",
        path => path == "docs/a.md" ? text : "# B\n## When a *point* appears\n")];
}
