namespace Millrace.Telemetry;

/// <summary>How a reload ended.</summary>
/// <param name="AtMs">When.</param>
/// <param name="Problems">Why it changed nothing; empty: it came into force.</param>
/// <param name="Changes">What it changed.</param>
internal sealed record Reload(long AtMs, IReadOnlyList<string> Problems, IReadOnlyList<string> Changes);

/// <summary>The reloads of this process. One thread writes at a time; any reads.</summary>
internal sealed class ReloadLog
{
    private volatile Reload? _last;
    private long _succeeded;
    private long _failed;
    private long _lastSuccessMs;

    /// <summary>Null: there was none since the start.</summary>
    public Reload? Last => _last;

    public long Succeeded => Interlocked.Read(ref _succeeded);

    public long Failed => Interlocked.Read(ref _failed);

    /// <summary>0: there was none since the start.</summary>
    public long LastSuccessMs => Interlocked.Read(ref _lastSuccessMs);

    public void Add(Reload reload)
    {
        if (reload.Problems.Count == 0)
        {
            Interlocked.Increment(ref _succeeded);
            Interlocked.Exchange(ref _lastSuccessMs, reload.AtMs);
        }
        else
        {
            Interlocked.Increment(ref _failed);
        }
        _last = reload;
    }

    public void Write(ExpositionWriter page)
    {
        page.Counter(
            "millrace_config_reloads_total", "Reloads of the configuration that were tried.", Succeeded + Failed);
        page.Counter("millrace_config_reload_errors_total", "Reloads that were refused and changed nothing.", Failed);
        page.Gauge(
            "millrace_config_last_reload_successful", "1, unless the last reload was refused.",
            _last is { Problems.Count: > 0 } ? 0 : 1);
        page.Gauge(
            "millrace_config_last_reload_success_timestamp_seconds",
            "When a reload came into force last; 0: not since the start.", LastSuccessMs / 1e3);
    }
}
