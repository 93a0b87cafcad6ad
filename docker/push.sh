#!/bin/sh
# Tags images for a registry and pushes those that exist here.   usage: docker/push.sh REGISTRY IMAGE…
set -eu
registry=${1:-}
[ -n "$registry" ] || { echo "push: say where to: make push REGISTRY=europe-docker.pkg.dev/PROJECT/REPOSITORY" >&2; exit 2; }
shift
command -v docker >/dev/null || { echo "push: docker is missing" >&2; exit 1; }
pushed=0
for image in "$@"; do
    docker image inspect "$image" >/dev/null 2>&1 || continue
    docker tag "$image" "$registry/$image"
    docker push "$registry/$image"
    pushed=$((pushed + 1))
done
[ $pushed -gt 0 ] || { echo "push: none of $* is here; make image builds it" >&2; exit 1; }
