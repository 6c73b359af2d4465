using System.Net.Http;
using Millrace.Model;
using Millrace.Placement;
using Millrace.TestKit.Conformance;
using Millrace.TestKit.Fleet;
using Millrace.TestKit.Processes;

namespace Millrace.SystemTests.Conformance;

/// <summary>Where a live vmagent with -remoteWrite.shardByURL sends series, beside where ours says it does.</summary>
public sealed class ShardPlacementTests
{
    private const int Urls = 5;
    private const int SeriesCount = 300;

    /// <summary>The label by which a series is known again; part of the key, where that is all labels.</summary>
    private const string Number = "n";

    [Theory]
    [InlineData("")]
    [InlineData("", "-remoteWrite.shardByURL.labels=__name__,job")]
    [InlineData("", "-remoteWrite.shardByURL.ignoreLabels=pod,n")]
    [InlineData("", "-remoteWrite.shardByURLReplicas=2")]
    [InlineData("", "-sortLabels")]
    [InlineData("?extra_label=a=b", "-remoteWrite.shardByURLReplicas=3", "-remoteWrite.shardByURL.labels=zone,zone2")]
    public async Task Series_go_where_vmagent_sends_them(string query, params string[] flags)
    {
        Needs.Peer(Peers.Vmagent);
        await using var sink = await WriteSink.StartAsync();
        Uri[] urls = [.. Enumerable.Range(0, Urls).Select(i => new Uri(sink.UrlOf(i) + query))];
        await using var vmagent = await VmagentProcess.StartAsync(
            "", urls, ["-remoteWrite.shardByURL", "-remoteWrite.forcePromProto", "-remoteWrite.queues=1", .. flags]);
        var placement = new VmAgentPlacement(new VmAgentPlacementConfig
        {
            Urls = [.. urls.Select(static url => url.ToString())],
            Labels = ListOf("shardByURL.labels", flags),
            IgnoreLabels = ListOf("shardByURL.ignoreLabels", flags),
            Replicas = ListOf("shardByURLReplicas", flags) is [var replicas] ? int.Parse(replicas) : 1,
        });
        var series = RandomSeries(new Random(flags.Length + query.Length + string.Concat(flags).Length));
        using var http = new HttpClient();

        await LiveVmagent.PushAsync(
            http, vmagent.WriteUrl, RemoteWriteBody.Compress(SentBody.V1(series, LiveVmagent.NowMs)));
        await WaitAsync(sink, SeriesCount * placement.Replicas);

        sink.Problems.ShouldBeEmpty();
        var arrived = Enumerable.Range(0, Urls)
            .SelectMany(url => sink.ReceivedBy(url).Select(sample => (Series: int.Parse(sample.Series[Number]), url)))
            .ToLookup(static pair => pair.Series, static pair => pair.url);
        var chosen = new int[placement.Replicas];
        for (var i = 0; i < SeriesCount; i++)
        {
            Label[] labels = [.. series[i].Labels.Select(static label => new Label(label.Name, label.Value))];
            placement.Place(flags.Contains("-sortLabels") ? LabelSet.From(labels).Labels : labels, chosen);
            arrived[i].Order().ShouldBe(chosen.Order(), series[i].ToString());
        }
    }

    private static string[] ListOf(string flag, string[] flags) =>
        flags.FirstOrDefault(text => text.StartsWith($"-remoteWrite.{flag}=", StringComparison.Ordinal)) is { } found
            ? found[(found.IndexOf('=') + 1)..].Split(',') : [];

    /// <summary>Labels in any order, some missing, with texts of all lengths.</summary>
    private static SentSeries[] RandomSeries(Random random)
    {
        string[] names = ["job", "pod", "zone", "Zone", "zone2", "le", "häuser", "a", "_x"];
        var all = new SentSeries[SeriesCount];
        for (var i = 0; i < all.Length; i++)
        {
            var labels = names.Where(_ => random.Next(2) == 0).Select(name => (name, Value())).ToList();
            labels.Add(("__name__", $"metric_{random.Next(20)}"));
            labels.Add((Number, $"{i}"));
            var shuffled = labels.ToArray();
            random.Shuffle(shuffled);
            all[i] = new SentSeries(shuffled).With(1);
        }
        return all;

        string Value() => string.Concat(Enumerable.Repeat(random.Next(4) == 0 ? "ü" : "v", random.Next(1, 60)))
            + random.Next(30);
    }

    private static async Task WaitAsync(WriteSink sink, int samples)
    {
        for (var left = 150; left > 0 && Enumerable.Range(0, Urls).Sum(i => sink.ReceivedBy(i).Count) < samples; left--)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
    }
}
