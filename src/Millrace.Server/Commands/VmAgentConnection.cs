using System.Globalization;
using System.Text.Json;

namespace Millrace.Server.Commands;

/// <summary>vmagent's flags on how a URL is reached, as the keys of <c>remote_write</c>.</summary>
internal sealed class VmAgentConnection(VmAgentFlags flags, List<string> notes)
{
    private const string Prefix = "remoteWrite.";

    public void Write(YamlLines lines, int index)
    {
        WriteHeaders(lines, index);
        var written = new YamlLines();
        WriteLogin(written, index);
        if (written.ToString().Length > 0)
        {
            lines.Add(4, "# Secrets are better kept in files or environment variables, written here as %" + "{NAME}.");
            lines.Add(0, written.ToString().TrimEnd('\n'));
        }
        WriteTls(lines, index);
        lines.Add(4, "proxy_url", At("proxyURL", index));
        lines.AddNumber(4, "rate_limit", At("rateLimit", index) is { } rate and not "0" ? rate : null);
    }

    private void WriteHeaders(YamlLines lines, int index)
    {
        var headers = At("headers", index)?.Split("^^") ?? [];
        if (headers.Length > 0)
        {
            lines.Add(4, "headers:");
        }
        foreach (var header in headers)
        {
            var colon = header.IndexOf(':', StringComparison.Ordinal);
            var (name, value) = colon < 0 ? (header, "") : (header[..colon].Trim(), header[(colon + 1)..].Trim());
            lines.Add(6, $"{YamlText.Quote(name)}: {YamlText.Quote(value)}");
        }
    }

    /// <summary>Of several the first counts, as in vmagent.</summary>
    private void WriteLogin(YamlLines lines, int index)
    {
        var (token, tokenFile) = (At("bearerToken", index), At("bearerTokenFile", index));
        var (user, clientId) = (At("basicAuth.username", index), At("oauth2.clientID", index));
        if (user is not null || At("basicAuth.password", index) is not null)
        {
            lines.Add(4, "basic_auth:");
            lines.Add(6, "username", user);
            AddSecret(lines, "password", At("basicAuth.password", index), At("basicAuth.passwordFile", index));
        }
        else if (token is not null || tokenFile is not null)
        {
            lines.Add(4, "authorization:");
            AddSecret(lines, "credentials", token, tokenFile);
        }
        else if (clientId is not null)
        {
            lines.Add(4, "oauth2:");
            lines.Add(6, "client_id", clientId);
            AddSecret(lines, "client_secret", At("oauth2.clientSecret", index), At("oauth2.clientSecretFile", index));
            lines.Add(6, "token_url", At("oauth2.tokenUrl", index));
            if (At("oauth2.scopes", index) is { } scopes)
            {
                lines.Add(6, $"scopes: [{string.Join(", ", Array.ConvertAll(scopes.Split(';'), YamlText.Quote))}]");
            }
            WriteParams(lines, At("oauth2.endpointParams", index));
        }
    }

    /// <summary>A mapping in JSON.</summary>
    private void WriteParams(YamlLines lines, string? text)
    {
        if (text is null)
        {
            return;
        }
        try
        {
            using var json = JsonDocument.Parse(text);
            lines.Add(6, "endpoint_params:");
            foreach (var field in json.RootElement.EnumerateObject())
            {
                lines.Add(8, $"{YamlText.Quote(field.Name)}: {YamlText.Quote(field.Value.ToString())}");
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            notes.Add("-remoteWrite.oauth2.endpointParams is left out: it is no mapping in JSON");
        }
    }

    private void WriteTls(YamlLines lines, int index)
    {
        var tls = new YamlLines();
        tls.Add(6, "ca_file", At("tlsCAFile", index));
        tls.Add(6, "cert_file", At("tlsCertFile", index));
        tls.Add(6, "key_file", At("tlsKeyFile", index));
        tls.Add(6, "server_name", At("tlsServerName", index));
        if (flags.FlagAt(Prefix + "tlsInsecureSkipVerify", index))
        {
            tls.Add(6, "insecure_skip_verify: true");
        }
        if (tls.ToString().Length > 0)
        {
            lines.Add(4, "tls_config:");
            lines.Add(0, tls.ToString().TrimEnd('\n'));
        }
    }

    private static void AddSecret(YamlLines lines, string key, string? text, string? file)
    {
        lines.Add(6, file is null ? key : string.Create(CultureInfo.InvariantCulture, $"{key}_file"), file ?? text);
    }

    private string? At(string name, int index) => flags.At(Prefix + name, index);
}
