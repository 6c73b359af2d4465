using System.IO;
using Millrace.Delivery.Authentication;

namespace Millrace.Configuration;

/// <summary>
/// Reads how a backend is reached, with Prometheus' keys: <c>basic_auth</c>, <c>authorization</c> or
/// <c>bearer_token</c>, <c>oauth2</c>, <c>tls_config</c>, <c>proxy_url</c>. No error text shows a secret.
/// </summary>
internal static class HttpClientReader
{
    private const string OneOf = "basic_auth, authorization, bearer_token, oauth2, an Authorization header and a login "
        + "in the url exclude each other: keep one";

    public static HttpClientConfig Read(ConfigReader reader, bool hasOther)
    {
        var basic = ReadBasic(reader);
        var authorization = ReadAuthorization(reader);
        var bearer = ReadBearer(reader);
        var oauth2 = ReadOAuth2(reader);
        var ways = 0;
        foreach (var key in (string[])["basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2"])
        {
            // Both keys of a bearer token are told apart where they are read.
            ways += reader.Has(key) && !(key == "bearer_token_file" && reader.Has("bearer_token")) ? 1 : 0;
            if (reader.Has(key) && ways + (hasOther ? 1 : 0) > 1)
            {
                reader.Report(key, OneOf);
                break;
            }
        }
        var (tls, proxy) = (ReadTls(reader), ReadProxy(reader));
        CheckTogether(reader, tls, proxy);
        return new HttpClientConfig
        {
            BasicAuth = basic,
            Authorization = authorization ?? bearer,
            OAuth2 = oauth2,
            Tls = tls,
            Proxy = proxy,
        };
    }

    private static BasicAuthConfig? ReadBasic(ConfigReader parent)
    {
        var reader = parent.Mapping("basic_auth");
        var username = reader.Text("username") ?? "";
        var password = ReadSecret(reader, "password", "password_file");
        if (parent.Has("basic_auth") && username.Contains(':', StringComparison.Ordinal))
        {
            reader.Report("username", "a colon divides name and password: a name has none");
        }
        reader.Finish();
        return parent.Has("basic_auth") ? new BasicAuthConfig(username, password ?? new SecretText("", null)) : null;
    }

    private static AuthorizationConfig? ReadAuthorization(ConfigReader parent)
    {
        var reader = parent.Mapping("authorization");
        var type = reader.Text("type")?.Trim() ?? "Bearer";
        var credentials = ReadSecret(reader, "credentials", "credentials_file");
        if (type.Equals("basic", StringComparison.OrdinalIgnoreCase))
        {
            reader.Report("type", "\"basic\" has a section of its own: write basic_auth");
        }
        else if (type.Length == 0 || !DestinationReader.IsToken(type))
        {
            reader.Report("type", "is not the name of a scheme: write Bearer, or what the backend asks for");
        }
        reader.Finish();
        return parent.Has("authorization")
            ? new AuthorizationConfig(type, credentials ?? new SecretText("", null)) : null;
    }

    private static AuthorizationConfig? ReadBearer(ConfigReader reader) =>
        ReadSecret(reader, "bearer_token", "bearer_token_file") is { } token
            ? new AuthorizationConfig("Bearer", token) : null;

    private static OAuth2Config? ReadOAuth2(ConfigReader parent)
    {
        var reader = parent.Mapping("oauth2");
        var isWritten = parent.Has("oauth2");
        var url = ReadUrl(reader, "token_url", ["http", "https"]);
        var clientId = reader.Text("client_id") ?? "";
        if (isWritten && reader.Find("token_url") is null)
        {
            reader.Report("token_url", "missing: write where tokens are had, as https://auth.example/token");
        }
        if (isWritten && clientId.Length == 0)
        {
            reader.Report("client_id", "missing: write the name that the server of the tokens knows us by");
        }
        var config = new OAuth2Config
        {
            ClientId = clientId,
            ClientSecret = ReadSecret(reader, "client_secret", "client_secret_file") ?? new SecretText("", null),
            TokenUrl = url ?? new OAuth2Config().TokenUrl,
            Scopes = string.Join(' ', reader.Texts("scopes") ?? []),
            EndpointParams = ReadParams(reader),
            Tls = ReadTls(reader),
            Proxy = ReadProxy(reader),
        };
        CheckTogether(reader, config.Tls, config.Proxy);
        reader.Finish();
        return isWritten ? config : null;
    }

    /// <summary>As they are sent; their values may be secrets.</summary>
    private static string ReadParams(ConfigReader reader)
    {
        var fields = new List<string>();
        foreach (var entry in reader.Find("endpoint_params")?.Entries ?? [])
        {
            if (entry.Value.Kind == ConfigNodeKind.Scalar)
            {
                fields.Add($"{Uri.EscapeDataString(entry.Key)}={Uri.EscapeDataString(entry.Value.Text)}");
                continue;
            }
            reader.Report("endpoint_params", $"\"{entry.Key}\" needs a text as value");
        }
        return string.Join('&', fields);
    }

    private static TlsConfig ReadTls(ConfigReader parent)
    {
        var reader = parent.Mapping("tls_config");
        var tls = new TlsConfig
        {
            CaFile = File(reader, "ca_file"),
            CertFile = File(reader, "cert_file"),
            KeyFile = File(reader, "key_file"),
            ServerName = NonEmpty(reader.Text("server_name")),
            InsecureSkipVerify = reader.Flag("insecure_skip_verify", false),
            MinVersion = reader.Choice("min_version", TlsVersion.Tls12,
                ("TLS12", TlsVersion.Tls12), ("TLS13", TlsVersion.Tls13)),
        };
        if (tls.CertFile is null != tls.KeyFile is null)
        {
            reader.Report(tls.CertFile is null ? "key_file" : "cert_file",
                "a certificate and its key go together: write cert_file and key_file");
        }
        reader.Finish();
        return tls;
    }

    private static ProxyConfig ReadProxy(ConfigReader reader)
    {
        var proxy = new ProxyConfig
        {
            Url = ReadUrl(reader, "proxy_url", ["http", "https", "socks5"]),
            NoProxy = reader.Text("no_proxy") ?? "",
            FromEnvironment = reader.Flag("proxy_from_environment", false),
        };
        if (proxy.NoProxy.Length > 0 && proxy.Url is null)
        {
            reader.Report("no_proxy", "stands without proxy_url: write the proxy, or remove it");
        }
        if (proxy is { FromEnvironment: true, Url: not null })
        {
            reader.Report("proxy_from_environment", "stands beside proxy_url: keep one of the two");
        }
        return proxy;
    }

    private static void CheckTogether(ConfigReader reader, TlsConfig tls, ProxyConfig proxy)
    {
        if (tls.ServerName is not null && (proxy.Url is not null || proxy.FromEnvironment))
        {
            reader.Report("tls_config", "server_name is not available through a proxy: leave one of the two out");
        }
    }

    private static SecretText? ReadSecret(ConfigReader reader, string key, string fileKey)
    {
        var (text, file) = (reader.Text(key), File(reader, fileKey));
        if (text is not null && file is not null)
        {
            reader.Report(fileKey, $"stands beside {key}: keep one of the two");
        }
        if (text is not null && text.AsSpan().ContainsAnyInRange('\0', '\x1f'))
        {
            reader.Report(key, "has a control character in it, such as a line feed");
        }
        return text is null && file is null ? null : new SecretText(file is null ? text : null, file);
    }

    private static Uri? ReadUrl(ConfigReader reader, string key, string[] schemes)
    {
        if (reader.Text(key) is not { } text)
        {
            return null;
        }
        if (Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Host.Length > 0
            && Array.IndexOf(schemes, url.Scheme) >= 0)
        {
            return url;
        }
        reader.Report(key, $"is not an absolute URL that begins with {string.Join(" or ", schemes)}");
        return null;
    }

    /// <summary>A path is relative to the configuration file.</summary>
    private static string? File(ConfigReader reader, string key) => NonEmpty(reader.Text(key)) is { } path
        ? Path.Combine(Path.GetDirectoryName(reader.Context.File) ?? "", path) : null;

    private static string? NonEmpty(string? text) => text is { Length: > 0 } ? text : null;
}
