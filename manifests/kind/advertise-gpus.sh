#!/bin/sh
# Lets every node of the kind cluster offer GPUs that it does not have, so that a package with GPU requests is scheduled.
#   manifests/kind/advertise-gpus.sh [HOW MANY]
set -eu
. manifests/kind/tools.sh
for node in $(kube get nodes -o name); do
    kube patch "$node" --subresource=status --type=merge -p "{\"status\":{\"capacity\":{\"nvidia.com/gpu\":\"${1:-1}\"}}}"
done
