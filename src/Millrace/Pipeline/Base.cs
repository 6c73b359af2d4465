using System.Buffers.Binary;
using System.IO;
using Millrace.Log;
using Millrace.Memory;

namespace Millrace.Pipeline;

/// <summary>
/// A base: the whole state right after one record of the input log, so that a restart is base + tail. Files, in the
/// folder <c>bases</c>:
/// <code>
/// base-LSN-N.part   what worker N owns: shards by task and rule key; any number of workers can take them over
/// base-LSN.base     the head, written last: configuration, rules in force, what was emitted, sizes and checksums
/// </code>
/// A base is valid only as a whole: a head whose checksum or whose parts' checksums are wrong is passed over. A base of
/// a newer format is refused, an older one is read as long as <see cref="OldestFormat"/> allows.
/// </summary>
internal sealed class Base
{
    public const int Format = 5;
    public const int OldestFormat = 5;

    private readonly IDisk _disk;
    private readonly List<(string Path, long SizeBytes)> _parts = [];

    private Base(IDisk disk) => _disk = disk;

    public long Lsn { get; private init; }

    /// <summary>The first record of the input log that lanes needed when the base was finished.</summary>
    public long LanesNeedFromLsn { get; private init; }

    /// <summary>Windows emitted before the base are in the output log below this record.</summary>
    public long OutputLsn { get; private init; }

    public string ConfigurationText { get; private init; } = "";

    /// <summary>The configurations that lanes still need for records before the base, and where each began.</summary>
    public IReadOnlyList<(long Lsn, string Text)> ConfigurationsOfLanes { get; private init; } = [];

    public BaseRules Rules { get; private init; } = BaseRules.None;

    public IReadOnlyDictionary<UInt128, long> LastEmitted { get; private init; } = new Dictionary<UInt128, long>();

    public IReadOnlyList<RememberedRequest> Requests { get; private init; } = [];

    /// <summary>Opens the newest valid base of a folder; null when there is none.</summary>
    public static Base? TryOpenNewest(string folder, IDisk disk, List<string> problems)
    {
        var lsns = new SortedSet<long>();
        foreach (var name in disk.ListFiles(folder))
        {
            if (BaseFiles.TryParseHead(name, out var lsn))
            {
                lsns.Add(lsn);
            }
        }
        foreach (var lsn in lsns.Reverse())
        {
            try
            {
                if (TryOpen(folder, lsn, disk, out var problem) is { } found)
                {
                    return found;
                }
                problems.Add($"base {lsn} in '{folder}' is passed over: {problem}");
            }
            catch (Exception e) when (DiskError.Is(e))
            {
                problems.Add($"base {lsn} in '{folder}' is passed over: {e.Message}");
            }
        }
        return null;
    }

    public IEnumerable<Stream> OpenParts()
    {
        foreach (var (path, sizeBytes) in _parts)
        {
            yield return new BufferedStream(new DiskReadStream(_disk.Open(path, writable: false), sizeBytes), 1 << 18);
        }
    }

    private static Base? TryOpen(string folder, long lsn, IDisk disk, out string problem)
    {
        byte[] head;
        using (var file = disk.Open(Path.Combine(folder, BaseFiles.Head(lsn)), writable: false))
        {
            head = new byte[file.Length];
            if (file.Read(0, head) != head.Length || head.Length < 12
                || Crc32C.Compute(head.AsSpan(4)) != BinaryPrimitives.ReadUInt32LittleEndian(head))
            {
                problem = "its head is damaged";
                return null;
            }
        }
        using var stream = new MemoryStream(head, 4, head.Length - 4);
        using var reader = new SnapshotReader(stream);
        var format = reader.ReadInt32();
        if (format is < OldestFormat or > Format)
        {
            problem = $"its format is {format}, this release reads {OldestFormat} to {Format}";
            return null;
        }
        var found = new Base(disk)
        {
            Lsn = reader.ReadInt64(),
            LanesNeedFromLsn = reader.ReadInt64(),
            OutputLsn = reader.ReadInt64(),
            ConfigurationText = reader.ReadString(),
            ConfigurationsOfLanes = ReadConfigurations(reader),
            Rules = BaseRules.Read(reader),
            LastEmitted = ReadLastEmitted(reader),
            Requests = RememberedRequest.ReadAll(reader),
        };
        var count = reader.ReadInt32();
        for (var i = 0; i < count; i++)
        {
            var path = Path.Combine(folder, BaseFiles.Part(lsn, i));
            var sizeBytes = reader.ReadInt64();
            if (!PartIsWhole(disk, path, sizeBytes, (uint)reader.ReadInt32()))
            {
                problem = $"its part '{path}' is damaged";
                return null;
            }
            found._parts.Add((path, sizeBytes));
        }
        problem = "";
        return found;
    }

    private static List<(long, string)> ReadConfigurations(SnapshotReader reader)
    {
        var result = new List<(long, string)>();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            result.Add((reader.ReadInt64(), reader.ReadString()));
        }
        return result;
    }

    private static Dictionary<UInt128, long> ReadLastEmitted(SnapshotReader reader)
    {
        var result = new Dictionary<UInt128, long>();
        for (var count = reader.ReadInt32(); count > 0; count--)
        {
            var rule = reader.Read<UInt128>();
            result[rule] = reader.ReadInt64();
        }
        return result;
    }

    private static bool PartIsWhole(IDisk disk, string path, long sizeBytes, uint checksum)
    {
        using var file = disk.Open(path, writable: false);
        if (file.Length != sizeBytes)
        {
            return false;
        }
        var crc = new RunningCrc();
        var buffer = new byte[1 << 18];
        for (var at = 0L; at < sizeBytes;)
        {
            var read = file.Read(at, buffer.AsSpan(0, (int)Math.Min(buffer.Length, sizeBytes - at)));
            if (read == 0)
            {
                return false;
            }
            crc.Add(buffer.AsSpan(0, read));
            at += read;
        }
        return crc.Value == checksum;
    }
}

/// <summary>Writes one base: the workers their parts, each on its thread, then the emitter the head.</summary>
internal sealed class BaseWriter(string folder, long lsn, int parts, IDisk disk)
{
    private readonly (long SizeBytes, uint Checksum)[] _parts = new (long, uint)[parts];
    private volatile string? _failure;

    /// <summary>Why this base cannot be finished; the next one is tried later.</summary>
    public string? Failure => _failure;

    public void WritePart(int part, Action<SnapshotWriter> write)
    {
        try
        {
            using var file = disk.Open(Path.Combine(folder, BaseFiles.Part(lsn, part)), writable: true);
            file.SetLength(0);
            using var stream = new DiskWriteStream(file);
            using var writer = new SnapshotWriter(stream);
            write(writer);
            writer.Flush();
            stream.Flush();
            file.Sync();
            _parts[part] = (stream.Length, stream.Checksum);
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            _failure = e.Message;
        }
    }

    public bool TryFinish(Action<SnapshotWriter> writeHead)
    {
        if (_failure is not null)
        {
            return false;
        }
        try
        {
            var head = new MemoryStream();
            head.Write(stackalloc byte[4]);
            using var writer = new SnapshotWriter(head);
            writer.Write(Base.Format);
            writer.Write(lsn);
            writeHead(writer);
            writer.Write(_parts.Length);
            foreach (var (sizeBytes, checksum) in _parts)
            {
                writer.Write(sizeBytes);
                writer.Write((int)checksum);
            }
            writer.Flush();
            var bytes = head.ToArray();
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, Crc32C.Compute(bytes.AsSpan(4)));
            using (var file = disk.Open(Path.Combine(folder, BaseFiles.Head(lsn)), writable: true))
            {
                file.SetLength(0);
                file.Write(0, bytes);
                file.Sync();
            }
            disk.SyncFolder(folder);
            return true;
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            _failure = e.Message;
            return false;
        }
    }

    /// <summary>Removes every base but this one, and what is left of unfinished ones.</summary>
    public void RemoveOthers()
    {
        try
        {
            foreach (var name in disk.ListFiles(folder))
            {
                if (name.StartsWith("base-", StringComparison.Ordinal)
                    && !name.StartsWith(BaseFiles.Prefix(lsn), StringComparison.Ordinal))
                {
                    disk.Delete(Path.Combine(folder, name));
                }
            }
        }
        catch (Exception e) when (DiskError.Is(e))
        {
            // Left-overs cost space only; the next base tries again.
            _failure = e.Message;
        }
    }
}

/// <summary>Names of the files of a base.</summary>
internal static class BaseFiles
{
    public static string Prefix(long lsn) => $"base-{lsn:x16}";

    public static string Head(long lsn) => $"{Prefix(lsn)}.base";

    public static string Part(long lsn, int part) => $"{Prefix(lsn)}-{part}.part";

    public static bool TryParseHead(string name, out long lsn)
    {
        lsn = 0;
        return name.Length == 26 && name.StartsWith("base-", StringComparison.Ordinal)
            && name.EndsWith(".base", StringComparison.Ordinal)
            && long.TryParse(name.AsSpan(5, 16), System.Globalization.NumberStyles.HexNumber,
                System.Globalization.CultureInfo.InvariantCulture, out lsn);
    }
}

/// <summary>A CRC-32C over pieces: each piece's checksum is chained with the next one's bytes.</summary>
internal struct RunningCrc
{
    private uint _value;

    public readonly uint Value => _value;

    public void Add(ReadOnlySpan<byte> bytes) => _value = Crc32C.Extend(_value, bytes);
}

/// <summary>Writes a file of <see cref="IDisk"/> front to back, with a checksum.</summary>
internal sealed class DiskWriteStream(IDiskFile file) : Stream
{
    private readonly byte[] _buffer = new byte[1 << 18];
    private int _buffered;
    private long _written;
    private RunningCrc _crc;

    public uint Checksum => _crc.Value;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => _written + _buffered;

    public override long Position
    {
        get => Length;
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var count = Math.Min(bytes.Length, _buffer.Length - _buffered);
            bytes[..count].CopyTo(_buffer.AsSpan(_buffered));
            _buffered += count;
            bytes = bytes[count..];
            if (_buffered == _buffer.Length)
            {
                Flush();
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
        file.Write(_written, _buffer.AsSpan(0, _buffered));
        _crc.Add(_buffer.AsSpan(0, _buffered));
        _written += _buffered;
        _buffered = 0;
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}

/// <summary>Reads a file of <see cref="IDisk"/> front to back.</summary>
internal sealed class DiskReadStream(IDiskFile file, long sizeBytes) : Stream
{
    private long _position;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => sizeBytes;

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        var read = file.Read(_position, buffer[..(int)Math.Min(buffer.Length, sizeBytes - _position)]);
        _position += read;
        return read;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        file.Dispose();
        base.Dispose(disposing);
    }
}
