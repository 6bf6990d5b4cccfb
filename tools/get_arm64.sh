#!/bin/sh
# What the preset "arm64" needs: Debian's cross compiler, QEMU, and libraries of 64-bit ARM, unpacked at build/arm64-packages rather
# than installed, for not all of them stand beside those of this machine. As root, or with sudo.
set -eu
cd "$(dirname "$0")/.."
libraries="libgtest-dev libgmock-dev libssl-dev liblzma-dev libpcre2-dev libutf8proc-dev libyaml-cpp-dev"
to=build/arm64-packages
tools/install_packages.sh g++-aarch64-linux-gnu qemu-user-static libsimde-dev
if [ -f "$to/complete" ] && [ "$(cat "$to/complete")" = "$libraries" ]; then
  exit 0
fi
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
if ! dpkg --print-foreign-architectures | grep -qx arm64; then
  $as_root dpkg --add-architecture arm64
  $as_root apt-get update -qq
fi
rm -rf "$to"
mkdir -p "$to/archives"
for library in $libraries; do
  (cd "$to/archives" && apt-get -o APT::Sandbox::User=root download -qq "$library:arm64")
done
for archive in "$to"/archives/*.deb; do dpkg-deb --extract "$archive" "$to"; done
echo "$libraries" >"$to/complete"
