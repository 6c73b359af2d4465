namespace Millrace.Log;

/// <summary>Lets callers wait for a sync without a thread each; those who come together share one.</summary>
internal sealed class SyncWaiters(RecordLog log)
{
    private readonly Lock _lock = new(); // covers both fields
    private TaskCompletionSource<bool>? _waiters; // those whom the next sync answers
    private bool _loopRuns;

    public ValueTask<bool> NextSync()
    {
        lock (_lock)
        {
            _waiters ??= new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            if (!_loopRuns)
            {
                _loopRuns = true;
                ThreadPool.UnsafeQueueUserWorkItem(static self => self.SyncForWaiters(), this, preferLocal: false);
            }
            return new ValueTask<bool>(_waiters.Task);
        }
    }

    /// <summary>Those who came before a sync began are answered by it; those who came since, by the next.</summary>
    private void SyncForWaiters()
    {
        while (true)
        {
            TaskCompletionSource<bool> waiters;
            lock (_lock)
            {
                if (_waiters is null)
                {
                    _loopRuns = false;
                    return;
                }
                waiters = _waiters;
                _waiters = null;
            }
            waiters.SetResult(log.Sync());
        }
    }
}
