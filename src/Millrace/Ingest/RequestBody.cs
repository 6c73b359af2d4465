using System.Buffers;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Millrace.Ingest;

/// <summary>How reading a body ended.</summary>
internal enum BodyReading
{
    Complete,

    /// <summary>It is larger than allowed.</summary>
    TooLarge,

    /// <summary>The gate has no room for more of it.</summary>
    NoRoom,

    /// <summary>The sender went away.</summary>
    SenderGone,

    /// <summary>It comes slower than <see cref="RequestBody.MinBytesPerSecond"/>.</summary>
    TooSlow,
}

/// <summary>
/// A body as received, in a rented buffer that owns its room under the gate. The buffer grows with what has arrived,
/// not with what was announced: a sender that promises much and sends nothing holds little.
/// </summary>
internal sealed class RequestBody(AdmissionGate gate, long maxBytes) : IDisposable
{
    /// <summary>The rate below which a sender holds room for nothing.</summary>
    public const int MinBytesPerSecond = 240;

    private const int FirstBytes = 4 << 10;
    private const int MaxFirstBytes = 1 << 20;

    private byte[] _buffer = [];
    private int _length;
    private long _reservedBytes;

    public int Length => _length;

    public ReadOnlyMemory<byte> Bytes => _buffer.AsMemory(0, _length);

    public async ValueTask<BodyReading> ReadAsync(HttpRequest request)
    {
        var declared = request.ContentLength;
        if (declared > maxBytes)
        {
            return BodyReading.TooLarge;
        }
        if (declared is null
            && request.HttpContext.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } bound)
        {
            // Kestrel would count the frames of the chunks, too.
            bound.MaxRequestBodySize = null;
        }
        if (!TryGrow(Math.Clamp(declared ?? FirstBytes, 1, MaxFirstBytes)))
        {
            return BodyReading.NoRoom;
        }
        while (_length != declared)
        {
            // One byte more than allowed is room enough to see that it is too large.
            if (_length == _buffer.Length && !TryGrow(Math.Min(_length * 2L, (declared ?? maxBytes) + 1)))
            {
                return BodyReading.NoRoom;
            }
            var read = await request.Body.ReadAsync(_buffer.AsMemory(_length)).ConfigureAwait(false);
            if (read == 0)
            {
                break;
            }
            _length += read;
            if (_length > maxBytes)
            {
                return BodyReading.TooLarge;
            }
        }
        return BodyReading.Complete;
    }

    /// <summary>Reads a body of a known length from a blocking socket.</summary>
    /// <param name="socket">Stands behind the head; its receive timeout is at most <paramref name="slowness"/>.</param>
    /// <param name="length">At most the bound.</param>
    /// <param name="slowness">How long it may come slower than <see cref="MinBytesPerSecond"/>.</param>
    public BodyReading Read(Socket socket, int length, TimeSpan slowness)
    {
        var startedMs = Environment.TickCount64;
        if (!TryGrow(Math.Min(length, MaxFirstBytes)))
        {
            return BodyReading.NoRoom;
        }
        while (_length < length)
        {
            if (_length == _buffer.Length && !TryGrow(Math.Min(_length * 2L, length)))
            {
                return BodyReading.NoRoom;
            }
            var room = Math.Min(_buffer.Length, length) - _length;
            var read = socket.Receive(_buffer.AsSpan(_length, room), SocketFlags.None, out var error);
            if (error is SocketError.TimedOut or SocketError.WouldBlock)
            {
                return BodyReading.TooSlow;
            }
            if (read == 0 || error != SocketError.Success)
            {
                return BodyReading.SenderGone;
            }
            _length += read;
            var tookMs = Environment.TickCount64 - startedMs;
            if (_length < length && tookMs > slowness.TotalMilliseconds
                && _length < tookMs * MinBytesPerSecond / 1000)
            {
                return BodyReading.TooSlow;
            }
        }
        return BodyReading.Complete;
    }

    public void Dispose()
    {
        ReturnBuffer(_buffer);
        _buffer = [];
        gate.Release(_reservedBytes);
        _reservedBytes = 0;
    }

    private bool TryGrow(long bytes)
    {
        var more = bytes - _reservedBytes;
        if (!gate.TryReserve(more))
        {
            return false;
        }
        _reservedBytes = bytes;
        var larger = ArrayPool<byte>.Shared.Rent((int)bytes);
        _buffer.AsSpan(0, _length).CopyTo(larger);
        // Exactly once: a buffer returned twice would soon hold the bodies of two senders.
        ReturnBuffer(_buffer);
        _buffer = larger;
        return true;
    }

    private static void ReturnBuffer(byte[] buffer)
    {
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
