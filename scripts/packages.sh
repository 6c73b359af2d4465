#!/usr/bin/env bash
# packages.sh PACKAGE... - installs the Debian packages that are missing; says nothing where all are there.
# Exit 3: a package is missing and cannot be had (no apt, no root, no network).
set -euo pipefail

missing=()
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "packages: no apt here, install by hand: ${missing[*]}" >&2; exit 3; }
as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null && as_root=(sudo -n) ||
        { echo "packages: not root; run: sudo apt-get install ${missing[*]}" >&2; exit 3; }
fi

echo "packages: installing ${missing[*]}"
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null 2>&1
}
# The package lists of a fresh machine are missing or old: fetch them only when the first try fails.
install || { "${as_root[@]}" apt-get update -q >/dev/null 2>&1 || true; install; } ||
    { echo "packages: apt-get could not install ${missing[*]}; run it by hand to see why" >&2; exit 3; }
