using System.IO;
using System.Net;
using System.Net.Http;
using System.Text;
using Millrace.Delivery;
using Millrace.Delivery.Authentication;
using Millrace.TestKit;

namespace Millrace.Tests.Delivery.Authentication;

public sealed class CredentialsTests : IDisposable
{
    private static readonly OAuth2Config OAuth2 = new()
    {
        ClientId = "me & you",
        ClientSecret = new SecretText("s3cret", null),
        TokenUrl = new Uri("https://auth.example/token?x=1"),
        Scopes = "read write",
        EndpointParams = "audience=a%2Fb",
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("millrace-credentials-").FullName;
    private readonly ManualTimeProvider _clock = new(DateTimeOffset.UnixEpoch.AddYears(50));
    private readonly List<(string? Authorization, string Form)> _asked = [];
    private readonly List<string?> _sent = [];

    [Fact]
    public async Task Basic_and_bearer_read_their_files_for_each_request()
    {
        var file = Path.Combine(_folder, "secret");
        File.WriteAllText(file, "first\n");
        using var basic = Client(WrittenCredentials.Of(new BasicAuthConfig("me", new SecretText(null, file))));
        using var bearer = Client(
            WrittenCredentials.Of(new AuthorizationConfig("Bearer", new SecretText(null, file))));
        await SendAsync(basic);
        await SendAsync(bearer);
        File.WriteAllText(file, "second");
        await SendAsync(bearer);
        _sent.ShouldBe([
            "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes("me:first")), "Bearer first", "Bearer second",
        ]);
        File.Delete(file);
        var missing = await Should.ThrowAsync<HttpRequestException>(() => SendAsync(bearer));
        missing.HttpRequestError.ShouldBe(HttpRequestError.ConnectionError);
        missing.Message.ShouldContain(file);
    }

    [Fact]
    public async Task A_token_is_fetched_once_and_again_before_it_ends()
    {
        using var client = Client(Tokens(Granted("one", 300), Granted("two", 300)));
        await Task.WhenAll(SendAsync(client), SendAsync(client), SendAsync(client));
        _clock.Advance(TimeSpan.FromSeconds(269));
        await SendAsync(client);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await SendAsync(client);
        _sent.ShouldBe(["Bearer one", "Bearer one", "Bearer one", "Bearer one", "Bearer two"]);
        _asked.Count.ShouldBe(2);
        _asked[0].Form.ShouldBe("grant_type=client_credentials&scope=read%20write&audience=a%2Fb");
        _asked[0].Authorization.ShouldBe(
            "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes("me%20%26%20you:s3cret")));
    }

    [Fact]
    public async Task A_refused_token_is_fetched_again_once_and_the_second_refusal_stands()
    {
        using var client = Client(
            Tokens(Granted("one", 300), Granted("two", 300), Granted("three", 300)),
            HttpStatusCode.Unauthorized, HttpStatusCode.NoContent, HttpStatusCode.Unauthorized,
            HttpStatusCode.Unauthorized);
        (await SendAsync(client)).ShouldBe(HttpStatusCode.NoContent);
        (await SendAsync(client)).ShouldBe(HttpStatusCode.Unauthorized);
        _sent.ShouldBe(["Bearer one", "Bearer two", "Bearer two", "Bearer three"]);
    }

    [Fact]
    public async Task A_server_that_wants_the_secret_in_the_body_gets_it_there_from_then_on()
    {
        using var client = Client(Tokens(
            (HttpStatusCode.Unauthorized, "{\"error\":\"invalid_client\"}"), Granted("one", 10), Granted("two", 10)));
        await SendAsync(client);
        _clock.Advance(TimeSpan.FromSeconds(10));
        await SendAsync(client);
        _sent.ShouldBe(["Bearer one", "Bearer two"]);
        _asked.Select(asked => asked.Authorization is not null).ShouldBe([true, false, false]);
        _asked[2].Form.ShouldEndWith("&client_id=me%20%26%20you&client_secret=s3cret");
    }

    [Fact]
    public async Task A_failure_tells_the_reason_without_a_secret_and_is_not_asked_about_all_the_time()
    {
        using var client = Client(Tokens(
            (HttpStatusCode.BadRequest, "{\"error\":\"invalid_scope\",\"hint\":\"s3cret\"}"),
            (HttpStatusCode.BadRequest, "s3cret"), Granted("one", 10)));
        for (var i = 0; i < 2; i++)
        {
            var failed = await Should.ThrowAsync<HttpRequestException>(() => SendAsync(client));
            failed.Message.ShouldBe("no token from https://auth.example/token?…: status 400 (invalid_scope)");
            failed.HttpRequestError.ShouldBe(HttpRequestError.ConnectionError);
        }
        _asked.Count.ShouldBe(2);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await SendAsync(client);
        _sent.ShouldBe(["Bearer one"]);
    }

    [Theory]
    [InlineData("{\"access_token\":\"t\"}", "Bearer t")]
    [InlineData("{\"access_token\":\"t\",\"token_type\":\"bearer\",\"expires_in\":\"60\"}", "Bearer t")]
    [InlineData("{\"access_token\":\"t\",\"token_type\":\"MAC\"}", "MAC t")]
    [InlineData("{\"access_token\":\"\"}", null)]
    [InlineData("{\"access_token\":\"a\\nb\"}", null)]
    [InlineData("[]", null)]
    [InlineData("not json", null)]
    public async Task An_answer_is_believed_only_as_far_as_it_can_be(string answer, string? header)
    {
        using var client = Client(Tokens((HttpStatusCode.OK, answer)));
        if (header is null)
        {
            var failed = await Should.ThrowAsync<HttpRequestException>(() => SendAsync(client));
            failed.Message.ShouldEndWith("its answer holds no token");
            return;
        }
        await SendAsync(client);
        _sent.ShouldBe([header]);
    }

    [Fact]
    public async Task What_cannot_be_had_is_a_request_that_was_never_sent()
    {
        using var handler = new AuthorizationHandler(
            Tokens((HttpStatusCode.OK, "{}")), new FakeBackendHandler(_ => throw new InvalidOperationException()));
        using var sender = new RemoteWriteSender(new DestinationConfig(), _clock, handler);
        var result = await sender.SendAsync(SampleSendings.To(new DestinationConfig()), default);
        (result.Outcome, result.WasNeverSent).ShouldBe((SendOutcome.NetworkError, true));
        result.Body.ShouldContain("no token from");
    }

    [Fact]
    public void Secrets_are_not_shown()
    {
        var config = new HttpClientConfig
        {
            BasicAuth = new BasicAuthConfig("me", new SecretText("s3cret", null)),
            Authorization = new AuthorizationConfig("Bearer", new SecretText("s3cret", null)),
            OAuth2 = OAuth2 with { EndpointParams = "password=s3cret" },
            Proxy = new ProxyConfig { Url = new Uri("http://me:s3cret@proxy") },
        };
        config.ToString().ShouldNotContain("s3cret");
        new DestinationConfig { Http = config }.ToString().ShouldNotContain("s3cret");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static (HttpStatusCode, string) Granted(string token, int seconds) =>
        (HttpStatusCode.OK, $$"""{"access_token":"{{token}}","token_type":"Bearer","expires_in":{{seconds}}}""");

    private OAuth2Tokens Tokens(params (HttpStatusCode Status, string Text)[] answers) =>
        new(OAuth2, _clock, new FakeBackendHandler(request =>
        {
            request.RequestUri.ShouldBe(OAuth2.TokenUrl);
            var form = request.Content!.ReadAsStringAsync().Result;
            _asked.Add((request.Headers.Authorization?.ToString(), form));
            var (status, text) = answers[_asked.Count - 1];
            return new HttpResponseMessage(status) { Content = new StringContent(text) };
        }));

    /// <summary>A backend that gives these answers, then 204.</summary>
    private HttpClient Client(IRequestCredentials credentials, params HttpStatusCode[] answers)
    {
        var number = 0;
        return new HttpClient(new AuthorizationHandler(credentials, new FakeBackendHandler(request =>
        {
            lock (_sent)
            {
                _sent.Add(request.Headers.Authorization?.ToString());
                return new HttpResponseMessage(
                    number < answers.Length ? answers[number++] : HttpStatusCode.NoContent);
            }
        })));
    }

    private static async Task<HttpStatusCode> SendAsync(HttpClient client)
    {
        using var content = new ByteArrayContent([1, 2, 3]);
        using var answer = await client.PostAsync(new Uri("http://backend/"), content);
        return answer.StatusCode;
    }

    private sealed class FakeBackendHandler(Func<HttpRequestMessage, HttpResponseMessage> answer) : HttpMessageHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request, CancellationToken cancellationToken)
        {
            await Task.Yield();
            return answer(request);
        }
    }
}
