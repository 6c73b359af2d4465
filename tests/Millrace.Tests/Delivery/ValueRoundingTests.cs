using FsCheck;
using FsCheck.Fluent;
using Millrace.Delivery;

namespace Millrace.Tests.Delivery;

/// <summary>The arithmetic is compared with a live vmagent in the system tests.</summary>
public sealed class ValueRoundingTests
{
    [Theory]
    [InlineData(1234.5678, 0, 1234.5678)]
    [InlineData(1234.5678, 1, 1000)]
    [InlineData(1234.5678, 3, 1230)]
    [InlineData(1234.5678, 6, 1234.57)]
    [InlineData(-1234.5678, 6, -1234.57)]
    [InlineData(0.00012345, 2, 0.00012)]
    [InlineData(999.9, 3, 1000)]
    [InlineData(12e300, 1, 1e301)]
    [InlineData(123456789012345678, 17, 123456789012345680)]
    [InlineData(1234.5678, 18, 1234.5678)]
    [InlineData(0, 3, 0)]
    public void Rounds_to_significant_figures(double value, int figures, double expected) =>
        new ValueRounding(figures, ValueRounding.AllDigits).Apply(value).ShouldBe(expected);

    [Theory]
    [InlineData(1234.5678, 0, 1235)]
    [InlineData(1234.5678, 2, 1234.57)]
    [InlineData(1234.5678, -2, 1200)]
    [InlineData(-2.5, 0, -3)]
    [InlineData(2.5, 0, 3)]
    [InlineData(0.49999999999999994, 0, 0)]
    [InlineData(1234.5678, 100, 1234.5678)]
    [InlineData(1234.5678, -100, 1234.5678)]
    [InlineData(1e300, 99, 1e300)]
    public void Rounds_to_digits_half_away_from_zero(double value, int digits, double expected) =>
        new ValueRounding(0, digits).Apply(value).ShouldBe(expected);

    [Fact]
    public void Figures_come_before_digits() => new ValueRounding(3, 1).Apply(12.3456).ShouldBe(12.3);

    [Theory]
    [InlineData(0x7ff0000000000002)]
    [InlineData(0x7ff8000000000001)]
    [InlineData(0x7ff0000000000000)]
    [InlineData(unchecked((long)0xfff0000000000000))]
    public void What_is_no_number_keeps_its_bits(long bits) =>
        BitConverter.DoubleToInt64Bits(new ValueRounding(3, 1).Apply(BitConverter.Int64BitsToDouble(bits)))
            .ShouldBe(bits);

    [Fact]
    public void Rounding_goes_no_further_than_half_a_unit() =>
        Prop.ForAll(ArbMap.Default.ArbFor<double>(), Gen.Choose(1, 15).ToArbitrary(), (value, figures) =>
        {
            if (!double.IsFinite(value) || Math.Abs(value) is < 1e-300 or > 1e300)
            {
                return true;
            }
            var rounded = new ValueRounding(figures, ValueRounding.AllDigits).Apply(value);
            // The decimal that vmagent seeks is near the value by 1e-12 of it.
            var share = Math.Max(0.5000001 * Math.Pow(10, 1 - figures), 2e-12);
            return Math.Abs(rounded - value) <= Math.Abs(value) * share;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(2_000));

    [Fact]
    public void Off_is_off()
    {
        ValueRounding.Off.IsOff.ShouldBeTrue();
        new ValueRounding(18, -100).IsOff.ShouldBeTrue();
        new ValueRounding(17, 100).IsOff.ShouldBeFalse();
        new ValueRounding(0, 99).IsOff.ShouldBeFalse();
    }
}
