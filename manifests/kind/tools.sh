# Sourced by the scripts beside it: names what is missing and where it comes from, before anything is started.
CLUSTER=${CLUSTER:-headstart}
KFP_VERSION=${KFP_VERSION:-2.17.0}
FAILURES=${FAILURES:-outputs/kind-failure}

need_tools() {
    missing=0
    for tool in "$@"; do
        command -v "$tool" >/dev/null && continue
        missing=1
        case $tool in
        kind) where="https://kind.sigs.k8s.io/docs/user/quick-start (one binary)" ;;
        kubectl) where="https://kubernetes.io/docs/tasks/tools (one binary)" ;;
        docker) where="https://docs.docker.com/engine/install, or Debian's docker.io" ;;
        *) where="your system's packages" ;;
        esac
        echo "kind: $tool is missing; get it from $where" >&2
    done
    [ "$missing" = 0 ] || exit 1
    docker info >/dev/null 2>&1 || { echo "kind: the Docker engine does not answer; start it first" >&2; exit 1; }
}

# The cluster's own context, so that no other cluster of the kubeconfig is ever touched.
kube() { kubectl --context "kind-$CLUSTER" "$@"; }

# Everything a person would ask for after a failure, in one folder.
collect() {
    mkdir -p "$FAILURES"
    kube get pods -A -o wide >"$FAILURES/pods.txt" 2>&1 || true
    kube get events -A --sort-by .lastTimestamp >"$FAILURES/events.txt" 2>&1 || true
    kube describe nodes >"$FAILURES/nodes.txt" 2>&1 || true
    kube -n kubeflow get workflows -o yaml >"$FAILURES/workflows.yaml" 2>&1 || true
    kube -n kubeflow describe pods >"$FAILURES/describe.txt" 2>&1 || true
    for pod in $(kube -n kubeflow get pods -o name 2>/dev/null); do
        kube -n kubeflow logs "$pod" --all-containers --tail 500 >"$FAILURES/${pod#pod/}.log" 2>&1 || true
    done
    echo "kind: pods, events and logs are in $FAILURES" >&2
}
