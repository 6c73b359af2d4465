using Millrace.Configuration;
using Millrace.Delivery.Authentication;
using Millrace.Server;

namespace Millrace.Tests.Configuration;

public sealed class HttpClientReaderTests
{
    [Fact]
    public void Reads_what_Prometheus_would()
    {
        var destinations = LoadedConfig.Good(FullConfig.Text, FullConfig.Files).Destinations
            .ToDictionary(destination => destination.Name, destination => destination.Http);
        destinations["storage"].ShouldBe(new HttpClientConfig());
        destinations["with-login"].ShouldBe(new HttpClientConfig
        {
            BasicAuth = new BasicAuthConfig("me", new SecretText(null, "/etc/millrace/secrets/password")),
            Tls = new TlsConfig
            {
                CaFile = "/etc/millrace/ca.pem",
                CertFile = "/etc/millrace/me.pem",
                KeyFile = "/etc/millrace/me.key",
                InsecureSkipVerify = true,
                MinVersion = TlsVersion.Tls13,
            },
            Proxy = new ProxyConfig { Url = new Uri("http://proxy:3128"), NoProxy = "10.0.0.0/8" },
        });
        destinations["with-key"].Authorization.ShouldBe(
            new AuthorizationConfig("ApiKey", new SecretText("secret", null)));
        destinations["with-token-file"].Authorization.ShouldBe(
            new AuthorizationConfig("Bearer", new SecretText(null, "/etc/millrace/secrets/token")));
        destinations["with-oauth2"].OAuth2.ShouldBe(new OAuth2Config
        {
            ClientId = "me",
            ClientSecret = new SecretText("secret", null),
            TokenUrl = new Uri("https://auth.example/token"),
            Scopes = "write metrics",
            EndpointParams = "audience=https%3A%2F%2Fg.example%2F%3Fa",
            Tls = new TlsConfig { CaFile = "/etc/millrace/ca.pem" },
            Proxy = new ProxyConfig { Url = new Uri("socks5://proxy:1080") },
        });
    }

    [Theory]
    [InlineData("basic_auth: {username: a}, bearer_token: s3cret", "bearer_token", "exclude each other")]
    [InlineData("basic_auth: {username: a}, headers: {Authorization: s3cret}", "basic_auth", "exclude each other")]
    [InlineData("authorization: {credentials: s3cret}, oauth2: {client_id: a, token_url: 'http://a/'}",
        "oauth2", "exclude each other")]
    [InlineData("bearer_token: s3cret, bearer_token_file: b", "bearer_token_file", "keep one of the two")]
    [InlineData("basic_auth: {username: a, password: s3cret, password_file: b}",
        "basic_auth.password_file", "keep one")]
    [InlineData("basic_auth: {username: 'a:b', password: s3cret}", "basic_auth.username", "colon")]
    [InlineData("authorization: {type: Basic, credentials: s3cret}", "authorization.type", "basic_auth")]
    [InlineData("authorization: {type: 'a b', credentials: s3cret}", "authorization.type", "scheme")]
    [InlineData("authorization: {credentials: \"s3cret\\n\"}", "authorization.credentials", "control character")]
    [InlineData("oauth2: {client_id: a}", "oauth2.token_url", "missing")]
    [InlineData("oauth2: {token_url: 'http://a/'}", "oauth2.client_id", "missing")]
    [InlineData("oauth2: {client_id: a, token_url: 'ftp://u:s3cret@a/'}", "oauth2.token_url", "http or https")]
    [InlineData("oauth2: {client_id: a, token_url: 'http://a/', endpoint_params: {b: [c]}}",
        "oauth2.endpoint_params", "\"b\" needs a text")]
    [InlineData("tls_config: {cert_file: a}", "tls_config.cert_file", "go together")]
    [InlineData("tls_config: {min_version: TLS10}", "tls_config.min_version", "TLS12")]
    [InlineData("tls_config: {ca_fil: a}", "tls_config.ca_fil", "did you mean \"ca_file\"")]
    [InlineData("proxy_url: 'proxy'", "proxy_url", "absolute")]
    [InlineData("no_proxy: a", "no_proxy", "without proxy_url")]
    [InlineData("proxy_url: 'http://a', proxy_from_environment: true", "proxy_from_environment", "keep one")]
    [InlineData("proxy_url: 'http://a', tls_config: {server_name: b}", "tls_config", "through a proxy")]
    public void Says_what_is_wrong_and_no_secret(string keys, string path, string message)
    {
        var problems = LoadedConfig.Bad(
            $"destinations:\n- name: a\n  remote_write: {{url: 'http://a/', {keys}}}\n");
        var problem = problems.ShouldHaveSingleItem();
        problem.Path.ShouldBe($"destinations[0].remote_write.{path}");
        problem.Line.ShouldBe(3);
        problem.Message.ShouldContain(message);
        problem.ToString().ShouldNotContain("s3cret");
    }

    [Fact]
    public void A_login_in_the_url_excludes_others() =>
        LoadedConfig.Bad(
            "destinations: [{name: a, remote_write: {url: 'http://u:p@a/', bearer_token: b}}]")
            .ShouldHaveSingleItem().Message.ShouldContain("exclude each other");

    [Fact]
    public void The_log_keeps_no_secret_and_a_reload_sees_a_change()
    {
        static MillraceConfig With(string password) => LoadedConfig.Good(
            "destinations: [{name: a, remote_write: {url: 'http://a/', basic_auth: {username: me, password: "
            + password + "}}}]");
        var before = With("s3cret");
        before.CanonicalText.ShouldNotContain("s3cret");
        ReloadRules.NeedsRestart(before, With("s3cret"), []).ShouldBeFalse();
        ReloadRules.NeedsRestart(before, With("other"), []).ShouldBeTrue();
    }
}
