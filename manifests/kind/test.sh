#!/bin/sh
# Runs the demonstration pipeline with 3 + 3 runs on the kind cluster, fetches its report and looks into it.
#   manifests/kind/test.sh IMAGE         from the repository's root; `make kind-test` calls it
set -eu
image=${1:?usage: test.sh IMAGE}
. manifests/kind/tools.sh
need_tools docker kind kubectl
headstart=${HEADSTART:-.venv/bin/headstart}
host=${HOST:-http://localhost:8080}
output=${OUTPUT:-outputs/kind}
trap 'status=$?; [ $status = 0 ] || collect; exit $status' EXIT

placement="--placement manifests/kind/placement.yaml --image $image"
# Word splitting is wanted: these are several words.
# shellcheck disable=SC2086
$headstart check --host "$host" --context "kind-$CLUSTER" --service-account headstart-runner $placement
# shellcheck disable=SC2086
$headstart submit experiment --host "$host" $placement --service-account headstart-runner \
    -p preset=demo -p 'seeds=[1, 2, 3]' --timeout 90 --output "$output"
for file in report.html report.md summary.json runs.csv; do
    [ -s "$output/$file" ] || { echo "kind: $output/$file did not come back" >&2; exit 1; }
done
.venv/bin/python - "$output/summary.json" <<'PYTHON'
import json, sys
arms = json.load(open(sys.argv[1]))["arms"]
for name in ("baseline", "transfer"):
    assert (arms[name]["runs"], arms[name]["succeeded"]) == (3, 3), (name, arms[name])
print("kind: 3 + 3 runs succeeded")
PYTHON
