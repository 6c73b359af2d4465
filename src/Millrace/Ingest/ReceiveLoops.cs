using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace Millrace.Ingest;

/// <summary>
/// The listener beneath Kestrel: each new connection first gets a <see cref="ReceiveLoop"/>, and Kestrel gets those
/// that send anything but the usual write requests, that are idle, or that come when there are loops enough. All of
/// them share one port.
/// </summary>
internal sealed class ReceiveLoops : IConnectionListenerFactory
{
    /// <summary>Connections with a thread of their own; one that waits costs little.</summary>
    private const int MaxLoops = 256;

    private readonly ILoggerFactory _logs;
    private readonly TimeProvider _time;
    private readonly HashSet<ReceiveLoop> _loops = []; // locked by itself
    private readonly TaskCompletionSource _allEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<Socket> _forKestrel = Channel.CreateUnbounded<Socket>();
    private bool _isStopping;

    /// <param name="intake">Takes the requests.</param>
    /// <param name="logs">Kestrel's.</param>
    /// <param name="time">For the Date header.</param>
    /// <param name="slowness">
    /// How long a body may come slower than 240 bytes per second, and a connection be idle before Kestrel gets it.
    /// </param>
    public ReceiveLoops(WriteIntake intake, ILoggerFactory logs, TimeProvider time, TimeSpan slowness)
    {
        (Intake, _logs, _time, Slowness) = (intake, logs, time, slowness);
        Log = logs.CreateLogger("ingest");
    }

    public WriteIntake Intake { get; }

    public TimeSpan Slowness { get; }

    public ILogger Log { get; }

    public DateTimeOffset UtcNow => _time.GetUtcNow();

    /// <summary>Bodies that are decoded at once: each takes a buffer, and more than the cores gain nothing.</summary>
    public SemaphoreSlim Turns { get; } = new(Environment.ProcessorCount * 2);

    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        try
        {
            socket.Listen(512);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            socket.Dispose();
            throw new AddressInUseException(e.Message, e);
        }
        return ValueTask.FromResult<IConnectionListener>(new Listener(this, socket));
    }

    /// <summary>Gives a connection to Kestrel, with whatever has come on it and was not taken off.</summary>
    public void HandOver(Socket socket)
    {
        socket.ReceiveTimeout = socket.SendTimeout = 0;
        if (!_forKestrel.Writer.TryWrite(socket))
        {
            socket.Dispose();
        }
    }

    private void Begin(Socket socket)
    {
        var loop = new ReceiveLoop(socket, this);
        lock (_loops)
        {
            if (_isStopping || _loops.Count >= MaxLoops)
            {
                HandOver(socket);
                return;
            }
            _loops.Add(loop);
        }
        new Thread(() => Run(loop)) { IsBackground = true, Name = "receive" }.Start();
    }

    private void Run(ReceiveLoop loop)
    {
        try
        {
            loop.Run();
        }
        finally
        {
            lock (_loops)
            {
                _loops.Remove(loop);
                if (_isStopping && _loops.Count == 0)
                {
                    _allEnded.TrySetResult();
                }
            }
        }
    }

    /// <summary>Completes when all loops have answered what they were at.</summary>
    private Task StopAsync()
    {
        lock (_loops)
        {
            _isStopping = true;
            foreach (var loop in _loops)
            {
                loop.BeginStop();
            }
            return _loops.Count == 0 ? Task.CompletedTask : _allEnded.Task;
        }
    }

    private sealed class Listener : IConnectionListener
    {
        private readonly ReceiveLoops _owner;
        private readonly Socket _socket;
        private readonly SocketConnectionContextFactory _contexts;
        private readonly Task _accepting;

        public Listener(ReceiveLoops owner, Socket socket)
        {
            (_owner, _socket, EndPoint) = (owner, socket, socket.LocalEndPoint!);
            _contexts = new SocketConnectionContextFactory(
                new SocketConnectionFactoryOptions(), owner._logs.CreateLogger("Millrace.Ingest.Kestrel"));
            _accepting = AcceptLoopAsync();
        }

        public EndPoint EndPoint { get; }

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (await _owner._forKestrel.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
                if (_owner._forKestrel.Reader.TryRead(out var socket))
                {
                    return _contexts.Create(socket);
                }
            }
            return null;
        }

        public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _socket.Dispose();
            await _accepting.ConfigureAwait(false);
            try
            {
                await _owner.StopAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // A sender is slow: what it began is not acknowledged, and it will send it again.
            }
            _owner._forKestrel.Writer.TryComplete();
        }

        public ValueTask DisposeAsync()
        {
            _socket.Dispose();
            _contexts.Dispose();
            return ValueTask.CompletedTask;
        }

        private async Task AcceptLoopAsync()
        {
            while (true)
            {
                try
                {
                    var socket = await _socket.AcceptAsync().ConfigureAwait(false);
                    socket.NoDelay = true;
                    _owner.Begin(socket);
                }
                catch (SocketException e) when (e.SocketErrorCode is not (SocketError.OperationAborted
                    or SocketError.Interrupted or SocketError.InvalidArgument or SocketError.NotSocket))
                {
                    // Gone before we came to it, or no file descriptor is free: there may be one soon.
                    await Task.Delay(10).ConfigureAwait(false);
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    return;
                }
            }
        }
    }
}
