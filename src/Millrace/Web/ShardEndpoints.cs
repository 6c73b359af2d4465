using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Millrace.Delivery;

namespace Millrace.Web;

/// <summary>
/// What a person decides about a sharded destination: <c>POST /api/v1/sharding/return?destination=&amp;node=</c> takes
/// a node back that waits for it (<c>health.return: manual</c>), <c>POST /api/v1/sharding/rebalance?destination=</c>
/// deals tasks anew by what each of them carries. See <see cref="LocalCommand"/>.
/// </summary>
internal sealed class ShardEndpoints(GatewayState state)
{
    private const string Path = "/api/v1/sharding";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost($"{Path}/return", (RequestDelegate)(context => AnswerAsync(
            context, sharded => Return(sharded, context.Request.Query["node"].ToString()))));
        routes.MapPost($"{Path}/rebalance", (RequestDelegate)(context => AnswerAsync(context, Rebalance)));
    }

    public (int Status, string Text) Return(ShardedNodes sharded, string node)
    {
        if (!sharded.Health.Return(node, state.Pipeline.Ingest.NowMs))
        {
            return (StatusCodes.Status404NotFound, $"node: there is none called \"{node}\" that is down.");
        }
        sharded.HealthChanged();
        return (StatusCodes.Status200OK, $"Node {node} is back.");
    }

    public (int Status, string Text) Rebalance(ShardedNodes sharded)
    {
        var before = sharded.MovedTasks;
        sharded.Rebalance();
        return (StatusCodes.Status200OK, $"{sharded.MovedTasks - before} tasks moved.");
    }

    private Task AnswerAsync(HttpContext context, Func<ShardedNodes, (int Status, string Text)> decide)
    {
        var name = context.Request.Query["destination"].ToString();
        var (status, text) = LocalCommand.Refusal(context)
            ?? (Find(name) is { } sharded
                ? decide(sharded)
                : (StatusCodes.Status404NotFound, $"destination: there is no sharded one called \"{name}\"."));
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text + "\n");
    }

    private ShardedNodes? Find(string name)
    {
        foreach (var sharded in state.Pipeline.Sharded)
        {
            if (sharded.Destination.Name == name)
            {
                return sharded;
            }
        }
        return null;
    }
}
