using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Millrace.Protocols.Compression;

namespace Millrace.Tests.Protocols.Compression;

public class SnappyTests
{
    [Fact]
    public void Decodes_every_kind_of_element()
    {
        // Literal of 4, copy with one byte of offset, with two, with four, literal with one extra byte.
        var longLiteral = Encoding.ASCII.GetBytes(new string('x', 60));
        byte[] compressed =
        [
            (byte)(4 + 5 + 7 + 3 + 60),
            3 << 2, (byte)'a', (byte)'b', (byte)'c', (byte)'d',
            ((5 - 4) << 2) | 1, 4,
            ((7 - 1) << 2) | 2, 2, 0,
            ((3 - 1) << 2) | 3, 16, 0, 0, 0,
            60 << 2, 59, .. longLiteral,
        ];
        Decode(compressed).ShouldBe(Encoding.ASCII.GetBytes("abcdabcdadadadadabc" + new string('x', 60)));
    }

    [Fact]
    public void An_empty_source_is_one_byte()
    {
        Encode([]).ShouldBe([0]);
        Decode([0]).ShouldBe([]);
    }

    [Theory]
    [InlineData("")]
    [InlineData("80808080")]
    [InlineData("8080808080")]
    [InlineData("FFFFFFFF7F")]
    public void Refuses_a_length_that_is_no_number_or_beyond_2_GiB(string hex) =>
        Snappy.TryGetDecodedLength(Convert.FromHexString(hex), out _).ShouldBeFalse();

    [Theory]
    [InlineData("01")] // Nothing follows.
    [InlineData("0004")] // More than was promised.
    [InlineData("0204")] // A literal without its bytes.
    [InlineData("020461")] // The same, half of it.
    [InlineData("0200610101")] // A copy of four where one byte is left.
    [InlineData("0500610100")] // A copy from offset 0.
    [InlineData("0500610102")] // A copy from before the start.
    [InlineData("05006101")] // A copy without its offset.
    [InlineData("0500610E01")] // The same with two bytes.
    [InlineData("0500610F010000")] // And with four.
    [InlineData("0500610F01000080")] // An offset beyond 2 GiB.
    [InlineData("05FC")] // A long literal without its length.
    [InlineData("05FCFFFFFFFF61")] // A literal of 4 GiB.
    public void Refuses_what_is_malformed(string hex)
    {
        var compressed = Convert.FromHexString(hex);
        Snappy.TryGetDecodedLength(compressed, out var length).ShouldBeTrue();
        Snappy.TryDecode(compressed, new byte[length]).ShouldBeFalse();
    }

    [Fact]
    public void Leaves_the_rest_of_a_longer_target_alone_and_refuses_a_shorter_one()
    {
        var source = Noise(new System.Random(1), 1000, 3);
        var compressed = Encode(source);
        var target = Enumerable.Repeat((byte)0xEE, 1200).ToArray();
        Snappy.TryDecode(compressed, target).ShouldBeTrue();
        target[..1000].ShouldBe(source);
        target[1000..].ShouldAllBe(b => b == 0xEE);
        Snappy.TryDecode(compressed, new byte[999]).ShouldBeFalse();
    }

    [Fact]
    public void What_was_encoded_decodes_to_the_same_bytes() =>
        Prop.ForAll<int, ushort, byte>((seed, length, alphabet) =>
        {
            var source = Noise(new System.Random(seed), length * 3, alphabet);
            var compressed = Encode(source);
            return compressed.Length <= Snappy.MaxEncodedLength(source.Length)
                && Decode(compressed).AsSpan().SequenceEqual(source)
                && NaiveDecode(compressed).AsSpan().SequenceEqual(source);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Random_elements_decode_as_a_naive_decoder_has_them() =>
        Prop.ForAll<int>(seed =>
        {
            var random = new System.Random(seed);
            var (compressed, expected) = RandomElements(random, random.Next(1, 400));
            return Decode(compressed).AsSpan().SequenceEqual(expected);
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Encodes_text_to_a_fraction()
    {
        var source = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 2000).Select(
            i => $"http_requests_total{{code=\"200\",instance=\"10.0.0.{i % 250}:8080\"}} {i}\n")));
        Encode(source).Length.ShouldBeLessThan(source.Length / 4);
    }

    /// <summary>Every answer is allowed here but one that writes past the target or reads past the source.</summary>
    [Fact]
    public void Survives_mutated_bytes()
    {
        var random = new System.Random(7);
        var original = Encode(Noise(random, 5000, 6));
        var accepted = 0;
        for (var round = 0; round < 20_000; round++)
        {
            var mutated = original.AsSpan(0, random.Next(original.Length / 2, original.Length + 1)).ToArray();
            for (var i = random.Next(4); i >= 0; i--)
            {
                mutated[random.Next(2, mutated.Length)] = (byte)random.Next(256);
            }
            Snappy.TryGetDecodedLength(mutated, out var length).ShouldBeTrue();
            length.ShouldBe(5000);
            var target = new byte[length + 64];
            target.AsSpan(length).Fill(0xEE);
            if (Snappy.TryDecode(mutated, target))
            {
                accepted++;
                NaiveDecode(mutated).AsSpan().SequenceEqual(target.AsSpan(0, length)).ShouldBeTrue();
            }
            target.AsSpan(length).IndexOfAnyExcept((byte)0xEE).ShouldBe(-1);
        }
        accepted.ShouldBeInRange(1, 19_999);
    }

    internal static byte[] Encode(ReadOnlySpan<byte> source)
    {
        var target = new byte[Snappy.MaxEncodedLength(source.Length)];
        return target[..Snappy.Encode(source, target)];
    }

    internal static byte[] Decode(ReadOnlySpan<byte> compressed)
    {
        Snappy.TryGetDecodedLength(compressed, out var length).ShouldBeTrue();
        var target = new byte[length];
        Snappy.TryDecode(compressed, target).ShouldBeTrue();
        return target;
    }

    private static byte[] Noise(System.Random random, int length, int alphabet)
    {
        var bytes = new byte[length];
        for (var i = 0; i < length; i++)
        {
            // Runs and repeats beside fresh bytes.
            var kind = random.Next(12);
            bytes[i] = kind == 0 || i < 40
                ? (byte)random.Next(alphabet + 1)
                : bytes[i - (kind < 8 ? 37 : kind < 11 ? 1 : 3)];
        }
        return bytes;
    }

    private static (byte[] Compressed, byte[] Expected) RandomElements(System.Random random, int count)
    {
        var body = new List<byte>();
        var expected = new List<byte>();
        for (var i = 0; i < count; i++)
        {
            if (i == 0 || random.Next(3) == 0)
            {
                var length = random.Next(5) == 0 ? random.Next(1, 400) : random.Next(1, 60);
                var tag = new byte[5];
                body.AddRange(tag[..Snappy.WriteLiteralTag(ref tag[0], length)]);
                for (var j = 0; j < length; j++)
                {
                    body.Add((byte)random.Next(256));
                    expected.Add(body[^1]);
                }
                continue;
            }
            var offset = random.Next(1, 1 + (random.Next(2) == 0 ? Math.Min(40, expected.Count) : expected.Count));
            var kind = random.Next(offset < 2048 ? 1 : 2, 4);
            var copied = kind == 1 ? random.Next(4, 12) : random.Next(1, 65);
            body.AddRange(kind switch
            {
                1 => [(byte)(((offset >> 8) << 5) | ((copied - 4) << 2) | 1), (byte)offset],
                2 => [(byte)(((copied - 1) << 2) | 2), (byte)offset, (byte)(offset >> 8)],
                _ => (byte[])
                [
                    (byte)(((copied - 1) << 2) | 3), (byte)offset, (byte)(offset >> 8), (byte)(offset >> 16), 0,
                ],
            });
            for (var j = 0; j < copied; j++)
            {
                expected.Add(expected[^offset]);
            }
        }
        var preamble = new byte[5];
        var preambleBytes = Snappy.WriteLength(preamble, expected.Count);
        return ([.. preamble[..preambleBytes], .. body], [.. expected]);
    }

    /// <summary>The format's definition, byte by byte, for valid input.</summary>
    private static byte[] NaiveDecode(byte[] compressed)
    {
        var at = 0;
        while (compressed[at++] >= 0x80)
        {
        }
        var output = new List<byte>();
        while (at < compressed.Length)
        {
            var tag = compressed[at++];
            var extra = (tag & 3) switch { 0 => Math.Max(0, (tag >> 2) - 59), 1 => 1, 2 => 2, _ => 4 };
            var number = 0;
            for (var i = 0; i < extra; i++)
            {
                number |= compressed[at++] << (8 * i);
            }
            if ((tag & 3) == 0)
            {
                var length = (extra == 0 ? tag >> 2 : number) + 1;
                output.AddRange(compressed.AsSpan(at, length));
                at += length;
                continue;
            }
            var offset = (tag & 3) == 1 ? ((tag >> 5) << 8) | number : number;
            for (var i = (tag & 3) == 1 ? 4 + ((tag >> 2) & 7) : (tag >> 2) + 1; i > 0; i--)
            {
                output.Add(output[^offset]);
            }
        }
        return [.. output];
    }
}
