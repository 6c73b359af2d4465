using Millrace.Model;

namespace Millrace.Tests.Model;

public sealed class LabelSetTests
{
    [Theory]
    [InlineData(3)]
    [InlineData(12)]
    [InlineData(200)]
    public void Is_sorted_and_of_two_labels_with_one_name_the_later_wins_even_if_it_is_empty(int maxCount)
    {
        var random = new Random(maxCount);
        for (var round = 0; round < 500; round++)
        {
            var labels = Enumerable.Range(0, random.Next(maxCount))
                .Select(_ => new Label(NameOf(random.Next(maxCount)), new string('v', random.Next(3)))).ToArray();
            var expected = new SortedDictionary<string, string>(Utf8Order.Comparer);
            foreach (var label in labels)
            {
                expected[label.Name] = label.Value;
            }
            LabelSet.From(labels).Labels.ToArray().ShouldBe(
                expected.Where(pair => pair.Value.Length > 0).Select(pair => new Label(pair.Key, pair.Value)));
        }
    }

    private static string NameOf(int number) => $"{(char)('a' + number % 26)}{number}";
}
