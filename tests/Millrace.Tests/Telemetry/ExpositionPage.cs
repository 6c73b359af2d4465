using System.Globalization;
using System.Text;

namespace Millrace.Tests.Telemetry;

internal sealed record ExpositionSample(string Name, IReadOnlyDictionary<string, string> Labels, double Value);

/// <summary>
/// The Prometheus text format, read as strictly as it can be: each family has help and type before its samples, its
/// samples stand together, no series comes twice, names are names, counters end in _total and are not negative, buckets
/// grow up to +Inf and the count.
/// </summary>
internal sealed class ExpositionPage
{
    private readonly Dictionary<string, string> _types = [];
    private readonly HashSet<string> _helped = [];
    private readonly HashSet<string> _series = [];
    private readonly List<ExpositionSample> _samples = [];
    private string _family = "";

    public ExpositionPage(string text)
    {
        text.ShouldEndWith("\n");
        foreach (var line in text[..^1].Split('\n'))
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                _helped.Add(line.Split(' ')[2]).ShouldBeTrue(line);
                line.Split(' ', 4)[3].ShouldNotBeNullOrWhiteSpace();
            }
            else if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                var parts = line.Split(' ');
                (_family, var type) = (parts[2], parts[3]);
                _helped.ShouldContain(_family);
                type.ShouldBeOneOf("counter", "gauge", "histogram");
                _types.TryAdd(_family, type).ShouldBeTrue(line);
                (type == "counter").ShouldBe(_family.EndsWith("_total", StringComparison.Ordinal), line);
            }
            else
            {
                Add(Parse(line), line);
            }
        }
        CheckHistograms();
    }

    public IReadOnlyDictionary<string, string> Types => _types;

    public IReadOnlyList<ExpositionSample> Samples => _samples;

    /// <summary>The sum over all series of the name that have these labels.</summary>
    public double Sum(string name, params (string Name, string Value)[] labels)
    {
        _types.ShouldContainKey(name);
        return _samples
            .Where(sample => sample.Name == name && labels.All(
                label => sample.Labels.GetValueOrDefault(label.Name) == label.Value))
            .Sum(sample => sample.Value);
    }

    private void Add(ExpositionSample sample, string line)
    {
        var suffix = sample.Name[Math.Min(_family.Length, sample.Name.Length)..];
        sample.Name.ShouldStartWith(_family);
        suffix.ShouldBeOneOf(_types[_family] == "histogram" ? ["_bucket", "_sum", "_count"] : [""], line);
        if (_types[_family] != "gauge")
        {
            sample.Value.ShouldBeGreaterThanOrEqualTo(0, line);
        }
        _series.Add(line[..line.LastIndexOf(' ')]).ShouldBeTrue(line);
        _samples.Add(sample);
    }

    private static ExpositionSample Parse(string line)
    {
        var at = 0;
        var name = ReadName(line, ref at);
        var labels = new Dictionary<string, string>();
        if (line[at] == '{')
        {
            do
            {
                at++;
                var label = ReadName(line, ref at);
                line[at++].ShouldBe('=', line);
                line[at++].ShouldBe('"', line);
                labels.TryAdd(label, ReadValue(line, ref at)).ShouldBeTrue(line);
            }
            while (line[at] == ',');
            line[at++].ShouldBe('}', line);
        }
        line[at++].ShouldBe(' ', line);
        var number = line[at..];
        var value = number switch
        {
            "+Inf" => double.PositiveInfinity,
            "-Inf" => double.NegativeInfinity,
            _ => double.Parse(number, NumberStyles.Float, CultureInfo.InvariantCulture),
        };
        return new ExpositionSample(name, labels, value);
    }

    private static string ReadName(string line, ref int at)
    {
        var start = at;
        while (at < line.Length && (char.IsAsciiLetterOrDigit(line[at]) || line[at] == '_'))
        {
            at++;
        }
        at.ShouldBeGreaterThan(start, line);
        char.IsAsciiDigit(line[start]).ShouldBeFalse(line);
        return line[start..at];
    }

    private static string ReadValue(string line, ref int at)
    {
        var value = new StringBuilder();
        for (; line[at] != '"'; at++)
        {
            if (line[at] == '\\')
            {
                at++;
                value.Append(line[at] switch
                {
                    'n' => '\n',
                    '\\' => '\\',
                    '"' => '"',
                    _ => throw new FormatException(line),
                });
                continue;
            }
            value.Append(line[at]);
        }
        at++;
        return value.ToString();
    }

    private void CheckHistograms()
    {
        foreach (var buckets in _samples.Where(sample => sample.Name.EndsWith("_bucket", StringComparison.Ordinal))
            .GroupBy(sample => (sample.Name, string.Join(
                ',', sample.Labels.Where(label => label.Key != "le").Select(label => label.Value)))))
        {
            var counts = buckets.Select(bucket => bucket.Value).ToList();
            counts.ShouldBe(counts.Order());
            buckets.Last().Labels["le"].ShouldBe("+Inf");
            var bounds = buckets.SkipLast(1)
                .Select(bucket => double.Parse(bucket.Labels["le"], CultureInfo.InvariantCulture)).ToList();
            bounds.ShouldBe(bounds.Order());
            bounds.ShouldBeUnique();
        }
    }
}
