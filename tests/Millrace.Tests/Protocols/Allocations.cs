namespace Millrace.Tests.Protocols;

internal static class Allocations
{
    /// <summary>The result of a run, and the fewest bytes that one of a few runs allocated on this thread.</summary>
    public static (T Result, long Bytes) Of<T>(Func<T> run)
    {
        var fewest = long.MaxValue;
        var result = run();
        for (var i = 0; i < 5; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            result = run();
            fewest = Math.Min(fewest, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return (result, fewest);
    }
}
