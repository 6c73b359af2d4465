using System.IO;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Memory;

/// <summary>Writes the state of the workers into a stream, in fields of fixed width and counted spans.</summary>
internal sealed class SnapshotWriter(Stream stream) : IDisposable
{
    private readonly BinaryWriter _writer = new(stream, Encoding.UTF8, leaveOpen: true);

    public void Write(int value) => _writer.Write(value);

    public void Write(long value) => _writer.Write(value);

    public void Write(double value) => _writer.Write(value);

    public void Write(string value) => _writer.Write(value);

    public void Write<T>(in T value) where T : unmanaged =>
        _writer.Write(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));

    public void WriteSpan<T>(ReadOnlySpan<T> values) where T : unmanaged
    {
        _writer.Write(values.Length);
        _writer.Write(MemoryMarshal.AsBytes(values));
    }

    public void Flush() => _writer.Flush();

    public void Dispose() => _writer.Dispose();
}

/// <summary>Reads what <see cref="SnapshotWriter"/> wrote; the checksum of the whole was verified before.</summary>
internal sealed class SnapshotReader(Stream stream) : IDisposable
{
    private readonly BinaryReader _reader = new(stream, Encoding.UTF8, leaveOpen: true);

    public int ReadInt32() => _reader.ReadInt32();

    public long ReadInt64() => _reader.ReadInt64();

    public double ReadDouble() => _reader.ReadDouble();

    public string ReadString() => _reader.ReadString();

    public T Read<T>() where T : unmanaged
    {
        T value = default;
        _reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    public T[] ReadSpan<T>() where T : unmanaged
    {
        var count = _reader.ReadInt32();
        var values = new T[count];
        _reader.BaseStream.ReadExactly(MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    public void Dispose() => _reader.Dispose();
}
