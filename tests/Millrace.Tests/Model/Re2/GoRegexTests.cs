using System.Diagnostics;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Model.Re2;

namespace Millrace.Tests.Model.Re2;

/// <summary>What is expected here is what Go's regexp package answers.</summary>
public sealed class GoRegexTests
{
    [Theory]
    [InlineData("x", "x", true)]
    [InlineData("x", "xx", false)]
    [InlineData("", "", true)]
    [InlineData("", "x", false)]
    [InlineData("a|", "", true)]
    [InlineData("a|b|foo(bar|baz)?", "foobaz", true)]
    [InlineData("a|b|foo(bar|baz)?", "foo", true)]
    [InlineData("a|b|foo(bar|baz)?", "bar", false)]
    [InlineData("foo.*", "foo", true)]
    [InlineData("foo.+", "foo", false)]
    [InlineData("foo.+", "foo\n", true)]
    [InlineData(".*_total|.*_count", "x_count", true)]
    [InlineData(".*a.*b", "xaxxb", true)]
    [InlineData(".+a.+", "a", false)]
    [InlineData(".+a.+", "aaa", true)]
    [InlineData("(.*)ab", "aab", true)]
    [InlineData("ab.*bc", "abc", false)]
    [InlineData("^foo$", "foo", true)]
    [InlineData("^a|b$", "xb", false)]
    [InlineData("a.c", "a😀c", true)]
    [InlineData("a..c", "a😀c", false)]
    [InlineData("[^x]", "😀", true)]
    [InlineData("[😀-😂]", "😁", true)]
    [InlineData(@"\d+", "٣", false)]
    [InlineData(@"\w", "é", false)]
    [InlineData(@"\s", "\v", false)]
    [InlineData("[[:space:]]", "\v", true)]
    [InlineData("[[:^alpha:]-]", "a", false)]
    [InlineData(@"é\b", "é", false)]
    [InlineData(@"a\b.*", "aé", true)]
    [InlineData(@"a\z", "a", true)]
    [InlineData(@"\Aa", "a", true)]
    [InlineData(@"\Qa.b\E+", "a.bb", true)]
    [InlineData(@"\Qa.b", "a.b", true)]
    [InlineData(@"\pL\p{Nd}\PL", "é5-", true)]
    [InlineData(@"\p{^Lu}", "A", false)]
    [InlineData(@"[\pL\d_]+", "é5_", true)]
    [InlineData(@"\x41\x{1F600}\101", "A😀A", true)]
    [InlineData("a{,2}", "a{,2}", true)]
    [InlineData("{", "{", true)]
    [InlineData("[]a]+", "]a", true)]
    [InlineData("[^]a]", "]", false)]
    [InlineData("[a-]", "-", true)]
    [InlineData("a.b", "a\nb", true)]
    [InlineData("(?-s)a.b", "a\nb", false)]
    [InlineData("(?-s:a.b)", "a\nb", false)]
    [InlineData("(?m)a$\n^b", "a\nb", true)]
    [InlineData("(?i)straße", "STRASSE", false)]
    [InlineData("(?i)straße", "STRAẞE", true)]
    [InlineData("(?i)k", "K", true)]
    [InlineData("(?i)s", "ſ", true)]
    [InlineData("(?i)[a-z]", "K", true)]
    [InlineData("(?i)i", "İ", false)]
    [InlineData("(?i)i", "ı", false)]
    [InlineData(@"(?i)\W", "ſ", false)]
    [InlineData("(?i)[^k]", "K", false)]
    [InlineData("(?i)µ", "Μ", true)]
    [InlineData("a(?i)b|c", "aB", true)]
    [InlineData("a(?i)b|c", "C", true)]
    [InlineData("a(?i:b)c", "aBC", false)]
    public void Matches_whole_texts_as_Go_does(string pattern, string text, bool expected)
    {
        Anchored(pattern).IsMatch(text).ShouldBe(expected);
        MatchInParallel(pattern, text).ShouldBe(expected);
    }

    [Theory]
    [InlineData("(a+|b)+", "ab", "0-2 1-2")]
    [InlineData("(fo|foo)", "foo", "0-2 0-2")]
    [InlineData("a*", "baa", "0-0")]
    [InlineData("(a*)*", "b", "0-0 0-0")]
    [InlineData("(a*)+", "b", "0-0 0-0")]
    [InlineData("(a|b)*?b", "aab", "0-3 1-2")]
    [InlineData("(?U)a+", "aa", "0-1")]
    [InlineData("(?U)a+?", "aa", "0-2")]
    [InlineData("(|a)*", "aa", "0-0 0-0")]
    [InlineData("(|a)+", "aa", "0-0 0-0")]
    [InlineData("(a)(b)?", "ac", "0-1 0-1 -")]
    [InlineData(@"\bfoo\b", "nofoo foo", "6-9")]
    [InlineData("h.*o", "goodbye\nhello\n", "8-13")]
    [InlineData("(.)(.)", "😀x", "0-3 0-2 2-3")]
    [InlineData("(a{0,2})*", "aaaa", "0-4 2-4")]
    [InlineData("(?:(a)|b){2}", "ab", "0-2 0-1")]
    [InlineData("x(?P<n>y)", "xy", "0-2 1-2")]
    [InlineData("x(?<n>y)", "xy", "0-2 1-2")]
    [InlineData("b", "a", "none")]
    public void Finds_the_leftmost_first_match(string pattern, string text, string expected)
    {
        GoRegex.TryCreateSearch(pattern, out var regex, out var error).ShouldBeTrue(error);
        var captures = new int[regex!.CaptureSlots];

        Show(regex.TryMatch(text, 0, captures), captures).ShouldBe(expected);

        var program = RegexProgram.Compile(Parse(pattern, dotMatchesNewline: false));
        Show(ParallelMatcher.TryMatch(program, text, 0, whole: false, captures), captures).ShouldBe(expected);
    }

    [Theory]
    [InlineData("(", "is not closed")]
    [InlineData("a)", "closes no group")]
    [InlineData("[a", "is not closed")]
    [InlineData("*", "nothing to repeat")]
    [InlineData("a|*", "nothing to repeat")]
    [InlineData("(?i)*", "nothing to repeat")]
    [InlineData("x**", "repeats a repetition")]
    [InlineData("x++", "possessive")]
    [InlineData("x{2}{3}", "repeats a repetition")]
    [InlineData("x{1001}", "repeat count")]
    [InlineData("x{2,1}", "repeat count")]
    [InlineData("(x{100}){11}", "multiply")]
    [InlineData("(?=a)", "lookaround")]
    [InlineData("(?<!a)", "lookaround")]
    [InlineData("(?>a)", "atomic")]
    [InlineData(@"(a)\1", "backreference")]
    [InlineData(@"\Z", "not known to RE2")]
    [InlineData(@"\C", "not known to RE2")]
    [InlineData(@"[\b]", "not known to RE2")]
    [InlineData(@"a\", "a backslash ends")]
    [InlineData("[b-a]", "upside down")]
    [InlineData("[[:foo:]]", "not known")]
    [InlineData(@"\p{Foo}", "not known")]
    [InlineData(@"\x{110000}", "not complete")]
    [InlineData("(?P<n-x>a)", "name of the group")]
    [InlineData("(?P=n)", "not supported")]
    [InlineData("(?z)", "not supported")]
    [InlineData("(?i-)", "not supported")]
    public void Refuses_what_Go_refuses(string pattern, string expected)
    {
        GoRegex.TryCreateAnchored(pattern, out _, out var error).ShouldBeFalse();

        error.ShouldContain(expected);
        error.ShouldContain($"\"{pattern}\", position ");
    }

    [Fact]
    public void Refuses_patterns_that_are_too_deep_or_too_large()
    {
        GoRegex.TryCreateAnchored(new string('(', 100_000), out _, out var error).ShouldBeFalse();
        error.ShouldContain("deep");
        var wide = string.Concat(Enumerable.Repeat("(a|b{9}){99}", 2000));
        GoRegex.TryCreateAnchored(wide, out _, out error).ShouldBeFalse();
        error.ShouldContain("too large");
    }

    [Fact]
    public void No_pattern_and_text_make_it_hang()
    {
        var text = new string('a', 20_000) + "!";
        var watch = Stopwatch.StartNew();
        foreach (var pattern in new[] { "(a*)*b", "(a|aa)+", "(a+)+$", "(.*)(.*)(.*)(.*)x", "(?:a?){500}a{500}" })
        {
            Anchored(pattern).IsMatch(text).ShouldBeFalse();
        }
        watch.Elapsed.ShouldBeLessThan(TimeSpan.FromSeconds(10));
    }

    [Theory]
    [InlineData("(.)(.)", "pq", "$1x|${1}x|$$1|$|${|$3|$01", "|px|$1|$|${||")]
    [InlineData("(?P<first>.)(.)", "pq", "$2-${first}-$first2-$0", "q-p--pq")]
    [InlineData("(a)|(b)", "b", "[$1$2]", "[b]")]
    [InlineData(".*", "x", "${1", "${1")]
    [InlineData(".*", "x", "a$", "a$")]
    [InlineData("(.)", "é", "$1é$1", "é")]
    public void Expands_as_Go_does(string pattern, string text, string template, string expected)
    {
        var regex = Anchored(pattern);
        var captures = new int[regex.CaptureSlots];
        regex.TryMatch(text, 0, captures).ShouldBeTrue();
        var output = new CharBuffer();

        regex.Expand(template, text, captures, output);

        output.Span.ToString().ShouldBe(expected);
    }

    [Theory]
    [InlineData("a*", "baac", "x", "xbxcx")]
    [InlineData("-", "a-b-", "_", "a_b_")]
    [InlineData("(a)(b)?", "abaa", "<$2>", "<b><><>")]
    [InlineData("", "a😀", ".", ".a.😀.")]
    [InlineData("^a", "aa", "", "a")]
    [InlineData(@"\b", "ab c", "|", "|ab| |c|")]
    [InlineData(".*", "a\nb", "[$0]", "[a]\n[b]")]
    public void Replaces_all_matches_as_Go_does(string pattern, string text, string template, string expected)
    {
        GoRegex.TryCreateSearch(pattern, out var regex, out _).ShouldBeTrue();
        var output = new CharBuffer();

        regex!.ReplaceAll(text, template, output);

        output.Span.ToString().ShouldBe(expected);
    }

    [Theory]
    [InlineData("(.+)(.+)", "😀", false)]
    [InlineData("(.+)(.+)", "😀a", true)]
    [InlineData(".+a.+", "😀a", false)]
    public void A_character_beyond_the_first_plane_is_one(string pattern, string text, bool matches) =>
        Anchored(pattern).IsMatch(text).ShouldBe(matches);

    [Fact]
    public void The_fast_shapes_and_both_matchers_agree()
    {
        var atom = Gen.Elements("a", "b", "é", "😀", ".", ".*", ".+", "(.*)", "(.+)", "(a|b)", "[ab]", "a?", "(?:ab)*",
            "(b+)", "|", "(a*|b)*", "^", "$", @"\b", "x{2,3}?", "(?i)A");
        var text = Gen.Elements("a", "b", "é", "😀", "ab", "x", "xx", "\n", "A").ListOf().Select(string.Concat);
        var pattern = atom.ListOf().Select(string.Concat);

        Prop.ForAll(pattern.ToArbitrary(), text.ToArbitrary(), (p, t) =>
        {
            if (!GoRegex.TryCreateAnchored(p, out var regex, out _))
            {
                return;
            }
            var program = RegexProgram.Compile(Parse(p, dotMatchesNewline: true));
            var fast = new int[regex.CaptureSlots];
            var backtracking = new int[regex.CaptureSlots];
            var parallel = new int[regex.CaptureSlots];

            var expected = Show(ParallelMatcher.TryMatch(program, t, 0, whole: true, parallel), parallel);

            Show(BacktrackMatcher.OfThread.TryMatch(program, t, 0, whole: true, backtracking), backtracking)
                .ShouldBe(expected);
            Show(regex.TryMatch(t, 0, fast), fast).ShouldBe(expected);
            regex.IsMatch(t).ShouldBe(expected != "none");
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(3000));
    }

    private static GoRegex Anchored(string pattern)
    {
        GoRegex.TryCreateAnchored(pattern, out var regex, out var error).ShouldBeTrue(error);
        return regex!;
    }

    private static RegexNode Parse(string pattern, bool dotMatchesNewline)
    {
        new RegexParser(pattern, dotMatchesNewline).TryParse(out var root).ShouldBeTrue();
        return root!;
    }

    private static bool MatchInParallel(string pattern, string text) =>
        ParallelMatcher.TryMatch(RegexProgram.Compile(Parse(pattern, true)), text, 0, whole: true, []);

    private static string Show(bool matched, int[] captures) => !matched
        ? "none"
        : string.Join(' ', captures.Chunk(2).Select(pair => pair[0] < 0 ? "-" : $"{pair[0]}-{pair[1]}"));
}
