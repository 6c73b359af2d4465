using FsCheck;
using FsCheck.Fluent;
using Millrace.Configuration;

namespace Millrace.Tests.Configuration;

public class ConfigQuantityTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("0s", 0)]
    [InlineData("500ms", 500)]
    [InlineData("1m30s", 90_000)]
    [InlineData("1d", 86_400_000)]
    [InlineData("1w", 604_800_000)]
    [InlineData("1y", 31_536_000_000)]
    [InlineData("1h1ms", 3_600_001)]
    public void Reads_the_durations_of_Prometheus(string text, long milliseconds)
    {
        ConfigQuantity.TryParsePrometheusDuration(text, out var duration).ShouldBeTrue();
        duration.ShouldBe(TimeSpan.FromMilliseconds(milliseconds));
    }

    [Theory]
    [InlineData("")]
    [InlineData("60")]
    [InlineData("1.5h")]
    [InlineData("-1s")]
    [InlineData("30s1m")]
    [InlineData("1s1s")]
    [InlineData("1 s")]
    [InlineData("1S")]
    [InlineData("s")]
    [InlineData("99999999999999999y")]
    [InlineData("999999999999999y")]
    public void Refuses_what_Prometheus_refuses(string text) =>
        ConfigQuantity.TryParsePrometheusDuration(text, out _).ShouldBeFalse();

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1500ms", 1_500)]
    [InlineData("1.5h", 5_400_000)]
    [InlineData("30s1m", 90_000)]
    [InlineData("-1s", -1_000)]
    [InlineData("+2s", 2_000)]
    [InlineData(".5s", 500)]
    [InlineData("1000us", 1)]
    [InlineData("1000µs", 1)]
    [InlineData("1000000ns", 1)]
    public void Reads_the_durations_of_Go(string text, long milliseconds)
    {
        ConfigQuantity.TryParseGoDuration(text, out var duration).ShouldBeTrue();
        duration.ShouldBe(TimeSpan.FromMilliseconds(milliseconds));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("60")]
    [InlineData("1d")]
    [InlineData("1foo")]
    [InlineData("1..5s")]
    [InlineData(".s")]
    [InlineData("99999999h")]
    public void Refuses_what_Go_refuses(string text) => ConfigQuantity.TryParseGoDuration(text, out _).ShouldBeFalse();

    [Theory]
    [InlineData("0", 0)]
    [InlineData("1234", 1234)]
    [InlineData("12B", 12)]
    [InlineData("64KB", 64_000)]
    [InlineData("64KiB", 65_536)]
    [InlineData("32MiB", 33_554_432)]
    [InlineData("10GiB", 10_737_418_240)]
    [InlineData("1.5 MiB", 1_572_864)]
    [InlineData("2TB", 2_000_000_000_000)]
    public void Reads_sizes(string text, long bytes)
    {
        ConfigQuantity.TryParseSize(text, out var size).ShouldBeTrue();
        size.ShouldBe(bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1")]
    [InlineData("1mib")]
    [InlineData("1M")]
    [InlineData("9999999TiB")]
    [InlineData("99999999999999999999999")]
    public void Refuses_what_is_no_size(string text) => ConfigQuantity.TryParseSize(text, out _).ShouldBeFalse();

    [Fact]
    public void Whole_milliseconds_survive_formatting_in_both_languages() =>
        Prop.ForAll(Whole(), written =>
        {
            var milliseconds = written % (400L * 24 * 3_600_000);
            var duration = TimeSpan.FromMilliseconds(milliseconds);
            var text = ConfigQuantity.FormatDuration(duration);
            return ConfigQuantity.TryParsePrometheusDuration(text, out var prometheus) && prometheus == duration
                && ConfigQuantity.TryParseGoDuration(text, out var go) && go == duration;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Parts_of_milliseconds_survive_in_the_language_of_Go()
    {
        ConfigQuantity.TryParseGoDuration("1.0001ms", out var duration).ShouldBeTrue();
        ConfigQuantity.TryParseGoDuration(ConfigQuantity.FormatDuration(duration), out var again).ShouldBeTrue();
        again.ShouldBe(duration);
    }

    [Fact]
    public void Sizes_survive_formatting() =>
        Prop.ForAll(Whole(), bytes =>
            ConfigQuantity.TryParseSize(ConfigQuantity.FormatSize(bytes), out var size) && size == bytes)
            .QuickCheckThrowOnFailure();

    /// <summary>Numbers of every magnitude, round ones among them.</summary>
    private static Arbitrary<long> Whole() => Gen.Choose(0, int.MaxValue).SelectMany(_ => Gen.Choose(0, 31),
        (number, shift) => (long)number << shift).ToArbitrary();
}
