using System.Globalization;
using System.Text;

namespace Millrace.Configuration;

/// <summary>
/// Durations and sizes as they are written. Two languages of durations meet in one product: Prometheus'
/// (<c>1d</c>, <c>1m30s</c>; whole numbers, units descending) in our own keys, and Go's (<c>1.5h</c>, <c>-1s</c>; no
/// days) in the fields that a rule shares with vmagent.
/// </summary>
internal static class ConfigQuantity
{
    private static readonly (string Unit, long Milliseconds)[] PrometheusUnits =
    [
        ("y", 365L * 24 * 3_600_000), ("w", 7L * 24 * 3_600_000), ("d", 24L * 3_600_000), ("h", 3_600_000),
        ("m", 60_000), ("s", 1_000), ("ms", 1),
    ];

    private static readonly (string Unit, decimal Ticks)[] GoUnits =
    [
        ("ns", 0.01m), ("us", 10m), ("µs", 10m), ("μs", 10m), ("ms", TimeSpan.TicksPerMillisecond),
        ("s", TimeSpan.TicksPerSecond), ("m", TimeSpan.TicksPerMinute), ("h", TimeSpan.TicksPerHour),
    ];

    private static readonly (string Unit, decimal Bytes)[] SizeUnits =
    [
        ("", 1m), ("B", 1m), ("kB", 1e3m), ("KB", 1e3m), ("MB", 1e6m), ("GB", 1e9m), ("TB", 1e12m),
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
    ];

    /// <summary>Go keeps a duration in 63 bits of nanoseconds.</summary>
    private const decimal GoMaxTicks = long.MaxValue / 100m;

    public static bool TryParsePrometheusDuration(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text == "0")
        {
            return true;
        }
        var position = 0;
        var nextUnit = 0;
        decimal milliseconds = 0;
        while (position < text.Length)
        {
            var digits = SpanOfDigits(text, position);
            if (digits is 0 or > 12)
            {
                return false;
            }
            var count = long.Parse(text.AsSpan(position, digits), NumberStyles.None, CultureInfo.InvariantCulture);
            position += digits;
            var letters = SpanOfLetters(text, position);
            var unit = Array.FindIndex(PrometheusUnits, u => text.AsSpan(position, letters).SequenceEqual(u.Unit));
            if (unit < nextUnit)
            {
                return false;
            }
            milliseconds += (decimal)count * PrometheusUnits[unit].Milliseconds;
            nextUnit = unit + 1;
            position += letters;
        }
        if (text.Length == 0 || milliseconds * TimeSpan.TicksPerMillisecond > GoMaxTicks)
        {
            return false;
        }
        duration = new TimeSpan((long)milliseconds * TimeSpan.TicksPerMillisecond);
        return true;
    }

    public static bool TryParseGoDuration(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        var isNegative = text.StartsWith('-');
        var position = isNegative || text.StartsWith('+') ? 1 : 0;
        if (text.AsSpan(position) is "0")
        {
            return true;
        }
        if (position == text.Length)
        {
            return false;
        }
        decimal ticks = 0;
        while (position < text.Length)
        {
            var number = SpanOfNumber(text, position);
            if (number is 0 or > 20 || !decimal.TryParse(text.AsSpan(position, number),
                NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value))
            {
                return false;
            }
            position += number;
            var letters = SpanOfLetters(text, position);
            var unit = Array.FindIndex(GoUnits, u => text.AsSpan(position, letters).SequenceEqual(u.Unit));
            if (unit < 0)
            {
                return false;
            }
            ticks += value * GoUnits[unit].Ticks;
            if (ticks > GoMaxTicks)
            {
                return false;
            }
            position += letters;
        }
        duration = new TimeSpan((long)(isNegative ? -ticks : ticks));
        return true;
    }

    /// <summary>The shortest text that loads to the same duration; in both languages where there are no days.</summary>
    public static string FormatDuration(TimeSpan duration)
    {
        if (duration.Ticks % TimeSpan.TicksPerMillisecond != 0)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{duration.Ticks / 10m}us");
        }
        var rest = Math.Abs(duration.Ticks) / TimeSpan.TicksPerMillisecond;
        if (rest == 0)
        {
            return "0s";
        }
        var text = new StringBuilder(duration < TimeSpan.Zero ? "-" : "");
        foreach (var (unit, milliseconds) in PrometheusUnits)
        {
            if (unit is "h" or "m" or "s" or "ms" && rest >= milliseconds)
            {
                text.Append(CultureInfo.InvariantCulture, $"{rest / milliseconds}{unit}");
                rest %= milliseconds;
            }
        }
        return text.ToString();
    }

    /// <summary>Bytes as <c>32MiB</c>, <c>64KB</c>, <c>1.5GiB</c> or a plain number.</summary>
    public static bool TryParseSize(string text, out long bytes)
    {
        bytes = 0;
        var number = SpanOfNumber(text, 0);
        if (number is 0 or > 20 || !decimal.TryParse(text.AsSpan(0, number),
            NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value))
        {
            return false;
        }
        var unit = Array.FindIndex(SizeUnits, u => text.AsSpan(number).TrimStart(' ').SequenceEqual(u.Unit));
        if (unit < 0 || value > long.MaxValue / SizeUnits[unit].Bytes)
        {
            return false;
        }
        bytes = (long)(value * SizeUnits[unit].Bytes);
        return true;
    }

    public static string FormatSize(long bytes)
    {
        for (var i = SizeUnits.Length - 1; i >= 0; i--)
        {
            var (unit, size) = (SizeUnits[i].Unit, (long)SizeUnits[i].Bytes);
            if (!unit.EndsWith("iB", StringComparison.Ordinal))
            {
                continue;
            }
            if (bytes >= size && bytes % size == 0)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{bytes / size}{unit}");
            }
        }
        return bytes.ToString(CultureInfo.InvariantCulture);
    }

    private static int SpanOfDigits(string text, int start)
    {
        var end = start;
        while (end < text.Length && char.IsAsciiDigit(text[end]))
        {
            end++;
        }
        return end - start;
    }

    private static int SpanOfNumber(string text, int start)
    {
        var end = start;
        while (end < text.Length && (char.IsAsciiDigit(text[end]) || text[end] == '.'))
        {
            end++;
        }
        return end - start;
    }

    private static int SpanOfLetters(string text, int start)
    {
        var end = start;
        while (end < text.Length && char.IsLetter(text[end]))
        {
            end++;
        }
        return end - start;
    }
}
