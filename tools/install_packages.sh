#!/bin/sh
# Installs the packages of tools/packages.txt, and those named as arguments, that are missing. Debian 12, Ubuntu 24.04; asks sudo when not root.
set -eu
list=$(sed 's/#.*//' "$(dirname "$0")/packages.txt")
missing=""
for package in $list "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "Installing:$missing" >&2
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "Not root and no sudo. As root, run: apt-get install$missing" >&2; exit 1; }
  as_root=sudo
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
