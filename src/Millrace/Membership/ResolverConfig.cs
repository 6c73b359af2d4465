using System.Globalization;
using System.IO;
using System.Net;

namespace Millrace.Membership;

/// <summary>What <c>/etc/resolv.conf</c> says: whom to ask, and what to put behind a short name.</summary>
internal sealed record ResolverConfig(IReadOnlyList<IPEndPoint> Servers, IReadOnlyList<string> Search, int Dots)
{
    public const string SystemPath = "/etc/resolv.conf";

    // As glibc has them; Kubernetes writes up to 32 search domains, of which the first few are the cluster's.
    private const int MaxServers = 3;
    private const int MaxSearch = 8;
    private const int MaxDots = 15;
    private const int DnsPort = 53;
    private const int MaxFileChars = 64 << 10;

    private static readonly char[] Blanks = [' ', '\t', '\r'];

    /// <summary>Read for each lookup: it changes with the network.</summary>
    public static ResolverConfig OfSystem()
    {
        try
        {
            using var reader = new StreamReader(SystemPath);
            var text = new char[MaxFileChars];
            return Parse(new string(text, 0, reader.ReadBlock(text)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Parse("");
        }
    }

    public static ResolverConfig Parse(string text)
    {
        var servers = new List<IPEndPoint>();
        var search = new List<string>();
        var dots = 1;
        foreach (var line in text.Split('\n'))
        {
            var words = line.Split(Blanks, StringSplitOptions.RemoveEmptyEntries);
            switch (words)
            {
                case ["nameserver", var address, ..]
                    when servers.Count < MaxServers && IPAddress.TryParse(address, out var server):
                    servers.Add(new IPEndPoint(server, DnsPort));
                    break;
                case ["search" or "domain", ..]:
                    search.Clear(); // the last one counts
                    foreach (var domain in words.AsSpan(1, Math.Min(words.Length - 1, MaxSearch)))
                    {
                        search.Add(domain.TrimEnd('.'));
                    }
                    break;
                case ["options", ..]:
                    dots = DotsOf(words) ?? dots;
                    break;
                default:
                    break;
            }
        }
        if (servers.Count == 0)
        {
            servers.Add(new IPEndPoint(IPAddress.Loopback, DnsPort));
        }
        return new ResolverConfig(servers, search, dots);
    }

    /// <summary>The names to try one after the other: a short one first with the search domains behind it.</summary>
    public IReadOnlyList<string> Candidates(string name)
    {
        if (name.EndsWith('.'))
        {
            return [name[..^1]];
        }
        var names = new List<string>();
        foreach (var domain in Search)
        {
            if (domain.Length > 0)
            {
                names.Add($"{name}.{domain}");
            }
        }
        names.Insert(name.AsSpan().Count('.') >= Dots ? 0 : names.Count, name);
        return names;
    }

    private static int? DotsOf(string[] words)
    {
        foreach (var word in words)
        {
            if (word.StartsWith("ndots:", StringComparison.Ordinal)
                && int.TryParse(word.AsSpan("ndots:".Length), NumberStyles.None, CultureInfo.InvariantCulture,
                    out var dots))
            {
                return Math.Min(dots, MaxDots);
            }
        }
        return null;
    }
}
