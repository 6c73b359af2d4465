using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;

namespace Millrace.Ingest;

/// <summary>
/// Serves the usual write requests of one connection on a thread of its own: the head is looked at without taking it
/// off the socket, the body goes from the socket straight into the buffer that is decoded. At anything else than the
/// usual request (<see cref="RequestHead"/>) it hands the socket over, the head still on it, and ends.
/// <para>
/// A third of what a sample cost was HTTP: a pool thread woken for each piece of a body, a copy, and a state machine
/// per layer. Here it is two system calls and a copy.
/// </para>
/// </summary>
internal sealed partial class ReceiveLoop(Socket socket, ReceiveLoops owner)
{
    private const int HeadBytes = 8 << 10;
    private const int DrainBytes = 64 << 10;

    private readonly byte[] _head = new byte[HeadBytes];
    private readonly Lock _lock = new(); // covers the flags
    private bool _isWaiting; // for the next request
    private bool _isStopping;

    /// <summary>Until the connection ends, or is handed over.</summary>
    public void Run()
    {
        try
        {
            socket.ReceiveTimeout = (int)owner.Slowness.TotalMilliseconds;
            socket.SendTimeout = (int)owner.Slowness.TotalMilliseconds;
            while (TryWait(out var peeked))
            {
                if (peeked < 0 || !RequestHead.TryParse(_head.AsSpan(0, peeked), out var head)
                    || head.ContentLength > owner.Intake.MaxRequestBytes)
                {
                    owner.HandOver(socket);
                    return;
                }
                if (!TryAnswer(head))
                {
                    break;
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The sender is gone; where that matters it was counted.
        }
        catch (Exception e)
        {
            Fail(e);
        }
        socket.Dispose();
    }

    /// <summary>No further request is begun; one under way is answered.</summary>
    public void BeginStop()
    {
        lock (_lock)
        {
            _isStopping = true;
            if (!_isWaiting)
            {
                return;
            }
            try
            {
                socket.Shutdown(SocketShutdown.Receive);
            }
            catch (SocketException)
            {
                // The sender has ended the connection already.
            }
        }
    }

    /// <summary>Our bug, which must cost one connection and not the process.</summary>
    private void Fail(Exception e)
    {
        Log.RequestFailed(owner.Log, e);
        try
        {
            TrySend(
                new WriteAnswer(StatusCodes.Status500InternalServerError, "The request failed; see the log."),
                isLast: true);
        }
        catch (SocketException)
        {
            // Nobody is there to read it.
        }
    }

    /// <summary>Looks at the next request; -1: none came for a while. False: the connection has ended.</summary>
    private bool TryWait(out int peeked)
    {
        peeked = 0;
        lock (_lock)
        {
            if (_isStopping)
            {
                return false;
            }
            _isWaiting = true;
        }
        peeked = socket.Receive(_head, SocketFlags.Peek, out var error);
        lock (_lock)
        {
            _isWaiting = false;
        }
        if (error is SocketError.TimedOut or SocketError.WouldBlock)
        {
            peeked = -1;
            return true;
        }
        return peeked > 0 && error == SocketError.Success;
    }

    /// <summary>False: the connection cannot go on.</summary>
    private bool TryAnswer(in RequestHead head)
    {
        for (var taken = 0; taken < head.Length;)
        {
            var read = socket.Receive(_head.AsSpan(taken, head.Length - taken));
            if (read == 0)
            {
                return false;
            }
            taken += read;
        }
        if (!owner.Intake.TryEnter(head.Encoding, head.ContentLength, out var answer))
        {
            return TryDrain(head.ContentLength) && TrySend(answer, isLast: false);
        }
        BodyReading reading;
        int left;
        try
        {
            answer = ReadAndTake(head, out reading, out left);
        }
        finally
        {
            // Before the sender hears of it: it may count on the room.
            owner.Intake.Leave();
        }
        return reading switch
        {
            BodyReading.SenderGone => false,
            BodyReading.TooSlow => TrySend(answer, isLast: true),
            _ => TryDrain(left) && TrySend(answer, isLast: false),
        };
    }

    private WriteAnswer ReadAndTake(in RequestHead head, out BodyReading reading, out int left)
    {
        var intake = owner.Intake;
        using var body = new RequestBody(intake.Gate, intake.MaxRequestBytes);
        reading = body.Read(socket, head.ContentLength, owner.Slowness);
        left = head.ContentLength - body.Length;
        switch (reading)
        {
            case BodyReading.Complete:
                return Take(body, head);
            case BodyReading.NoRoom:
                return intake.NoRoom(head.Encoding);
            case BodyReading.TooSlow:
                return intake.Refused(
                    head.Encoding, StatusCodes.Status408RequestTimeout,
                    $"The body came slower than {RequestBody.MinBytesPerSecond} bytes per second.");
            default:
                intake.SenderGone(head.Encoding);
                return default;
        }
    }

    private WriteAnswer Take(RequestBody body, in RequestHead head)
    {
        owner.Turns.Wait();
        try
        {
            // This thread has nothing else to do, so it may wait, be it for a sync of the log.
            return owner.Intake.TakeAsync(body.Bytes, head.Encoding).AsTask().GetAwaiter().GetResult();
        }
        finally
        {
            owner.Turns.Release();
        }
    }

    /// <summary>
    /// Reads what is left of a body that is not taken: the sender reads the answer only when it has sent all.
    /// </summary>
    private bool TryDrain(int left)
    {
        if (left == 0)
        {
            return true;
        }
        var waste = new byte[Math.Min(left, DrainBytes)];
        while (left > 0)
        {
            var read = socket.Receive(waste.AsSpan(0, Math.Min(left, waste.Length)));
            if (read == 0)
            {
                return false;
            }
            left -= read;
        }
        return true;
    }

    private bool TrySend(in WriteAnswer answer, bool isLast)
    {
        var text = new StringBuilder(256);
        text.Append(CultureInfo.InvariantCulture, $"HTTP/1.1 {answer.Status} ")
            .Append(ReasonPhrases.GetReasonPhrase(answer.Status))
            .Append(CultureInfo.InvariantCulture, $"\r\nDate: {owner.UtcNow:R}\r\n");
        if (answer.Written is { } written)
        {
            text.Append(CultureInfo.InvariantCulture, $"{WriteEndpoints.SamplesWritten}: {written.Samples}\r\n")
                .Append(CultureInfo.InvariantCulture, $"{WriteEndpoints.HistogramsWritten}: {written.Histograms}\r\n")
                .Append(CultureInfo.InvariantCulture, $"{WriteEndpoints.ExemplarsWritten}: {written.Exemplars}\r\n");
        }
        if (answer.RetryAfter is { } retryAfter)
        {
            text.Append(CultureInfo.InvariantCulture, $"Retry-After: {retryAfter}\r\n");
        }
        if (isLast)
        {
            text.Append("Connection: close\r\n");
        }
        if (answer.Text.Length > 0)
        {
            var length = Encoding.UTF8.GetByteCount(answer.Text) + 1;
            text.Append("Content-Type: text/plain; charset=utf-8\r\n")
                .Append(CultureInfo.InvariantCulture, $"Content-Length: {length}\r\n\r\n{answer.Text}\n");
        }
        else
        {
            text.Append("\r\n");
        }
        var bytes = Encoding.UTF8.GetBytes(text.ToString());
        for (var sent = 0; sent < bytes.Length;)
        {
            sent += socket.Send(bytes.AsSpan(sent));
        }
        return !isLast;
    }

    private static partial class Log
    {
        [LoggerMessage(LogLevel.Error, "A write request failed: it was answered with 500 and is not counted.")]
        public static partial void RequestFailed(ILogger logger, Exception e);
    }
}
