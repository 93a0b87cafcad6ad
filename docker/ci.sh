#!/bin/sh
# Makes Headstart's cpu image where no image registry can be reached, and prints its tag on standard output:
#   HEADSTART_TEST_IMAGE=$(docker/ci.sh) make test
# Everything else it says goes to standard error. It starts a Docker engine if none answers (docker/engine.sh stop ends
# it), makes the base from Debian's packages once, and reuses every layer that is still right.
# EXTRA_CA=FILE (default: PIP_CERT) names certificates that the build must trust.
set -eu
cd "$(dirname "$0")/.."
tag=headstart:$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
base=headstart-base:bookworm
extra=${EXTRA_CA:-${PIP_CERT:-}}

docker/engine.sh start >&2
EXTRA_CA=$extra docker/base-image.sh "$base" >&2
[ -z "$extra" ] || export IMAGE_CA=/etc/ssl/certs/ca-certificates.crt
log=$(mktemp)
BASE_IMAGE=$base NETWORK=host docker/build.sh cpu "$tag" >"$log" 2>&1 || { tail -n 60 "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
echo "$tag"
