using System.IO;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Tests.Delivery.Authentication;

/// <summary>A certificate authority of a test, and what it has signed, as PEM files in a folder of their own.</summary>
internal sealed class TestCertificates : IDisposable
{
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();

    private readonly string _folder = Directory.CreateTempSubdirectory("millrace-tls-").FullName;
    private readonly X509Certificate2 _root;

    public TestCertificates()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        _root = Authority(key, "root").CreateSelfSigned(Now.AddHours(-1), Now.AddHours(1));
        File.WriteAllText(CaFile, _root.ExportCertificatePem());
    }

    public string CaFile => PathOf("ca.pem");

    public X509Certificate2 Root => _root;

    public string PathOf(string name) => Path.Combine(_folder, name);

    /// <summary>For a server of these DNS names and of 127.0.0.1 if wanted.</summary>
    public X509Certificate2 Server(bool withAddress, params ReadOnlySpan<string> names)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
        {
            alternatives.AddDnsName(name);
        }
        if (withAddress)
        {
            alternatives.AddIpAddress(IPAddress.Loopback);
        }
        var request = new CertificateRequest("CN=server", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(alternatives.Build());
        return Signed(request, _root, key);
    }

    /// <summary>Writes a client's certificate, signed by an authority below the root, and its key.</summary>
    public (string CertFile, string KeyFile) WriteClient(string name)
    {
        using var middleKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var middle = Signed(Authority(middleKey, "middle"), _root, middleKey);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var client = Signed(
            new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256), middle, key);
        File.WriteAllText(
            PathOf("client.pem"), client.ExportCertificatePem() + "\n" + middle.ExportCertificatePem() + "\n");
        File.WriteAllText(PathOf("client.key"), key.ExportPkcs8PrivateKeyPem());
        return (PathOf("client.pem"), PathOf("client.key"));
    }

    public void Dispose()
    {
        _root.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static CertificateRequest Authority(ECDsa key, string name)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        return request;
    }

    private static X509Certificate2 Signed(CertificateRequest request, X509Certificate2 by, ECDsa key)
    {
        var serial = new byte[8];
        RandomNumberGenerator.Fill(serial);
        using var signed = request.Create(by, Now.AddMinutes(-30), Now.AddMinutes(30), serial);
        return signed.CopyWithPrivateKey(key);
    }
}
