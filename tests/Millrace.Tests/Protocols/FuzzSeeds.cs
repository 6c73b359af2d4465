using Millrace.Model;
using Millrace.Protocols;

namespace Millrace.Tests.Protocols;

/// <summary>Realistic inputs from which the fuzzer starts: small, so that a change hits something.</summary>
internal static class FuzzSeeds
{
    private static readonly SeriesModel Rich = new(SeriesModel.LabelsOf("__name__", "rpc_seconds", "job", "api"))
    {
        Samples = [new(RemoteWriteBodies.Now, 0.5), new(RemoteWriteBodies.Now + 1, double.NaN, 77), new(0, 0)],
        Exemplars = [new(SeriesModel.LabelsOf("trace_id", "0af7651916cd43dd"), 0.25, RemoteWriteBodies.Now)],
    };

    private static readonly SeriesModel Native = new(SeriesModel.LabelsOf("__name__", "rpc_native_seconds"))
    {
        Histograms = [(RemoteWriteBodies.Now, 1.5), (RemoteWriteBodies.Now + 1, 2.5)],
    };

    /// <summary>A series with a sample as Prometheus 3.5's Go encoder writes it, byte by byte.</summary>
    private const string GoBody =
        "0A2E" + "0A0E" + "0A085F5F6E616D655F5F" + "12027570" + "0A0A" + "0A036A6F62" + "1203617069"
        + "1210" + "09000000000000F03F" + "108080B3C19C33";

    /// <summary>The same in 2.0-rc.3, with the empty metadata that Go always writes and a created timestamp.</summary>
    private const string GoBodyV2 =
        "2200" + "22085F5F6E616D655F5F" + "22027570" + "22036A6F62" + "2203617069"
        + "2A1E" + "0A0401020304" + "1210" + "09000000000000F03F" + "108080B3C19C33" + "2A00" + "3080BF1F";

    public static byte[][] V1 { get; } =
    [
        RemoteWriteBodies.V1(RemoteWriteBodies.Scrape(3)),
        RemoteWriteBodies.V1(RemoteWriteBodies.Scrape(1)),
        RemoteWriteBodies.V1(Rich, Native),
        Convert.FromHexString(GoBody),
        new WireWriter().Message(3, m => m.Varint(1, 1).Text(2, "up").Text(4, "Is it?").Text(5, "s")).ToArray(),
    ];

    public static byte[][] V2 { get; } =
    [
        RemoteWriteBodies.V2(RemoteWriteBodies.Scrape(3)),
        RemoteWriteBodies.V2(Rich, Native),
        Convert.FromHexString(GoBodyV2),
        new WireWriter().Text(4, "").Text(4, "__name__").Text(4, "up").Message(5, m => m
            .Packed(1, 1, 2).Message(2, s => s.Varint(2, 5).Varint(3, 4)).Message(4, e => e.Packed(1, 1, 2))
            .Message(5, w => w.Varint(1, 1).Varint(3, 2).Varint(4, 1)).Varint(6, 3)).ToArray(),
    ];

    public static byte[][] Text { get; } =
    [
        """
        # HELP http_requests_total The total number\nof requests.
        # TYPE http_requests_total counter
        http_requests_total{method="post",code="200"} 1027 1395066363000
        path_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
        """u8.ToArray(),
        """
        # UNIT foo_seconds seconds
        foo_seconds_total{a="b"} 17.0 1520879607.789 # {trace_id="KOO5S4vxi0o"} 0.67 1520879606
        {"my.metric", "a.b"="c"} NaN
        weird{} -Inf -3982045
        # EOF
        """u8.ToArray(),
    ];

    public static byte[][] LabelBlocks { get; } =
    [
        LabelBlock.Encode(LabelSet.From(RemoteWriteBodies.Scrape(1).First().Labels)),
        LabelBlock.Encode(LabelSet.Of(("__name__", "température"), ("région", "\U0001F30D"))),
        LabelBlock.Encode(LabelSet.Of(("a", "b"))),
    ];
}
