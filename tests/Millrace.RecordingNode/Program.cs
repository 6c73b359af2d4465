using System.Globalization;
using Millrace.TestKit.Sharding;

// A node that tests kill and pause: see RecordingNode. Arguments: the port and the file to record to.
await using var node = await RecordingNode.StartAsync(int.Parse(args[0], CultureInfo.InvariantCulture), args[1]);
await Task.Delay(Timeout.InfiniteTimeSpan);
