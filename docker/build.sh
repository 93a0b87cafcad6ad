#!/bin/sh
# Builds one target of docker/Dockerfile, from the repository's root.   usage: docker/build.sh {cpu|gpu} TAG
#
# Settings, all from the environment and all optional:
#   BASE_IMAGE=REF        base image; default: the one pinned in the Dockerfile
#   PIP_INDEX_URL=URL     index that pip takes packages from
#   IMAGE_CA=FILE         certificates, by their path within the base image, that pip is to trust
#   NETWORK=host          network of the build's steps
set -eu
target=${1:?usage: docker/build.sh TARGET TAG}
tag=${2:?usage: docker/build.sh TARGET TAG}
case ${tag##*/} in
*:latest | *[!:]*:) echo "build: $tag: a tag other than latest, please; results are traced to it" >&2; exit 2 ;;
*:*) ;;
*) echo "build: $tag has no tag; results are traced to it" >&2; exit 2 ;;
esac
command -v docker >/dev/null || { echo "build: docker is missing; get it from https://docs.docker.com/engine/install or Debian's docker.io" >&2; exit 1; }

# Without the plug-in the classic builder does it, which newer clients have to be told.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0

revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-modified
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

set -- --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
[ -z "${BASE_IMAGE:-}" ] || set -- "$@" --build-arg "BASE_IMAGE=$BASE_IMAGE"
[ -z "${PIP_INDEX_URL:-}" ] || set -- "$@" --build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"
[ -z "${PIP_DEFAULT_TIMEOUT:-}" ] || set -- "$@" --build-arg "PIP_DEFAULT_TIMEOUT=$PIP_DEFAULT_TIMEOUT"
[ -z "${IMAGE_CA:-}" ] || set -- "$@" --build-arg "PIP_CERT=$IMAGE_CA"
[ -z "${NETWORK:-}" ] || set -- "$@" --network "$NETWORK"
docker build --file docker/Dockerfile --target "$target" --tag "$tag" "$@" .
