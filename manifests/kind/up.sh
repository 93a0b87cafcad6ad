#!/bin/sh
# Makes a kind cluster with Kubeflow Pipelines and Headstart's image on it, and waits until it runs.
#   manifests/kind/up.sh IMAGE           from the repository's root; `make kind-up` calls it
set -eu
image=${1:?usage: up.sh IMAGE}
. manifests/kind/tools.sh
need_tools docker kind kubectl
trap 'status=$?; [ $status = 0 ] || collect; exit $status' EXIT

docker image inspect "$image" >/dev/null 2>&1 || { echo "kind: there is no image $image here; make image builds it" >&2; exit 1; }
kind get clusters 2>/dev/null | grep -qx "$CLUSTER" || kind create cluster --config manifests/kind/cluster.yaml --name "$CLUSTER" --wait 180s
kind load docker-image "$image" --name "$CLUSTER"
manifests/kind/advertise-gpus.sh 2

kube apply -k "github.com/kubeflow/pipelines/manifests/kustomize/cluster-scoped-resources?ref=$KFP_VERSION"
kube wait --for condition=established --timeout=120s crd/applications.app.k8s.io
kube apply -k manifests/kubeflow-pipelines
# A minute or ten: every image of Kubeflow Pipelines comes from its registry.
kube -n kubeflow wait --for=condition=Available --timeout=900s \
    deployment/ml-pipeline deployment/ml-pipeline-ui deployment/metadata-grpc-deployment deployment/workflow-controller
kube apply -k manifests/overlays/kind
kube apply -f manifests/kind/ui-port.yaml
trap - EXIT
echo "kind: Kubeflow Pipelines is at http://localhost:8080; make kind-test runs the demonstration on it"
