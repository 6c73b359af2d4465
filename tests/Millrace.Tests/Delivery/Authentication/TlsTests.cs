using System.IO;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;
using Millrace.Delivery;
using Millrace.Delivery.Authentication;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery.Authentication;

/// <summary>The sender against a real server, with certificates of its own.</summary>
public sealed class TlsTests : IDisposable
{
    private readonly TestCertificates _certificates = new();
    private readonly List<string> _seen = [];

    [Fact]
    public async Task Trusts_the_roots_of_the_file_and_no_others()
    {
        using var certificate = _certificates.Server(withAddress: true);
        await using var server = await StartAsync(https => https.ServerCertificate = certificate);
        (await SendAsync(server, new TlsConfig())).WasNeverSent.ShouldBeTrue();
        (await SendAsync(server, new TlsConfig { CaFile = _certificates.CaFile })).StatusCode.ShouldBe(204);
        using var others = new TestCertificates();
        var refused = await SendAsync(server, new TlsConfig { CaFile = others.CaFile });
        refused.WasNeverSent.ShouldBeTrue();
        refused.Body.ShouldContain("certificate");
        (await SendAsync(server, new TlsConfig { InsecureSkipVerify = true })).StatusCode.ShouldBe(204);
    }

    [Fact]
    public async Task The_certificate_must_be_for_the_host_or_the_server_name()
    {
        using var certificate = _certificates.Server(withAddress: false, "backend.test");
        await using var server = await StartAsync(https => https.ServerCertificateSelector = (_, name) =>
        {
            _seen.Add(name ?? "none");
            return certificate;
        });
        var tls = new TlsConfig { CaFile = _certificates.CaFile };
        (await SendAsync(server, tls)).WasNeverSent.ShouldBeTrue();
        _seen.Clear();
        (await SendAsync(server, tls with { ServerName = "backend.test" })).StatusCode.ShouldBe(204);
        // The TLS goes to that name, the request to the address.
        _seen.ShouldBe(["backend.test", $"host {new Uri(server.Urls.First()).Authority}"]);
        (await SendAsync(server, tls with { ServerName = "other.test" })).WasNeverSent.ShouldBeTrue();
    }

    [Fact]
    public async Task Shows_its_certificate_with_those_between_and_a_renewed_one_when_the_file_changes()
    {
        using var certificate = _certificates.Server(withAddress: true);
        await using var server = await StartAsync(https =>
        {
            https.ServerCertificate = certificate;
            https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
            https.ClientCertificateValidation = (client, chain, _) =>
            {
                using var own = new X509Chain();
                own.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
                own.ChainPolicy.CustomTrustStore.Add(_certificates.Root);
                own.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
                own.ChainPolicy.ExtraStore.AddRange(chain?.ChainPolicy.ExtraStore ?? []);
                return own.Build(client);
            };
        });
        var tls = new TlsConfig { CaFile = _certificates.CaFile };
        (await SendAsync(server, tls)).Outcome.ShouldBe(SendOutcome.NetworkError);
        var (certFile, keyFile) = _certificates.WriteClient("first");
        using var sender = SenderOf(server, tls with { CertFile = certFile, KeyFile = keyFile });
        (await sender.SendAsync(SampleSendings.To(ConfigOf(server, tls)), default)).StatusCode.ShouldBe(204);
        (await sender.SendAsync(SampleSendings.To(ConfigOf(server, tls)), default)).StatusCode.ShouldBe(204);
        _certificates.WriteClient("the second");
        (await sender.SendAsync(SampleSendings.To(ConfigOf(server, tls)), default)).StatusCode.ShouldBe(204);
        _seen.Where(seen => seen.StartsWith("CN=", StringComparison.Ordinal))
            .ShouldBe(["CN=first", "CN=first", "CN=the second"]);
        File.WriteAllText(certFile, "nonsense");
        var broken = await sender.SendAsync(SampleSendings.To(ConfigOf(server, tls)), default);
        broken.WasNeverSent.ShouldBeTrue();
        broken.Body.ShouldStartWith("a file of tls_config cannot be used");
    }

    [Fact]
    public async Task Speaks_no_older_version_than_it_may()
    {
        using var certificate = _certificates.Server(withAddress: true);
        await using var server = await StartAsync(https =>
        {
            https.ServerCertificate = certificate;
            https.SslProtocols = SslProtocols.Tls12;
        });
        var tls = new TlsConfig { CaFile = _certificates.CaFile };
        (await SendAsync(server, tls)).StatusCode.ShouldBe(204);
        (await SendAsync(server, tls with { MinVersion = TlsVersion.Tls13 })).WasNeverSent.ShouldBeTrue();
    }

    public void Dispose() => _certificates.Dispose();

    private static async Task<SendResult> SendAsync(WebApplication server, TlsConfig tls)
    {
        using var sender = SenderOf(server, tls);
        return await sender.SendAsync(SampleSendings.To(ConfigOf(server, tls)), default);
    }

    private static RemoteWriteSender SenderOf(WebApplication server, TlsConfig tls) =>
        new(ConfigOf(server, tls), TimeProvider.System);

    private static DestinationConfig ConfigOf(WebApplication server, TlsConfig tls) => new()
    {
        Url = new Uri(server.Urls.First() + "/write"),
        Http = new HttpClientConfig { Tls = tls },
    };

    private async Task<WebApplication> StartAsync(Action<HttpsConnectionAdapterOptions> configure)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(options => options.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.UseHttps(configure);
        }));
        var server = builder.Build();
        server.MapPost("/write", (RequestDelegate)(context =>
        {
            _seen.Add(context.Connection.ClientCertificate?.Subject ?? $"host {context.Request.Host.Value}");
            context.Response.StatusCode = 204;
            return Task.CompletedTask;
        }));
        await server.StartAsync();
        return server;
    }
}
