#!/bin/sh
# Makes a base image from Debian's packages, for machines that reach Debian but no image registry.
#
#   docker/base-image.sh [TAG]          default TAG: headstart-base:bookworm
#
# Settings, all from the environment and all optional:
#   EXTRA_CA=FILE      certificates in PEM that the image is to trust besides Debian's
#   DEBIAN_MIRROR=URL  mirror to take the packages from; default: the one debootstrap knows
#   FORCE=1            make it anew although an image with this TAG exists
#
# Needs root, debootstrap and a running Docker engine. Debian 12 brings Python 3.11, for which the locks are made.
set -eu

tag=${1:-headstart-base:bookworm}
suite=bookworm

for tool in debootstrap docker chroot; do
    command -v "$tool" >/dev/null || { echo "base-image: $tool is missing; on Debian: apt-get install debootstrap docker.io" >&2; exit 1; }
done
if [ -z "${FORCE:-}" ] && docker image inspect "$tag" >/dev/null 2>&1; then
    echo "base-image: $tag exists; FORCE=1 makes it anew"
    exit 0
fi
[ "$(id -u)" = 0 ] || { echo "base-image: debootstrap needs root; run it with sudo" >&2; exit 1; }
if [ -n "${EXTRA_CA:-}" ] && [ ! -r "$EXTRA_CA" ]; then
    echo "base-image: EXTRA_CA=$EXTRA_CA cannot be read" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root

echo "base-image: unpacking Debian $suite"
# Word splitting drops the mirror where none is given.
# shellcheck disable=SC2086
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" ${DEBIAN_MIRROR:-} >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    echo "base-image: debootstrap failed; the lines above say where" >&2
    exit 1
}
if [ -n "${EXTRA_CA:-}" ]; then
    # update-ca-certificates takes one certificate a file.
    awk -v folder="$root/usr/local/share/ca-certificates" \
        '/-----BEGIN CERTIFICATE-----/ { n++; keep = 1 } keep { print > (folder "/extra-" n ".crt") } /-----END CERTIFICATE-----/ { keep = 0 }' "$EXTRA_CA"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
    rm -f "$root"/usr/local/share/ca-certificates/extra-*.crt
fi
# What only a person at a terminal, or the package manager, would need.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/doc/* \
    "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/debootstrap

echo "base-image: importing as $tag"
tar -C "$root" --numeric-owner -c . | docker import \
    --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' \
    --change "LABEL org.opencontainers.image.title=debian:$suite-python3" - "$tag"
