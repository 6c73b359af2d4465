using System.IO;
using System.Net.Http;
using System.Text;
using System.Text.Json;

namespace Millrace.Delivery.Authentication;

/// <summary>
/// Tokens of the client credentials grant (RFC 6749, 4.4). One is fetched at a time, whoever asks, kept until shortly
/// before it ends, and forgotten when the backend refuses it.
/// </summary>
internal sealed class OAuth2Tokens : IRequestCredentials
{
    /// <summary>A request that begins with a token should end with it.</summary>
    private static readonly TimeSpan RenewedBefore = TimeSpan.FromSeconds(30);

    /// <summary>A server that failed is left alone so long: each lane asks when it is due.</summary>
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private const int MaxAnswerBytes = 256 << 10;

    private readonly OAuth2Config _config;
    private readonly TimeProvider _time;
    private readonly HttpClient _client;
    private readonly SemaphoreSlim _fetching = new(1); // covers everything below but reads of _token
    private volatile Token? _token;
    private bool _sendsSecretInBody;
    private string? _failure;
    private long _failedAt;

    public OAuth2Tokens(OAuth2Config config, TimeProvider time, HttpMessageHandler handler)
    {
        (_config, _time) = (config, time);
        _client = new HttpClient(handler)
        {
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = MaxAnswerBytes,
        };
    }

    public async ValueTask<string> GetAsync(CancellationToken stop)
    {
        if (Usable() is { } token)
        {
            return token.Header;
        }
        await _fetching.WaitAsync(stop);
        try
        {
            if (Usable() is { } fetched)
            {
                return fetched.Header;
            }
            if (_failure is not null && _time.GetElapsedTime(_failedAt) < Rest)
            {
                throw WrittenCredentials.NeverSent(_failure);
            }
            _token = await FetchAsync(stop);
            _failure = null;
            return _token.Header;
        }
        catch (HttpRequestException e)
        {
            (_failure, _failedAt) = (e.Message, _time.GetTimestamp());
            throw;
        }
        finally
        {
            _fetching.Release();
        }
    }

    public bool Refused(string header)
    {
        // Another request may have had a new one fetched meanwhile.
        if (_token is { } token && token.Header == header)
        {
            Interlocked.CompareExchange(ref _token, null, token);
        }
        return true;
    }

    public void Dispose()
    {
        _client.Dispose();
        _fetching.Dispose();
    }

    private Token? Usable() =>
        _token is { } token && _time.GetElapsedTime(token.FetchedAt) < token.UsableFor ? token : null;

    private async Task<Token> FetchAsync(CancellationToken stop)
    {
        var secret = WrittenCredentials.Read(_config.ClientSecret, "client_secret_file");
        var fetchedAt = _time.GetTimestamp();
        using var timeout = new CancellationTokenSource(Patience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, stop);
        int status;
        string text;
        try
        {
            (status, text) = await AskEitherWayAsync(secret, either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw Failure($"no answer within {Patience.TotalSeconds} s");
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw Failure(e.InnerException is { } inner ? $"{e.Message} {inner.Message}" : e.Message);
        }
        if (status is < 200 or >= 300)
        {
            throw Failure($"status {status}{ErrorOf(text)}");
        }
        return TryRead(text, fetchedAt) ?? throw Failure("its answer holds no token");
    }

    /// <summary>
    /// Servers take the secret in the header or in the body, and few tell which: the header is tried first, as the
    /// standard wants, and what worked stays.
    /// </summary>
    private async Task<(int Status, string Text)> AskEitherWayAsync(string secret, CancellationToken stop)
    {
        var answer = await AskAsync(secret, _sendsSecretInBody, stop);
        if (answer.Status is not (400 or 401))
        {
            return answer;
        }
        var other = await AskAsync(secret, !_sendsSecretInBody, stop);
        if (other.Status is < 200 or >= 300)
        {
            return answer;
        }
        _sendsSecretInBody = !_sendsSecretInBody;
        return other;
    }

    private async Task<(int Status, string Text)> AskAsync(string secret, bool secretInBody, CancellationToken stop)
    {
        var form = new StringBuilder("grant_type=client_credentials");
        Append(form, "scope", _config.Scopes);
        if (_config.EndpointParams.Length > 0)
        {
            form.Append('&').Append(_config.EndpointParams);
        }
        using var request = new HttpRequestMessage(HttpMethod.Post, _config.TokenUrl);
        if (secretInBody)
        {
            Append(form, "client_id", _config.ClientId);
            Append(form, "client_secret", secret);
        }
        else
        {
            var login = $"{Uri.EscapeDataString(_config.ClientId)}:{Uri.EscapeDataString(secret)}";
            request.Headers.TryAddWithoutValidation(
                "Authorization", "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(login)));
        }
        request.Content = new StringContent(form.ToString(), Encoding.UTF8, "application/x-www-form-urlencoded");
        request.Headers.TryAddWithoutValidation("Accept", "application/json");
        using var answer = await _client.SendAsync(request, stop);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync(stop));
    }

    private static Token? TryRead(string text, long fetchedAt)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            var root = json.RootElement;
            if (root.ValueKind != JsonValueKind.Object || TextOf(root, "access_token") is not { Length: > 0 } token
                || token.AsSpan().ContainsAnyInRange('\0', ' '))
            {
                return null;
            }
            var type = TextOf(root, "token_type") is { Length: > 0 } written ? written : "Bearer";
            // Servers write "bearer" in all cases, and some backends know one of them.
            type = type.Equals("bearer", StringComparison.OrdinalIgnoreCase) ? "Bearer" : type;
            var seconds = SecondsOf(root);
            var lifetime = seconds > 0 ? TimeSpan.FromSeconds(Math.Min(seconds, 1e9)) : TimeSpan.MaxValue;
            var margin = lifetime / 10 < RenewedBefore ? lifetime / 10 : RenewedBefore;
            return new Token($"{type} {token}", fetchedAt, lifetime - margin);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private HttpRequestException Failure(string reason) => WrittenCredentials.NeverSent(
        $"no token from {RemoteWriteSender.Masked(_config.TokenUrl)}: {reason}");

    /// <summary>RFC 6749, 5.2: the reason in one word. Anything else might repeat what was sent.</summary>
    private static string ErrorOf(string text)
    {
        try
        {
            using var json = JsonDocument.Parse(text);
            return json.RootElement.ValueKind == JsonValueKind.Object
                && TextOf(json.RootElement, "error") is { Length: > 0 and < 100 } error
                ? $" ({LetterText.OneLine(error, 100)})" : "";
        }
        catch (JsonException)
        {
            return "";
        }
    }

    private static string? TextOf(JsonElement root, string name) =>
        root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <summary>A number, or a text that is one, as some servers write.</summary>
    private static double SecondsOf(JsonElement root)
    {
        var isNumber = root.TryGetProperty("expires_in", out var value) && value.ValueKind == JsonValueKind.Number;
        var text = isNumber ? value.GetRawText() : TextOf(root, "expires_in");
        return double.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out var seconds) ? seconds : 0;
    }

    private static void Append(StringBuilder form, string name, string value)
    {
        if (value.Length > 0)
        {
            form.Append('&').Append(name).Append('=').Append(Uri.EscapeDataString(value));
        }
    }

    private sealed record Token(string Header, long FetchedAt, TimeSpan UsableFor);
}
