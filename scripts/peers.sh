#!/usr/bin/env bash
# peers.sh - unpacks the real peers of the system tests (VictoriaMetrics with vmagent and vmalert, Prometheus with
# promtool, kcat) from Debian sid into the ignored .peers/sid. About a minute and 750 MB; nothing when they are there.
#
# The folder appears under its name only when it is whole: an interrupted run leaves .peers/sid.partial, which the next
# one removes. Exit 3: the peers cannot be had here; the tests that need them are then reported as skipped.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=${MILLRACE_PEERS:-$top/.peers}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
binaries=(victoria-metrics vmagent vmalert prometheus promtool kcat)

cannot() { echo "peers: cannot be had: $*" >&2; exit 3; }

whole() {
    local binary
    for binary in "${binaries[@]}"; do [ -x "$peers/sid/usr/bin/$binary" ] || return 1; done
}

remove() { # also what an interrupted debootstrap may have left mounted inside
    local mount
    { grep -F " $1/" /proc/mounts || true; } | cut -d' ' -f2 | sort -r | while read -r mount; do umount "$mount"; done
    rm -rf --one-file-system "$1"
}

mkdir -p "$peers"
exec 9>"$peers/.lock"
flock -n 9 || { echo "peers: another run is fetching them, waiting"; flock 9; }
if whole; then echo "peers: ready in $peers/sid"; exit 0; fi

[ "$(id -u)" = 0 ] || cannot "debootstrap needs root; run: sudo scripts/peers.sh"
"$top/scripts/packages.sh" debootstrap debian-archive-keyring || cannot "debootstrap is not installed"

echo "peers: fetching from $mirror (sid), about a minute"
remove "$peers/sid.partial"
remove "$peers/sid"
# Its lines are one per package: show the steps, and one package in 20.
if ! debootstrap --variant=minbase --include=victoria-metrics,prometheus,kcat sid "$peers/sid.partial" "$mirror" 2>&1 |
    tee "$peers/debootstrap.log" |
    awk '/Retrieving|Validating|Extracting|Unpacking|Configuring/ { if (++n % 20) next } { print "  " $0; fflush() }'
then
    tail -3 "$peers/debootstrap.log" >&2
    cannot "debootstrap failed, see $peers/debootstrap.log"
fi
mv "$peers/sid.partial" "$peers/sid"
whole || cannot "a binary is missing in $peers/sid/usr/bin; expected ${binaries[*]}"
echo "peers: ready in $peers/sid"
