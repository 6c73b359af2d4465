using System.IO;
using System.Net.Http;
using System.Text;

namespace Millrace.Delivery.Authentication;

/// <summary>What the Authorization header of a request says.</summary>
internal interface IRequestCredentials : IDisposable
{
    /// <exception cref="HttpRequestException">It cannot be had now; nothing was sent.</exception>
    ValueTask<string> GetAsync(CancellationToken stop);

    /// <summary>The backend answered 401 to it.</summary>
    /// <returns>Whether asking again may give another one.</returns>
    bool Refused(string header);
}

/// <summary>Credentials that stand in the configuration or in files.</summary>
internal sealed class WrittenCredentials(Func<string> header) : IRequestCredentials
{
    /// <summary>A token takes some KiB; more is the wrong file.</summary>
    private const int MaxSecretBytes = 64 << 10;

    public static WrittenCredentials Of(BasicAuthConfig basic) => new(() => "Basic "
        + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{basic.Username}:{Read(basic.Password, "password_file")}")));

    public static WrittenCredentials Of(AuthorizationConfig authorization) => new(
        () => $"{authorization.Type} {Read(authorization.Credentials, "credentials_file")}".TrimEnd());

    public ValueTask<string> GetAsync(CancellationToken stop) => new(header());

    public bool Refused(string header) => false;

    public void Dispose()
    {
        // Nothing is held open.
    }

    /// <summary>
    /// The text, or that of the file as it is now, without blanks around it: a file usually ends with a line feed.
    /// </summary>
    /// <exception cref="HttpRequestException">The file cannot be read.</exception>
    public static string Read(SecretText secret, string key)
    {
        if (secret.File is not { } path)
        {
            return secret.Text ?? "";
        }
        try
        {
            using var file = File.OpenRead(path);
            if (file.Length > MaxSecretBytes)
            {
                throw NeverSent($"{key} \"{path}\" is larger than {MaxSecretBytes} bytes: is it the right file?");
            }
            using var reader = new StreamReader(file);
            return reader.ReadToEnd().Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw NeverSent($"{key} \"{path}\" cannot be read: {e.Message}");
        }
    }

    /// <summary>A failure before anything went to the backend.</summary>
    public static HttpRequestException NeverSent(string message) => new(HttpRequestError.ConnectionError, message);
}

/// <summary>Puts the Authorization header on each request; after a 401 once more with new credentials.</summary>
internal sealed class AuthorizationHandler(IRequestCredentials credentials, HttpMessageHandler inner)
    : DelegatingHandler(inner)
{
    protected override async Task<HttpResponseMessage> SendAsync(
        HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var header = await credentials.GetAsync(cancellationToken);
        Set(request, header);
        var response = await base.SendAsync(request, cancellationToken);
        if (response.StatusCode != System.Net.HttpStatusCode.Unauthorized || !credentials.Refused(header))
        {
            return response;
        }
        response.Dispose();
        Set(request, await credentials.GetAsync(cancellationToken));
        return await base.SendAsync(request, cancellationToken);
    }

    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing)
        {
            credentials.Dispose();
        }
    }

    private static void Set(HttpRequestMessage request, string header)
    {
        request.Headers.Remove("Authorization");
        request.Headers.TryAddWithoutValidation("Authorization", header);
    }
}
