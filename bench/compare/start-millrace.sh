#!/usr/bin/env bash
# start-millrace.sh SCENARIO LISTEN_PORT SINK_PORT SINK_COUNT WORKDIR
#
# Runs artifacts/millrace/millrace in the foreground with the configuration that a scenario of compare.sh names, so that
# it does the same work as vmagent there: remote write 1.0 out, whatever is not aggregated is forwarded, matched input of
# a rule is dropped. Millrace keeps its log on (durability: log); vmagent has none.
#
#   fwd          forward everything
#   relabel      forward through ten relabel rules
#   shardN       deal all series to N sinks
#   total, all5  aggregate by arrival time, as vmagent does by default; *_win: by the samples' own time
#   dedup        forward one sample per series and interval
#
# INTERVAL [10s]  aggregation interval    MILLRACE [artifacts/millrace/millrace]  the executable
set -euo pipefail
[ $# = 5 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
scenario=$1 listen_port=$2 sink_port=$3 sink_count=$4 work=$5
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
millrace=${MILLRACE:-$top/artifacts/millrace/millrace}
[ -x "$millrace" ] || { echo "$millrace is missing: ./run --build" >&2; exit 2; }
mkdir -p "$work"

relabel_rules() {
    cat <<'Y'
relabel_configs:
- {action: drop, source_labels: [__name__], regex: "go_.*|process_.*"}
- {action: keep, source_labels: [job], regex: "kubernetes-pods/.+"}
- {action: labeldrop, regex: "zone|container"}
- {target_label: dc, replacement: "eu1"}
- {source_labels: [pod], regex: "(.+)-[a-z0-9]+-[a-z0-9]+", target_label: workload, replacement: "$1"}
- {source_labels: [instance], regex: "([^:]+):.*", target_label: host, replacement: "$1"}
- {source_labels: [namespace, service], separator: "/", target_label: app}
- {action: drop, source_labels: [code, path], regex: "404;/nothing.*"}
- {action: lowercase, source_labels: [method], target_label: method}
- {action: labelmap, regex: "svc_(.+)", replacement: "k8s_$1"}
Y
}

aggregation() { # outputs time
    cat <<Y
aggregation:
  rules:
  - match: '{__name__=~"http_.*"}'
    interval: ${INTERVAL:-10s}
    without: [instance, pod]
    outputs: [$1]
    time: $2
Y
}

url=http://127.0.0.1:$sink_port/api/v1/write
[ "$sink_count" = 1 ] || url=
five='sum_samples, total, rate_sum, histogram_bucket, "quantiles(0.5, 0.9, 0.99)"'
{
    cat <<Y
server: {listen: "127.0.0.1:$listen_port"}
log: {path: "$work/data", durability: log}
time_window: {max_age: 10y, max_future: 10y}
destinations:
- name: sink
  remote_write: {protocol: prometheus_v1${url:+, url: "$url"}}
Y
    case $scenario in
        fwd) ;;
        shard*)
            echo "  sharded:"
            echo "    nodes:"
            for ((i = 0; i < sink_count; i++)); do
                echo "    - {name: sink-$i, url: \"http://127.0.0.1:$((sink_port + i))/api/v1/write\"}"
            done
            ;;
        relabel) relabel_rules ;;
        total) aggregation total arrival ;;
        total_win) aggregation total event ;;
        all5) aggregation "$five" arrival ;;
        all5_win) aggregation "$five" event ;;
        dedup) echo "aggregation: {dedup_interval: ${INTERVAL:-10s}}" ;;
        *) echo "start-millrace: unknown scenario \"$scenario\"" >&2; exit 2 ;;
    esac
} >"$work/millrace.yml"
exec "$millrace" serve --config "$work/millrace.yml"
