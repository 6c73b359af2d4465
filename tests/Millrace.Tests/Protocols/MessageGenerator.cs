namespace Millrace.Tests.Protocols;

/// <summary>
/// Writes remote write bodies that are nearly always well formed, with fields in any order and number, at defaults, at
/// limits, and now and then with the wrong type or an unknown number.
/// </summary>
internal static class MessageGenerator
{
    private static readonly ulong[] Numbers =
        [0, 1, 2, 3, 5, 127, 128, RemoteWriteBodies.Now, uint.MaxValue, 1UL << 32, 1UL << 63, ulong.MaxValue];

    private static readonly double[] Values =
        [0, 1, -1, 0.5, double.NaN, double.PositiveInfinity, double.NegativeInfinity, double.Epsilon];

    private static readonly string[] Texts = ["", "__name__", "up", "job", "a", "é", "\u0012\u0010\t"];

    public static byte[] V1(Random random)
    {
        var body = new WireWriter();
        Repeat(random, 4, () => body.Message(1, m => Fields(random, m, 8, field => field switch
        {
            < 4 => () => Label(random, m),
            4 or 5 => () => m.Message(2, s => Sample(random, s)),
            6 => () => m.Message(3, e => Fields(random, e, 4, f => f == 0
                ? () => e.Double(2, Pick(random, Values))
                : () => Label(random, e))),
            _ => () => m.Message(4, h => Histogram(random, h)),
        })));
        return body.ToArray();
    }

    public static byte[] V2(Random random)
    {
        var body = new WireWriter().Text(4, "");
        Repeat(random, 6, () => body.Text(4, Pick(random, Texts)));
        Repeat(random, 4, () => body.Message(5, m => Fields(random, m, 8, field => field switch
        {
            0 or 1 => () => m.Packed(1, Reference(random), Reference(random)),
            2 => () => m.Varint(1, Reference(random)).Varint(1, Reference(random)),
            3 or 4 => () => m.Message(2, s => Sample(random, s)),
            5 => () => m.Message(random.Next(2) + 3, h => Histogram(random, h)),
            6 => () => m.Message(5, w => w.Varint(1, Reference(random)).Varint(3, Reference(random))),
            _ => () => m.Varint(6, Pick(random, Numbers)),
        })));
        return body.ToArray();
    }

    private static void Label(Random random, WireWriter m) =>
        m.Message(1, l => Fields(random, l, 2, field => () => l.Text(field + 1, Pick(random, Texts))));

    private static void Sample(Random random, WireWriter m) => Fields(random, m, 3, field => field == 0
        ? () => m.Double(1, Pick(random, Values))
        : () => m.Varint(field + 1, Pick(random, Numbers)));

    private static void Histogram(Random random, WireWriter m) => Fields(random, m, 18, field => field switch
    {
        0 or 5 or 13 or 14 or 16 => () => m.Varint(field + 1, Pick(random, Numbers)),
        1 or 2 or 4 or 6 => () => m.Double(field + 1, Pick(random, Values)),
        3 => () => m.SInt(4, random.Next(8) == 0 ? -53 : random.Next(-6, 12)),
        7 or 10 => () => m.Message(field + 1, s => s.SInt(1, random.Next(-2, 3)).Varint(2, (ulong)random.Next(3))),
        8 or 11 => () => m.Packed(field + 1, (ulong)random.Next(5), Pick(random, Numbers)),
        _ => () => m.PackedDoubles(field < 15 ? field + 1 : 16, Pick(random, Values), Pick(random, Values)),
    });

    /// <summary>Up to seven fields; one in a hundred is not as it should be.</summary>
    private static void Fields(Random random, WireWriter m, int kinds, Func<int, Action> write) =>
        Repeat(random, 7, () =>
        {
            switch (random.Next(200))
            {
                case 0:
                    m.Varint(random.Next(1, 40), Pick(random, Numbers));
                    break;
                case 1:
                    m.Text(random.Next(1, 40), Pick(random, Texts));
                    break;
                default:
                    write(random.Next(kinds))();
                    break;
            }
        });

    private static ulong Reference(Random random) => (ulong)random.Next(random.Next(20) == 0 ? 9 : 3);

    private static T Pick<T>(Random random, T[] choices) => choices[random.Next(choices.Length)];

    private static void Repeat(Random random, int most, Action write)
    {
        for (var count = random.Next(most + 1); count > 0; count--)
        {
            write();
        }
    }
}
