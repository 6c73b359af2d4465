namespace Millrace.Tests.Configuration;

/// <summary>A configuration with every key in it; what the documentation is compared with.</summary>
internal static class FullConfig
{
    public const string Text = """
        server:
          listen: 0.0.0.0:8481
          log_level: debug
          log_format: json
          shutdown_timeout: 20s
        ingest:
          max_request_bytes: 16MiB
          max_decompressed_bytes: 64MiB
          max_series_per_request: 1000
          max_labels_per_series: 64
          max_label_name_bytes: 512
          max_label_value_bytes: 4KiB
          max_concurrent_requests: 100
          max_in_flight_bytes: 256MiB
        log:
          path: /var/lib/millrace
          durability: log_synced
          max_bytes: 20GiB
          segment_bytes: 32MiB
          base_interval: 2m
          base_bytes: 512MiB
          min_free_bytes: 1GiB
        time_window: {max_age: 1d, max_future: off}
        relabel_configs:
        - action: Graphite
          match: 'a.*'
          labels: {__name__: '${1}_total'}
        aggregation:
          tasks: {count: 64, by: [job]}
          rule_files: [rules.yml]
          dedup_interval: 5s
          drop_input_labels: [replica]
          ha: {replica_label: prometheus_replica, failover_timeout: 45s}
          catch_up: 2m
          max_open_windows: 128
          rules:
          - name: requests
            match: ['{__name__=~"http_.*"}', up]
            interval: 1m
            dedup_interval: 30s
            staleness_interval: 2m
            ignore_first_sample_interval: 90s
            outputs: [total, rate_sum]
            without: [pod, instance]
            ignore_first_intervals: 2
            drop_input_labels: [replica]
            input_relabel_configs:
            - {if: up, action: drop}
            output_relabel_configs:
            - {source_labels: [__name__], separator: ";", regex: '(.+):.+', target_label: __name__, replacement: $1}
            enable_windows: yes
            time: event
            allowed_lateness: 1m30s
            first_sample: count
            partial_windows: emit
            gap: spread
            resets: victoriametrics
            late: correct
            corrections_for: 10m
            dedup: exact
            zero_injection: true
            max_series: 100000
            max_groups: 2000
            exemplars: 5
          - name: peaks
            interval: 10s
            no_align_flush_to_interval: true
            flush_on_shutdown: true
            keep_metric_names: true
            ignore_old_samples: true
            by: [job]
            drop_input_labels: []
            dedup_interval: 0s
            outputs: [max]
            time: arrival
            first_sample: zero
        route_mode: all
        routes:
        - name: web
          match: '{job="web"}'
          relabel_configs:
          - {action: hashmod, source_labels: [pod], modulus: 4, target_label: shard}
          aggregate: [requests]
          keep_input: true
          to: [storage]
          time_window: {max_age: 2h}
        - name: rest
          aggregate: false
          drop_input: true
        destinations:
        - name: storage
          remote_write:
            url: http://127.0.0.1:8428/api/v1/write
            protocol: prometheus_v2
            headers: {X-Scope-OrgID: team-a}
            send_timeout: 30s
            retry_min_interval: 2s
            retry_max_interval: 2m
            rate_limit: 10MiB
          relabel_configs:
          - {action: labeldrop, regex: [tmp_a, tmp_b]}
          labels: {site: east}
          significant_figures: 6
          round_digits: 3
          dedup_interval: 1m
          drop_input_labels: [zone]
          corrections: true
          queue: {max_bytes: 2GiB, max_age: 12h, memory_bytes: 32MiB}
          lanes: 8
          flush_interval: 500ms
          max_samples_per_block: 5000
        - name: fleet
          sharded:
            nodes: [{name: a, url: "http://10.0.0.1/write", weight: 2}, {name: b, url: "http://10.0.0.2/write"}]
            tasks: {count: 64, by: [job], missing: keep_key, label: stream_task_id}
            placement: rendezvous
            bounded_load: 1.5
            virtual_nodes: 100
            replicas: 2
            salt: east
            health: {path: /-/healthy, interval: 2s, fail_after: 2, return: {after: 1m}}
        - name: vmagents
          sharded:
            nodes: [{name: a, url: "http://10.0.0.1/write"}, {name: b, url: "http://10.0.0.2/write"}]
            placement: vmagent
            tasks: {without: [pod]}
        - name: with-login
          remote_write:
            url: https://a.example/write
            basic_auth: {username: me, password_file: secrets/password}
            tls_config:
              {ca_file: ca.pem, cert_file: me.pem, key_file: me.key, min_version: TLS13, insecure_skip_verify: true}
            proxy_url: http://proxy:3128
            no_proxy: 10.0.0.0/8
        - name: with-password
          remote_write: {url: 'https://b.example/write', basic_auth: {username: me, password: secret}}
        - name: with-key
          remote_write:
            url: https://c.example/write
            authorization: {type: ApiKey, credentials: secret}
            proxy_from_environment: true
        - name: with-key-file
          remote_write: {url: 'https://d.example/write', authorization: {credentials_file: secrets/key}}
        - name: with-token
          remote_write: {url: 'https://e.example/write', bearer_token: secret, tls_config: {server_name: e}}
        - name: with-token-file
          remote_write: {url: 'https://f.example/write', bearer_token_file: secrets/token}
        - name: with-oauth2
          remote_write:
            url: https://g.example/write
            oauth2:
              client_id: me
              client_secret: secret
              token_url: https://auth.example/token
              scopes: [write, metrics]
              endpoint_params: {audience: 'https://g.example/?a'}
              tls_config: {ca_file: ca.pem}
              proxy_url: socks5://proxy:1080
        - name: with-oauth2-file
          remote_write:
            url: https://h.example/write
            oauth2: {client_id: me, client_secret_file: secrets/client, token_url: 'https://auth.example/token'}

        """;

    public static Dictionary<string, string> Files => new()
    {
        ["/etc/millrace/rules.yml"] = "- {name: of vmagent, interval: 1m, outputs: [avg]}\n",
    };
}
