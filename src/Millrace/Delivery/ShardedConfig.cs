namespace Millrace.Delivery;

/// <summary>What makes a destination a sharded one.</summary>
public sealed record ShardedConfig
{
}
