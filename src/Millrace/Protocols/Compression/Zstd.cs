using System.Numerics;
using System.Runtime.InteropServices;

namespace Millrace.Protocols.Compression;

/// <summary>
/// Zstandard through the system's libzstd, for the remote write dialect of VictoriaMetrics. Function pointers
/// instead of <c>DllImport</c>: the library's name differs between systems, and it may be missing, which is told by
/// <see cref="IsAvailable"/> and not by an exception in the middle of a request.
/// </summary>
internal static class Zstd
{
    private const int FastLevel = 1;

    // From zstd.h, all of them stable since 1.4.
    private const ulong ContentSizeUnknown = ulong.MaxValue;
    private const ulong ContentSizeError = ulong.MaxValue - 1;
    private const int ParameterWindowLogMax = 100;
    private const int SmallestWindowLog = 10;
    private const int LargestWindowLog = 27;

    private static readonly Library? Loaded = Library.TryLoad();

    public static bool IsAvailable => Loaded is not null;

    /// <summary>What to tell a user when <see cref="IsAvailable"/> is false.</summary>
    public const string MissingLibrary =
        "The zstd library was not found (libzstd.so.1, libzstd.dylib or libzstd.dll). "
        + "Install the package libzstd1, or use a protocol with snappy.";

    /// <summary>The room that <see cref="TryCompress"/> asks for.</summary>
    public static int MaxCompressedLength(int sourceLength)
    {
        // ZSTD_COMPRESSBOUND of zstd.h: one byte in 256, and some for small sources.
        var smallSourceMargin = sourceLength < 128 << 10 ? ((128 << 10) - sourceLength) >> 11 : 0;
        return checked(sourceLength + (sourceLength >> 8) + smallSourceMargin);
    }

    /// <summary>Compresses at level 1; equal sources give equal bytes as long as the library is the same.</summary>
    public static unsafe bool TryCompress(ReadOnlySpan<byte> source, Span<byte> target, out int length)
    {
        length = 0;
        if (Loaded is null)
        {
            return false;
        }
        var context = Loaded.Compressors.Rent();
        nuint result;
        fixed (byte* from = source, to = target)
        {
            result = Loaded.CompressCCtx(context, to, (nuint)target.Length, from, (nuint)source.Length, FastLevel);
        }
        Loaded.Compressors.Return(context);
        if (Loaded.IsError(result) != 0)
        {
            return false;
        }
        length = (int)result;
        return true;
    }

    /// <param name="compressed">One or more frames.</param>
    /// <param name="maxSizeBytes">What the decompressed bytes may come to.</param>
    /// <param name="buffer">The caller's; replaced by a larger one where it is too small.</param>
    /// <param name="sizeBytes">How much of the buffer is filled.</param>
    public static unsafe DecompressResult Decompress(
        ReadOnlySpan<byte> compressed, int maxSizeBytes, ref byte[] buffer, out int sizeBytes)
    {
        sizeBytes = 0;
        if (Loaded is null)
        {
            return DecompressResult.Unavailable;
        }
        if (compressed.IsEmpty)
        {
            return DecompressResult.Malformed;
        }
        fixed (byte* from = compressed)
        {
            var sourceLength = (nuint)compressed.Length;
            var declared = Loaded.GetFrameContentSize(from, sourceLength);
            if (declared == ContentSizeError)
            {
                return DecompressResult.Malformed;
            }
            if (declared != ContentSizeUnknown && declared > (ulong)maxSizeBytes)
            {
                return DecompressResult.TooLarge;
            }
            var isOneFrame = declared != ContentSizeUnknown
                && Loaded.FindFrameCompressedSize(from, sourceLength) == sourceLength;
            var context = Loaded.Decompressors.Rent();
            try
            {
                return isOneFrame
                    ? DecompressOnce(context, from, sourceLength, (int)declared, ref buffer, out sizeBytes)
                    : DecompressStream(context, from, sourceLength, maxSizeBytes, ref buffer, out sizeBytes);
            }
            finally
            {
                Loaded.Decompressors.Return(context);
            }
        }
    }

    private static unsafe DecompressResult DecompressOnce(
        nint context, byte* from, nuint sourceLength, int declared, ref byte[] buffer, out int sizeBytes)
    {
        OutputBuffer.Ensure(ref buffer, Math.Max(declared, 1));
        nuint result;
        fixed (byte* to = buffer)
        {
            result = Loaded!.DecompressDCtx(context, to, (nuint)declared, from, sourceLength);
        }
        var isSound = Loaded.IsError(result) == 0 && result == (nuint)declared;
        sizeBytes = isSound ? declared : 0;
        return isSound ? DecompressResult.Ok : DecompressResult.Malformed;
    }

    /// <summary>For senders that do not say the size, and for several frames one after another.</summary>
    private static unsafe DecompressResult DecompressStream(
        nint context, byte* from, nuint sourceLength, int maxSizeBytes, ref byte[] buffer, out int sizeBytes)
    {
        sizeBytes = 0;
        // The window is memory of the library's own: no larger than what may come out.
        var windowLog = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, maxSizeBytes)));
        Loaded!.SetParameter(
            context, ParameterWindowLogMax, Math.Clamp(windowLog, SmallestWindowLog, LargestWindowLog));
        var input = new StreamBuffer { Start = from, Size = sourceLength };
        nuint more = 1;
        while (OutputBuffer.TryGrow(ref buffer, sizeBytes, maxSizeBytes))
        {
            fixed (byte* to = buffer)
            {
                var limit = Math.Min(buffer.Length, maxSizeBytes);
                var output = new StreamBuffer { Start = to, Size = (nuint)limit, Position = (nuint)sizeBytes };
                more = Loaded.DecompressStream(context, &output, &input);
                if (Loaded.IsError(more) != 0)
                {
                    return DecompressResult.Malformed;
                }
                sizeBytes = (int)output.Position;
                if (input.Position == input.Size && sizeBytes < limit)
                {
                    // All was read and there was room for more: either the last frame ended here or it never will.
                    return more == 0 ? DecompressResult.Ok : DecompressResult.Malformed;
                }
            }
        }
        var isComplete = more == 0 && input.Position == input.Size;
        return isComplete ? DecompressResult.Ok : DecompressResult.TooLarge;
    }

    /// <summary><c>ZSTD_inBuffer</c> and <c>ZSTD_outBuffer</c>, which are laid out alike.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private unsafe struct StreamBuffer
    {
        public byte* Start;
        public nuint Size;
        public nuint Position;
    }

    /// <summary>The entry points, and the contexts that are in nobody's hands.</summary>
    private sealed unsafe class Library
    {
        private static readonly string[] Names =
            ["libzstd.so.1", "libzstd.1.dylib", "libzstd.dylib", "libzstd.dll", "libzstd", "zstd"];

        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, int, nuint> CompressCCtx;
        public readonly delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint> DecompressDCtx;
        public readonly delegate* unmanaged<nint, StreamBuffer*, StreamBuffer*, nuint> DecompressStream;
        public readonly delegate* unmanaged<nint, int, int, nuint> SetParameter;
        public readonly delegate* unmanaged<byte*, nuint, ulong> GetFrameContentSize;
        public readonly delegate* unmanaged<byte*, nuint, nuint> FindFrameCompressedSize;
        public readonly delegate* unmanaged<nuint, uint> IsError;
        public readonly ContextPool Compressors;
        public readonly ContextPool Decompressors;

        private Library(nint handle)
        {
            CompressCCtx = (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, int, nuint>)
                NativeLibrary.GetExport(handle, "ZSTD_compressCCtx");
            DecompressDCtx = (delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint>)
                NativeLibrary.GetExport(handle, "ZSTD_decompressDCtx");
            DecompressStream = (delegate* unmanaged<nint, StreamBuffer*, StreamBuffer*, nuint>)
                NativeLibrary.GetExport(handle, "ZSTD_decompressStream");
            SetParameter = (delegate* unmanaged<nint, int, int, nuint>)
                NativeLibrary.GetExport(handle, "ZSTD_DCtx_setParameter");
            GetFrameContentSize = (delegate* unmanaged<byte*, nuint, ulong>)
                NativeLibrary.GetExport(handle, "ZSTD_getFrameContentSize");
            FindFrameCompressedSize = (delegate* unmanaged<byte*, nuint, nuint>)
                NativeLibrary.GetExport(handle, "ZSTD_findFrameCompressedSize");
            IsError = (delegate* unmanaged<nuint, uint>)NativeLibrary.GetExport(handle, "ZSTD_isError");
            Compressors = new ContextPool(
                NativeLibrary.GetExport(handle, "ZSTD_createCCtx"),
                NativeLibrary.GetExport(handle, "ZSTD_freeCCtx"),
                NativeLibrary.GetExport(handle, "ZSTD_CCtx_reset"));
            Decompressors = new ContextPool(
                NativeLibrary.GetExport(handle, "ZSTD_createDCtx"),
                NativeLibrary.GetExport(handle, "ZSTD_freeDCtx"),
                NativeLibrary.GetExport(handle, "ZSTD_DCtx_reset"));
        }

        public static Library? TryLoad()
        {
            foreach (var name in Names)
            {
                if (NativeLibrary.TryLoad(name, out var handle))
                {
                    try
                    {
                        return new Library(handle);
                    }
                    catch (EntryPointNotFoundException)
                    {
                        // Something else, or a release from before 1.4, goes by this name: try the next.
                        NativeLibrary.Free(handle);
                    }
                }
            }
            return null;
        }
    }

    /// <summary>Contexts cost hundreds of kilobytes and their set-up; as many are kept as there are cores.</summary>
    private sealed unsafe class ContextPool(nint create, nint free, nint reset)
    {
        private const int ResetSessionAndParameters = 3;

        private readonly Lock _lock = new(); // Covers _idle.
        private readonly Stack<nint> _idle = new();

        public nint Rent()
        {
            lock (_lock)
            {
                if (_idle.TryPop(out var context))
                {
                    return context;
                }
            }
            var created = ((delegate* unmanaged<nint>)create)();
            return created != 0 ? created : throw new OutOfMemoryException("libzstd could not create a context.");
        }

        public void Return(nint context)
        {
            // Also after an error in mid-stream the next renter finds it as new.
            ((delegate* unmanaged<nint, int, nuint>)reset)(context, ResetSessionAndParameters);
            lock (_lock)
            {
                if (_idle.Count < Environment.ProcessorCount)
                {
                    _idle.Push(context);
                    return;
                }
            }
            ((delegate* unmanaged<nint, nuint>)free)(context);
        }
    }
}
