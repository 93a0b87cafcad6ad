#!/bin/sh
# Deletes the kind cluster, and nothing else.
set -eu
. manifests/kind/tools.sh
need_tools docker kind
kind delete cluster --name "$CLUSTER"
