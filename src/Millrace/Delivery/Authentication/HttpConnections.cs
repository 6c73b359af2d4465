using System.IO;
using System.Net.Http;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Delivery.Authentication;

/// <summary>The connections to a backend as its configuration wants them.</summary>
internal static class HttpConnections
{
    // A connection that the backend closes while it is idle costs a failed request; its own limits are above this.
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(30);

    public static HttpMessageHandler Create(DestinationConfig config, TimeProvider time)
    {
        var http = config.Http;
        var connections = Create(http.Tls, http.Proxy, config.Lanes);
        IRequestCredentials? credentials =
            http.BasicAuth is { } basic ? WrittenCredentials.Of(basic)
            : http.Authorization is { } authorization ? WrittenCredentials.Of(authorization)
            : http.OAuth2 is { } oauth2 ? new OAuth2Tokens(oauth2, time, Create(oauth2.Tls, oauth2.Proxy, 1))
            : null;
        return credentials is null ? connections : new AuthorizationHandler(credentials, connections);
    }

    private static HttpMessageHandler Create(TlsConfig tls, ProxyConfig proxy, int maxConnections)
    {
        HttpMessageHandler Open() => Sockets(tls, proxy, maxConnections);
        HttpMessageHandler connections = tls.CaFile is null && tls.CertFile is null
            ? Open() : new ReopeningHandler([tls.CaFile, tls.CertFile, tls.KeyFile], Open);
        return tls.ServerName is null ? connections : new NamedServerHandler(connections);
    }

    private static SocketsHttpHandler Sockets(TlsConfig tls, ProxyConfig proxy, int maxConnections)
    {
        var options = OptionsOf(tls);
        var sockets = new SocketsHttpHandler
        {
            UseProxy = proxy.Url is not null || proxy.FromEnvironment,
            AllowAutoRedirect = false,
            UseCookies = false,
            PooledConnectionIdleTimeout = IdleTimeout,
            // New addresses behind the name are found within this time.
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            MaxConnectionsPerServer = Math.Max(1, maxConnections),
            SslOptions = options,
        };
        if (proxy.Url is { } url)
        {
            sockets.Proxy = new ProxyRules(url, proxy.NoProxy);
        }
        if (tls.ServerName is { } name)
        {
            options.TargetHost = name;
            sockets.ConnectCallback = (context, stop) => ConnectAsync(context.DnsEndPoint, options, stop);
        }
        return sockets;
    }

    private static SslClientAuthenticationOptions OptionsOf(TlsConfig tls)
    {
        var options = new SslClientAuthenticationOptions
        {
            EnabledSslProtocols = tls.MinVersion == TlsVersion.Tls13
                ? SslProtocols.Tls13 : SslProtocols.Tls12 | SslProtocols.Tls13,
        };
        if (tls.CaFile is { } caFile)
        {
            var policy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            policy.CustomTrustStore.ImportFromPemFile(caFile);
            if (policy.CustomTrustStore.Count == 0)
            {
                throw new CryptographicException($"\"{caFile}\" holds no certificate.");
            }
            options.CertificateChainPolicy = policy;
        }
        if (tls.InsecureSkipVerify)
        {
            options.RemoteCertificateValidationCallback =
                (_, _, _, errors) => errors == SslPolicyErrors.None || tls.InsecureSkipVerify;
        }
        if (tls is { CertFile: { } certFile, KeyFile: { } keyFile })
        {
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(certFile);
            options.ClientCertificateContext = SslStreamCertificateContext.Create(
                X509Certificate2.CreateFromPemFile(certFile, keyFile), chain, offline: true);
        }
        return options;
    }

    private static async ValueTask<Stream> ConnectAsync(
        System.Net.DnsEndPoint endPoint, SslClientAuthenticationOptions options, CancellationToken stop)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(endPoint, stop);
            var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
            await stream.AuthenticateAsClientAsync(options, stop);
            return stream;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

/// <summary>
/// TLS under another name than that of the address: the handler below takes the name of its TLS from the request, so
/// it is asked for a plain connection, and <see cref="SocketsHttpHandler.ConnectCallback"/> makes the TLS.
/// </summary>
internal sealed class NamedServerHandler(HttpMessageHandler inner) : DelegatingHandler(inner)
{
    protected override Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (request.RequestUri is { Scheme: "https" } url)
        {
            request.Headers.Host ??= url.IsDefaultPort ? url.IdnHost : $"{url.IdnHost}:{url.Port}";
            request.RequestUri = new UriBuilder(url) { Scheme = "http", Port = url.Port }.Uri;
        }
        return base.SendAsync(request, cancellationToken);
    }
}

/// <summary>
/// Makes the connections anew when one of the files has changed that they were made with: certificates are renewed
/// while we run. What is under way on the old ones ends there.
/// </summary>
internal sealed class ReopeningHandler(string?[] files, Func<HttpMessageHandler> open) : HttpMessageHandler
{
    private readonly Lock _lock = new(); // covers the two below
    private HttpMessageInvoker? _connections;
    private string _seen = "";

    protected override Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken) =>
        Connections().SendAsync(request, cancellationToken);

    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            _connections?.Dispose();
        }
        base.Dispose(disposing);
    }

    private HttpMessageInvoker Connections()
    {
        lock (_lock)
        {
            try
            {
                var seen = Look();
                if (_connections is null || seen != _seen)
                {
                    // The old ones are not disposed of: a request may be about to use them. Idle ones close themselves.
                    (_connections, _seen) = (new HttpMessageInvoker(open()), seen);
                }
                return _connections;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
            {
                throw new HttpRequestException(
                    HttpRequestError.SecureConnectionError, $"a file of tls_config cannot be used: {e.Message}");
            }
        }
    }

    private string Look()
    {
        var seen = "";
        foreach (var file in files)
        {
            if (file is not null)
            {
                var state = new FileInfo(file);
                seen += $"{(state.Exists ? state.Length : -1)} {state.LastWriteTimeUtc.Ticks}\n";
            }
        }
        return seen;
    }
}
