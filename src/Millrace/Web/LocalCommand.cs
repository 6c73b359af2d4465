using System.Net;
using Microsoft.AspNetCore.Http;

namespace Millrace.Web;

/// <summary>
/// Who may change something over HTTP: this machine, and not by a web page that a browser here might show.
/// </summary>
internal static class LocalCommand
{
    /// <summary>A page of another site cannot send it without being asked for, which is not answered.</summary>
    public const string Header = "X-Millrace-Command";

    /// <summary>Why a request is refused; null: it is not.</summary>
    public static (int Status, string Text)? Refusal(HttpContext context) =>
        !IsOfThisMachine(context.Connection)
            ? (StatusCodes.Status403Forbidden, "Only this machine may do that.")
        : !context.Request.Headers.ContainsKey(Header)
            ? (StatusCodes.Status403Forbidden, $"The header {Header} is missing.")
        : null;

    public static bool IsOfThisMachine(ConnectionInfo connection) =>
        connection.RemoteIpAddress is { } remote
        && (IPAddress.IsLoopback(remote) || remote.Equals(connection.LocalIpAddress));
}
