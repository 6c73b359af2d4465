using System.Text;
using Millrace.Model;

namespace Millrace.Tests.Model;

public class StableHashTests
{
    // Vectors of the xxHash project and of its users; a changed one would move every series to another owner.
    [Theory]
    [InlineData("", 0xef46db3751d8e999UL)]
    [InlineData("a", 0xd24ec4f1a98c6e5bUL)]
    [InlineData("as", 0x1c330fb2d66be179UL)]
    [InlineData("asd", 0x631c37ce72a97393UL)]
    [InlineData("asdf", 0x415872f599cea71eUL)]
    [InlineData("Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2e85470d6fd96UL)]
    public void Hash64_is_xxh64(string text, ulong expected) =>
        StableHash.Hash64(Encoding.UTF8.GetBytes(text)).ShouldBe(expected);

    [Fact]
    public void The_key_of_a_series_does_not_depend_on_the_order_of_its_labels()
    {
        var one = LabelSet.Of(("b", "2"), ("__name__", "m"), ("a", "1"));
        var other = LabelSet.Of(("a", "1"), ("b", "2"), ("__name__", "m"));

        one.StableKey().ShouldBe(other.StableKey());
        one.ToString().ShouldBe("m{a=\"1\",b=\"2\"}");
    }

    [Fact]
    public void The_key_of_a_series_tells_apart_where_a_name_ends() =>
        LabelSet.Of(("ab", "c")).StableKey().ShouldNotBe(LabelSet.Of(("a", "bc")).StableKey());
}
