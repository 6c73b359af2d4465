using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Millrace.Model;
using Millrace.Protocols;
using Millrace.Protocols.RemoteWrite;
using Millrace.Protocols.Text;

namespace Millrace.Tests.Protocols;

/// <summary>Memory is measured here, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(DecoderFuzzTests), DisableParallelization = true)]
public sealed class FuzzCollection;

/// <summary>
/// Mutates real inputs and gives them to every decoder. No input may throw, allocate out of proportion or leave memory
/// behind; and a decoder must tell the same whether its sink knows the series or not.
/// MILLRACE_FUZZ_ITERATIONS sets the inputs per target, MILLRACE_FUZZ_SEED repeats a run.
/// </summary>
[Collection(nameof(DecoderFuzzTests))]
public sealed class DecoderFuzzTests(ITestOutputHelper output)
{
    private const int DefaultIterations = 60_000;

    /// <summary>What an input may allocate: an error text, or the labels of a block as strings.</summary>
    private const int FixedAllocationBytes = 8 << 10;
    private const int AllocationBytesPerInputByte = 64;

    private const long MaxGrowthBytes = 8 << 20;

    private static readonly FuzzTarget[] Targets =
    [
        new("remote write 1.0", FuzzSeeds.V1, Differential(RemoteWriteV1Decoder.TryDecode), MessageGenerator.V1),
        new("remote write 2.0", FuzzSeeds.V2, Differential(RemoteWriteV2Decoder.TryDecode), MessageGenerator.V2),
        new("text", FuzzSeeds.Text, Differential(PrometheusTextDecoder.TryDecode)),
        new("label block", FuzzSeeds.LabelBlocks, ParseLabelBlock),
        new("snappy", CompressionFuzz.SnappySeeds, CompressionFuzz.TrySnappy),
        new("gzip", CompressionFuzz.GzipSeeds, CompressionFuzz.TryGzip) { Share = 10 },
        new("zstd", CompressionFuzz.ZstdSeeds, CompressionFuzz.TryZstd) { Share = 10 },
    ];

    /// <summary>A target without seeds misses the library that it needs.</summary>
    public static TheoryData<string> TargetNames => [.. Targets.Where(t => t.Seeds.Length > 0).Select(t => t.Name)];

    [Theory]
    [MemberData(nameof(TargetNames))]
    public void No_input_breaks_a_decoder(string name)
    {
        var target = Targets.Single(t => t.Name == name);
        var iterations = Setting("MILLRACE_FUZZ_ITERATIONS", DefaultIterations) / target.Share;
        var seed = (int)Setting("MILLRACE_FUZZ_SEED", Stopwatch.GetTimestamp() & int.MaxValue);
        var fuzzer = new Fuzzer(target, seed);
        output.WriteLine($"{name}: MILLRACE_FUZZ_SEED={seed} {iterations} iterations");

        Array.ForEach(target.Seeds, fuzzer.Try);
        fuzzer.Run(Math.Min(1000, iterations));
        var before = GC.GetTotalMemory(forceFullCollection: true);
        fuzzer.Run(iterations);
        var growth = GC.GetTotalMemory(forceFullCollection: true) - before;

        output.WriteLine(
            $"{fuzzer.Accepted} of {fuzzer.Tried} inputs accepted, {fuzzer.Outcomes} kinds of outcome, "
            + $"at most {fuzzer.MostAllocatedBytes} B allocated by one, {growth} B more on the heap at the end.");
        growth.ShouldBeLessThan(MaxGrowthBytes);
        fuzzer.Accepted.ShouldBeGreaterThan(0);
        fuzzer.Accepted.ShouldBeLessThan(fuzzer.Tried);
    }

    internal delegate bool Decode(
        ReadOnlySpan<byte> body, ref HashingSink sink, in DecodeLimits limits, out string error);

    /// <summary>
    /// Decodes with a sink that knows nothing, then with one that knows what the first was told. Both must tell the
    /// same: that is the proof of the guess by which known series skip the parser.
    /// </summary>
    private static FuzzBody Differential(Decode decode)
    {
        var limits = new DecodeLimits { MaxLabelBlockBytes = 1 << 16, MaxExpandedBytes = 1 << 20 };
        var known = new HashSet<UInt128>();
        return input =>
        {
            known.Clear();
            var first = new HashingSink(known, learns: true);
            var accepted = decode(input, ref first, limits, out var error);
            accepted.ShouldBe(error.Length == 0);
            var second = new HashingSink(known, learns: false);
            decode(input, ref second, limits, out var secondError).ShouldBe(accepted);
            secondError.ShouldBe(error);
            if (accepted)
            {
                second.Hash.ShouldBe(first.Hash);
            }
            var reason = error.AsSpan(error.LastIndexOf(':') + 1);
            return (accepted, (first.Shape * 31) + StableHash.Hash64(MemoryMarshal.AsBytes(reason)));
        };
    }

    private static (bool Accepted, ulong Outcome) ParseLabelBlock(ReadOnlySpan<byte> input)
    {
        var labels = new List<Label>();
        var accepted = LabelBlock.TryParse(input, LabelLimits.Default, labels, out var defect);
        accepted.ShouldBe(defect == LabelDefect.None);
        if (accepted || defect == LabelDefect.MissingMetricName)
        {
            var set = LabelSet.From(labels);
            set.Labels.SequenceEqual(labels.ToArray()).ShouldBeTrue();
            var again = new List<Label>();
            LabelBlock.TryParse(LabelBlock.Encode(set), LabelLimits.Default, again, out _).ShouldBe(accepted);
            again.SequenceEqual(labels).ShouldBeTrue();
        }
        return (accepted, (ulong)defect * 256 + (ulong)Math.Min(labels.Count, 8));
    }

    private static long Setting(string name, long fallback) =>
        long.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var value)
            ? value : fallback;

    /// <summary>Says whether the input was accepted, and a number for the kind of outcome.</summary>
    internal delegate (bool Accepted, ulong Outcome) FuzzBody(ReadOnlySpan<byte> input);

    /// <param name="Generate">Writes well-formed messages of surprising content, where mutation seldom gets.</param>
    internal sealed record FuzzTarget(
        string Name, byte[][] Seeds, FuzzBody Body, Func<Random, byte[]>? Generate = null)
    {
        /// <summary>A slow target gets every so manyth of the iterations.</summary>
        public int Share { get; init; } = 1;
    }

    /// <summary>Mutates inputs of a pool; an input with a new kind of outcome joins the bounded pool.</summary>
    private sealed class Fuzzer(FuzzTarget target, int seed)
    {
        private const int MaxPool = 512;

        private readonly Random _random = new(seed);
        private readonly List<byte[]> _pool = [.. target.Seeds];
        private readonly HashSet<ulong> _outcomes = [];
        private readonly InputMutator _mutator = new();

        public long Tried { get; private set; }

        public long Accepted { get; private set; }

        public int Outcomes => _outcomes.Count;

        public long MostAllocatedBytes { get; private set; }

        public void Run(long iterations)
        {
            for (var i = 0L; i < iterations; i++)
            {
                if (target.Generate is not null && _random.Next(4) == 0)
                {
                    Try(target.Generate(_random));
                }
                else
                {
                    Try(_mutator.Mutate(_random, _pool));
                }
            }
        }

        public void Try(byte[] input) => Try(input.AsSpan());

        private void Try(ReadOnlySpan<byte> input)
        {
            try
            {
                var before = GC.GetAllocatedBytesForCurrentThread();
                var (accepted, outcome) = target.Body(input);
                var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                Tried++;
                Accepted += accepted ? 1 : 0;
                if (_pool.Count < MaxPool && _outcomes.Count < MaxPool && _outcomes.Add(outcome))
                {
                    _pool.Add(input.ToArray());
                }
                if (Tried > 1000)
                {
                    // The first inputs pay for the pools and for the code.
                    MostAllocatedBytes = Math.Max(MostAllocatedBytes, allocated);
                    allocated.ShouldBeLessThan(
                        FixedAllocationBytes + (AllocationBytesPerInputByte * (long)input.Length));
                }
            }
            catch (Exception e)
            {
                throw new InvalidOperationException(
                    $"{target.Name} with MILLRACE_FUZZ_SEED={seed}, input {Tried}: {Convert.ToHexString(input)}", e);
            }
        }
    }
}
