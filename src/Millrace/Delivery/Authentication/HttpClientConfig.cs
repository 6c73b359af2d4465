namespace Millrace.Delivery.Authentication;

/// <summary>
/// How a backend is reached and who we are to it, as Prometheus' <c>HTTPClientConfig</c>. Compares by value. It is not
/// part of what the log keeps of a configuration, so no secret is.
/// </summary>
public sealed record HttpClientConfig
{
    /// <summary>At most one of the three is set.</summary>
    public BasicAuthConfig? BasicAuth { get; init; }

    public AuthorizationConfig? Authorization { get; init; }

    public OAuth2Config? OAuth2 { get; init; }

    public TlsConfig Tls { get; init; } = new();

    public ProxyConfig Proxy { get; init; } = new();
}

/// <summary>A text that is never shown: written in place, or in a file that is read again for each request.</summary>
public sealed record SecretText(string? Text, string? File)
{
    public override string ToString() => "<secret>";
}

public sealed record BasicAuthConfig(string Username, SecretText Password);

/// <param name="Type">The scheme, such as <c>Bearer</c>.</param>
/// <param name="Credentials">What follows it.</param>
public sealed record AuthorizationConfig(string Type, SecretText Credentials);

/// <summary>Client credentials: a token is fetched, kept until shortly before its end, and fetched again.</summary>
public sealed record OAuth2Config
{
    public string ClientId { get; init; } = "";

    public SecretText ClientSecret { get; init; } = new("", null);

    public Uri TokenUrl { get; init; } = new("http://127.0.0.1/");

    /// <summary>With blanks between them.</summary>
    public string Scopes { get; init; } = "";

    /// <summary>Further fields of the request, already in the encoding of a form.</summary>
    public string EndpointParams { get; init; } = "";

    /// <summary>For the token's address.</summary>
    public TlsConfig Tls { get; init; } = new();

    public ProxyConfig Proxy { get; init; } = new();

    private bool PrintMembers(System.Text.StringBuilder text)
    {
        text.Append("ClientId = ").Append(ClientId);
        return true;
    }
}

/// <summary>Files are looked at before each request, and connections made anew when one has changed.</summary>
public sealed record TlsConfig
{
    /// <summary>Roots that are trusted in place of the system's; PEM.</summary>
    public string? CaFile { get; init; }

    /// <summary>Our certificate, with those between it and its root behind it; PEM.</summary>
    public string? CertFile { get; init; }

    public string? KeyFile { get; init; }

    /// <summary>What the backend's certificate must be for; null: the host of its address.</summary>
    public string? ServerName { get; init; }

    public bool InsecureSkipVerify { get; init; }

    public TlsVersion MinVersion { get; init; } = TlsVersion.Tls12;
}

public enum TlsVersion
{
    Tls12,
    Tls13,
}

public sealed record ProxyConfig
{
    public Uri? Url { get; init; }

    /// <summary>Hosts that are reached without it, with commas between them.</summary>
    public string NoProxy { get; init; } = "";

    /// <summary>By HTTP_PROXY, HTTPS_PROXY and NO_PROXY.</summary>
    public bool FromEnvironment { get; init; }

    /// <summary>The URL may hold a password.</summary>
    public override string ToString() => $"ProxyConfig {{ Host = {Url?.Authority} }}";
}
