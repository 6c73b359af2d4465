using Millrace.Memory;

namespace Millrace.Tests.Memory;

public sealed class ColumnTests
{
    [Fact]
    public void Keeps_every_row_while_it_grows()
    {
        var column = new Column<long>();
        for (var row = 0; row < 5_000; row++)
        {
            column.EnsureCapacity(row + 1);
            column[row].ShouldBe(0, "new rows are zero");
            column[row] = row + 1;
        }
        for (var row = 0; row < 5_000; row++)
        {
            column[row].ShouldBe(row + 1);
        }
    }

    [Theory]
    [InlineData(1, 16)]
    [InlineData(17, 32)]
    [InlineData(1024, 1024)]
    [InlineData(1025, 2048)]
    [InlineData(3000, 3072)]
    public void Starts_small_and_grows_by_chunks(int count, int capacity)
    {
        var column = new Column<int>();
        column.EnsureCapacity(count);
        column.Capacity.ShouldBe(capacity);
    }

    [Fact]
    public void A_row_that_must_stay_put_is_not_moved_by_growing()
    {
        var column = new Column<int>(staysPut: true);
        column.EnsureCapacity(1);
        ref var row = ref column[0];
        for (var count = 2; count < 5_000; count++)
        {
            column.EnsureCapacity(count);
            row = count;
            column[0].ShouldBe(count);
        }
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(16)]
    [InlineData(int.MaxValue)]
    public void To_ask_ahead_for_a_row_that_is_not_there_is_nothing(int index)
    {
        var column = new Column<int>();
        column.Prefetch(index);
        column.EnsureCapacity(16);
        column.Prefetch(index);
    }
}
