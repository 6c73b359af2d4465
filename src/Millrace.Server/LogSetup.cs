using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Millrace.Configuration;

namespace Millrace.Server;

/// <summary>Logs to standard error, as text or JSON, from the configured level on.</summary>
internal static class LogSetup
{
    private const string TimeFormat = "yyyy-MM-ddTHH:mm:ss.fffZ ";

    public static ILoggerFactory CreateFactory(ServerConfig config) =>
        LoggerFactory.Create(builder =>
        {
            builder.SetMinimumLevel(config.LogLevel switch
            {
                "debug" => LogLevel.Debug,
                "warn" => LogLevel.Warning,
                "error" => LogLevel.Error,
                _ => LogLevel.Information,
            });
            builder.Services.Configure<ConsoleLoggerOptions>(
                static options => options.LogToStandardErrorThreshold = LogLevel.Trace);
            if (config.LogFormat == "json")
            {
                builder.AddJsonConsole(static options =>
                {
                    options.TimestampFormat = TimeFormat;
                    options.UseUtcTimestamp = true;
                });
            }
            else
            {
                builder.AddSimpleConsole(static options =>
                {
                    options.SingleLine = true;
                    options.TimestampFormat = TimeFormat;
                    options.UseUtcTimestamp = true;
                    options.ColorBehavior = LoggerColorBehavior.Disabled;
                });
            }
        });
}
