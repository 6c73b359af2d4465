using Millrace.Configuration;
using Millrace.Delivery;
using Millrace.Model;
using Millrace.Pipeline;
using Millrace.TestKit.Simulation;

namespace Millrace.TestKit.Conformance;

/// <summary>
/// Plays a rule file of vmagent in arrival time through a whole gateway in process, on a manual clock: what a live
/// vmagent is given at an instant, the gateway is given when its clock shows that instant. Times are absolute.
/// </summary>
internal sealed class GatewayPlayer : IDisposable
{
    private const long StepMs = 100;

    private readonly MillraceConfig _config;
    private readonly FaultyDisk _disk = new(seed: 1);
    private readonly ManualTimeProvider _time;
    private readonly List<PlainSample> _delivered = [];
    private RunningPipeline? _pipeline;

    public GatewayPlayer(string rulesYaml, long startMs, bool keepInput = false, bool dropInput = false)
    {
        _time = new ManualTimeProvider(DateTimeOffset.FromUnixTimeMilliseconds(startMs));
        var loaded = Load(rulesYaml, keepInput, dropInput);
        _config = loaded.Config
            ?? throw new FormatException(string.Join('\n', loaded.Problems) + "\n" + rulesYaml);
        _pipeline = Start();
    }

    /// <summary>What was delivered so far, in order.</summary>
    public IReadOnlyList<PlainSample> Delivered => _delivered;

    private long NowMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    /// <summary>What the loader says of a rule file of vmagent, all of its rules in arrival time.</summary>
    public static ConfigLoadResult Load(string rulesYaml, bool keepInput = false, bool dropInput = false)
    {
        var config = $"""
            time_window:
              max_age: off
              max_future: off
            aggregation:
              rule_files: [rules.yml]
              tasks:
                count: 4
            routes:
            - name: all
              keep_input: {(keepInput ? "true" : "false")}
              drop_input: {(dropInput ? "true" : "false")}
            destinations:
            - name: sink
              remote_write:
                url: http://127.0.0.1:9/
                protocol: prometheus_v1
            """;
        return ConfigLoader.Load("millrace.yml", _ => null, path => path switch
        {
            "millrace.yml" => config,
            _ => InArrivalTime(rulesYaml),
        });
    }

    public void RunUntil(long timeMs)
    {
        while (NowMs < timeMs)
        {
            _time.Advance(TimeSpan.FromMilliseconds(Math.Min(StepMs, timeMs - NowMs)));
            if (_pipeline is not null)
            {
                _pipeline.Tick();
                Deliver();
            }
        }
    }

    /// <summary>A request of remote write 1.0.</summary>
    public void Push(byte[] body)
    {
        var pipeline = _pipeline ?? throw new InvalidOperationException("The gateway was stopped.");
        var result = pipeline.Ingest.Push(
            body, new BodyEncoding(BodyProtocol.RemoteWriteV1, BodyCompression.Snappy), out _);
        if (result.Status != PushStatus.Accepted)
        {
            throw new InvalidOperationException($"A request was answered {result}.");
        }
    }

    public void Stop()
    {
        if (_pipeline is null)
        {
            return;
        }
        foreach (var destination in _pipeline.Destinations)
        {
            destination.BeginStop();
            destination.FinishStop(NowMs);
        }
        MustBeDone(_pipeline.StopAsync());
        _pipeline = null;
    }

    public void Restart()
    {
        Stop();
        _pipeline = Start();
    }

    public void Dispose() => Stop();

    /// <summary>enable_windows is event time here.</summary>
    private static string InArrivalTime(string rulesYaml) =>
        rulesYaml.Contains("enable_windows: true", StringComparison.Ordinal) ? rulesYaml
            : ("\n" + rulesYaml).Replace("\n- ", "\n- time: arrival\n  ", StringComparison.Ordinal);

    private RunningPipeline Start()
    {
        var pipeline = PipelineBuilder.Build(
            _config with { Log = _config.Log with { Path = "/data" } },
            new PipelineEnvironment { Disk = _disk, Time = _time, Random = new Random(1) });
        MustBeDone(pipeline.StartAsync(CancellationToken.None));
        return pipeline;
    }

    private void Deliver()
    {
        foreach (var destination in _pipeline!.Destinations)
        {
            while (destination.TryTakeDue(NowMs, out var sending))
            {
                _delivered.AddRange(PlainRemoteWrite.DecodeSnappy(sending.Body.Span));
                destination.Complete(sending, SendResult.Status(204), NowMs);
            }
        }
    }

    /// <summary>Without threads nothing waits.</summary>
    private static void MustBeDone(Task task)
    {
        if (!task.IsCompletedSuccessfully)
        {
            throw new InvalidOperationException("A task of a gateway without threads is not done.", task.Exception);
        }
    }
}

/// <summary>The series of a case, of the wire and of the product in one form.</summary>
internal static class PlainSeriesText
{
    /// <summary>As <see cref="LabelSet.ToString"/> writes it.</summary>
    public static string TextOf(PlainSeries series)
    {
        var labels = new List<Label>();
        foreach (var (name, value) in series.Labels)
        {
            labels.Add(new Label(name, value));
        }
        return LabelSet.From(labels).ToString();
    }

    public static PlainSeries PlainOf(LabelSet labels)
    {
        var plain = new List<KeyValuePair<string, string>>();
        foreach (var label in labels.Labels)
        {
            plain.Add(new(label.Name, label.Value));
        }
        return new PlainSeries(plain);
    }
}
