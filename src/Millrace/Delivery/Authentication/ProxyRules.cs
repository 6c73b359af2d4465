using System.Net;

namespace Millrace.Delivery.Authentication;

/// <summary>
/// One proxy for all but the hosts of <c>no_proxy</c>, which are read as Go's <c>httpproxy</c> reads them:
/// <c>example.com</c> with what is below it, <c>.example.com</c> only what is below, addresses, networks as
/// <c>10.0.0.0/8</c>, each with a port or without, and <c>*</c>. With any of them, this machine is bypassed too.
/// </summary>
internal sealed class ProxyRules : IWebProxy
{
    private readonly Uri _proxy;
    private readonly string[] _bypassed;

    public ProxyRules(Uri proxy, string noProxy)
    {
        _bypassed = noProxy.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        _proxy = new UriBuilder(proxy) { UserName = "", Password = "" }.Uri;
        if (proxy.UserInfo.Length > 0)
        {
            var colon = proxy.UserInfo.IndexOf(':');
            Credentials = new NetworkCredential(
                Uri.UnescapeDataString(colon < 0 ? proxy.UserInfo : proxy.UserInfo[..colon]),
                colon < 0 ? "" : Uri.UnescapeDataString(proxy.UserInfo[(colon + 1)..]));
        }
    }

    public ICredentials? Credentials { get; set; }

    public Uri? GetProxy(Uri destination) => IsBypassed(destination) ? null : _proxy;

    public bool IsBypassed(Uri host)
    {
        if (_bypassed.Length == 0)
        {
            return false;
        }
        var name = host.IdnHost.Trim('[', ']').TrimEnd('.');
        var address = IPAddress.TryParse(name, out var parsed) ? parsed : null;
        if (name.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (address is not null && IPAddress.IsLoopback(address)))
        {
            return true;
        }
        foreach (var entry in _bypassed)
        {
            if (Matches(entry, name, address, host.Port))
            {
                return true;
            }
        }
        return false;
    }

    private static bool Matches(string entry, string name, IPAddress? address, int port)
    {
        if (entry == "*")
        {
            return true;
        }
        if (IPNetwork.TryParse(entry, out var network))
        {
            return address is not null && network.Contains(address);
        }
        var colon = entry.LastIndexOf(':');
        var hasPort = colon > 0 && (entry.IndexOf(':') == colon || entry[colon - 1] == ']')
            && int.TryParse(entry.AsSpan(colon + 1), out var written) && written != port;
        if (hasPort)
        {
            return false;
        }
        var host = colon > 0 && (entry.IndexOf(':') == colon || entry[colon - 1] == ']') ? entry[..colon] : entry;
        host = host.Trim('[', ']');
        if (IPAddress.TryParse(host, out var bypassed))
        {
            return bypassed.Equals(address);
        }
        host = host.StartsWith("*.", StringComparison.Ordinal) ? host[1..] : host;
        return host.StartsWith('.')
            ? name.EndsWith(host, StringComparison.OrdinalIgnoreCase)
            : name.Equals(host, StringComparison.OrdinalIgnoreCase)
                || (name.Length > host.Length && name[^(host.Length + 1)] == '.'
                    && name.EndsWith(host, StringComparison.OrdinalIgnoreCase));
    }
}
