using System.Net;
using System.Net.Sockets;
using System.Text;
using Millrace.Delivery;
using Millrace.Delivery.Authentication;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery.Authentication;

public sealed class ProxyRulesTests
{
    [Theory]
    [InlineData("", "http://localhost/", false)]
    [InlineData("x", "http://localhost/", true)]
    [InlineData("x", "http://127.8.8.8/", true)]
    [InlineData("x", "http://[::1]/", true)]
    [InlineData("example.com", "http://example.com/", true)]
    [InlineData("example.com", "https://a.b.Example.com/", true)]
    [InlineData("example.com", "http://badexample.com/", false)]
    [InlineData(".example.com", "http://example.com/", false)]
    [InlineData("*.example.com", "http://a.example.com/", true)]
    [InlineData("a, example.com:8080", "http://example.com:8080/", true)]
    [InlineData("example.com:8080", "http://example.com/", false)]
    [InlineData("10.0.0.0/8", "http://10.1.2.3/", true)]
    [InlineData("10.0.0.0/8", "http://11.1.2.3/", false)]
    [InlineData("10.0.0.0/8", "http://ten.example/", false)]
    [InlineData("192.0.2.1", "http://192.0.2.1:99/", true)]
    [InlineData("192.0.2.1:98", "http://192.0.2.1:99/", false)]
    [InlineData("2001:db8::/32", "http://[2001:db8::7]/", true)]
    [InlineData("[2001:db8::7]:80", "http://[2001:db8::7]/", true)]
    [InlineData("2001:db8::7", "http://[2001:db8::7]:81/", true)]
    [InlineData("*", "http://anything/", true)]
    public void Hosts_are_bypassed_as_Go_does_it(string noProxy, string url, bool isBypassed)
    {
        var rules = new ProxyRules(new Uri("http://me:s%20t@proxy:3128"), noProxy);
        rules.IsBypassed(new Uri(url)).ShouldBe(isBypassed);
        rules.GetProxy(new Uri(url)).ShouldBe(isBypassed ? null : new Uri("http://proxy:3128"));
        var login = rules.Credentials.ShouldBeOfType<NetworkCredential>();
        (login.UserName, login.Password).ShouldBe(("me", "s t"));
    }

    [Fact]
    public async Task A_request_goes_to_the_proxy_with_the_address_of_the_backend()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var config = new DestinationConfig
        {
            Url = new Uri("http://backend.test:8428/write"),
            Http = new HttpClientConfig
            {
                Proxy = new ProxyConfig { Url = new Uri($"http://{listener.LocalEndpoint}") },
            },
        };
        using var sender = new RemoteWriteSender(config, TimeProvider.System);
        var sending = sender.SendAsync(SampleSendings.To(config), default);
        using var connection = await listener.AcceptTcpClientAsync();
        var stream = connection.GetStream();
        var head = new byte[4096];
        var length = await stream.ReadAsync(head);
        await stream.WriteAsync("HTTP/1.1 204 No Content\r\n\r\n"u8.ToArray());
        (await sending).StatusCode.ShouldBe(204);
        Encoding.ASCII.GetString(head, 0, length).ShouldStartWith("POST http://backend.test:8428/write HTTP/1.1\r\n");
    }
}
