using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace Millrace.Server;

/// <summary>
/// Blocks of 64 KiB for Kestrel instead of its 4 KiB: a body of 200 KB is read by four calls to the kernel instead of
/// fifty. A connection that waits holds none. A fixed number of them is kept; beyond it the collector takes them.
/// </summary>
internal sealed class ReceiveBuffers : MemoryPool<byte>, IMemoryPoolFactory<byte>
{
    private const int BlockBytes = 64 << 10;
    private const int MaxKept = 128; // 8 MiB

    private readonly ConcurrentQueue<Block> _blocks = new();

    public override int MaxBufferSize => BlockBytes;

    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => this;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
        return _blocks.TryDequeue(out var block) ? block : new Block(this);
    }

    /// <summary>Shared by all listeners of the process, so no one of them ends it.</summary>
    protected override void Dispose(bool disposing)
    {
    }

    private void Return(Block block)
    {
        if (_blocks.Count < MaxKept)
        {
            _blocks.Enqueue(block);
        }
    }

    private sealed class Block(ReceiveBuffers owner) : IMemoryOwner<byte>
    {
        // Pinned, so that the kernel may write into it while the collector moves others.
        private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(BlockBytes, pinned: true);

        public Memory<byte> Memory => _bytes;

        public void Dispose() => owner.Return(this);
    }
}
