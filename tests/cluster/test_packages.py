"""The compiled packages, read back: what each task asks the cluster for, and what is left open for a run."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines.packages import LARGEST_OBJECT_BYTES, Package, compile_package, read_package
from headstart.pipelines.placement import Placement, Toleration, image_problem
from headstart.pipelines.placement_options import read_placement
from headstart.pipelines.retraining import retraining

TRAINING = {"choose-precision", "pretrain", "finetune", "final", "train-runs"}
IMAGE = "registry.example/headstart:0.1.0"


def executors_by_task(package: Package) -> dict[str, str]:
    """Return the executor of each task that runs a container, by the task's name."""
    components = package.specification["components"]
    found = {}
    for part in (package.specification["root"], *components.values()):
        for name, task in part.get("dag", {}).get("tasks", {}).items():
            label = components[task["componentRef"]["name"]].get("executorLabel")
            if label:
                found[name] = label
    return found


def tasks(package: Package) -> dict[str, dict[str, Any]]:
    parts = [package.specification["root"], *package.specification["components"].values()]
    return {name: task for part in parts for name, task in part.get("dag", {}).get("tasks", {}).items()}


def test_every_training_task_and_no_other_asks_for_the_accelerator(gpu_package: Package) -> None:
    asking = {
        task: gpu_package.executors[label].get("resources", {}).get("accelerator")
        for task, label in executors_by_task(gpu_package).items()
    }
    assert asking.keys() >= TRAINING
    for task, accelerator in asking.items():
        if task in TRAINING:
            assert accelerator["resourceType"] == "nvidia.com/gpu" and accelerator["resourceCount"] == "1", task
        else:
            assert accelerator is None, task


def test_every_task_runs_as_an_ordinary_user_within_limits(gpu_package: Package) -> None:
    for task, label in executors_by_task(gpu_package).items():
        kubernetes = gpu_package.platform[label]
        assert kubernetes["securityContext"] == {"runAsUser": "1000", "runAsGroup": "0", "runAsNonRoot": True}, task
        assert int(kubernetes["activeDeadlineSeconds"]) > 0, task
        resources = gpu_package.executors[label]["resources"]
        assert resources["resourceMemoryLimit"] and resources["resourceCpuRequest"], task


def test_accelerator_nodes_are_tolerated_by_training_alone(gpu_package: Package) -> None:
    taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    for task, label in executors_by_task(gpu_package).items():
        assert (taint in gpu_package.platform[label].get("tolerations", [])) == (task in TRAINING), task


def test_timed_tasks_are_never_cached_and_carry_the_run(package: Package) -> None:
    for task in TRAINING:
        described = tasks(package)[task]
        assert described["cachingOptions"] == {}, task
        # The driver resolves this before it looks into the cache, so that forced caching finds nothing either.
        assert described["inputs"]["parameters"]["run_id"] == {
            "runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}
        }, task
    for task in ("report", "verify", "preflight"):
        assert tasks(package)[task]["cachingOptions"] == {}, task


def test_all_that_train_take_the_same_precision(package: Package) -> None:
    root = package.specification["root"]["dag"]["tasks"]
    choice = {"taskOutputArtifact": {"outputArtifactKey": "precision", "producerTask": "choose-precision"}}
    inner = "pipelinechannel--choose-precision-precision"
    for task in TRAINING - {"choose-precision"}:
        given = tasks(package)[task]["inputs"]["artifacts"]["precision"]
        assert given in (choice, {"componentInputArtifact": inner}), task
    loops = [task["inputs"]["artifacts"].get(inner) for name, task in root.items() if name in package.loops()]
    assert loops == [choice] * len(loops) and loops
    # Nothing runs beside it: the data are there.
    assert {"hold-out", "import-dataset"} <= set(root["choose-precision"]["dependentTasks"])


def test_retries_have_room_for_whole_attempts(package: Package) -> None:
    """Argo ends a running pod when the window is over, and counts from the first attempt's start."""
    for task in TRAINING:
        retry = tasks(package)[task]["retryPolicy"]
        attempts = retry["maxRetryCount"] + 1
        limit = int(package.platform[executors_by_task(package)[task]]["activeDeadlineSeconds"])
        assert int(retry["backoffMaxDuration"].removesuffix("s")) >= attempts * limit
    assert "retryPolicy" not in tasks(package)["verify"]


def test_everything_waits_for_the_preflight(package: Package) -> None:
    root = package.specification["root"]["dag"]["tasks"]

    def before(task: str) -> set[str]:
        direct = set(root[task].get("dependentTasks", []))
        return direct.union(*(before(each) for each in direct))

    for task in root:
        assert task == "preflight" or "preflight" in before(task), task


def test_number_of_seeds_is_not_in_the_package(package: Package) -> None:
    """The loops run over a parameter: its default apart, a package for ten seeds equals one for any other number."""
    seeds = package.parameters["seeds"]
    assert seeds["parameterType"] == "LIST"
    items = {tasks(package)[loop]["parameterIterator"]["items"]["inputParameter"] for loop in package.loops()}
    assert items == {"pipelinechannel--preflight-Output", "pipelinechannel--gather-prepared-Output"}
    without = copy.deepcopy(package.specification)
    del without["root"]["inputDefinitions"]["parameters"]["seeds"]["defaultValue"]
    assert str(list(range(1, 11))) not in json.dumps(without)


def test_packages_with_and_without_accelerators_differ_in_nothing_else(package: Package, gpu_package: Package) -> None:
    with_gpu = copy.deepcopy([gpu_package.specification, gpu_package.platform_specification])
    executors = with_gpu[0]["deploymentSpec"]["executors"]
    kubernetes = with_gpu[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for task in TRAINING:
        label = executors_by_task(gpu_package)[task]
        del executors[label]["container"]["resources"]["accelerator"]
        del kubernetes[label]["tolerations"]
        told = tasks(Package(Path(), with_gpu[0], {}))[task]["inputs"]["parameters"]["accelerators"]
        assert told == {"runtimeValue": {"constant": 1.0}}
        told["runtimeValue"]["constant"] = 0.0
    assert with_gpu == [package.specification, package.platform_specification]


def test_size_leaves_room(package: Package) -> None:
    """What is submitted becomes one Kubernetes object, with a status that grows; it should start far below 1.5 MiB."""
    size = package.path.stat().st_size
    assert LARGEST_OBJECT_BYTES == 1_572_864
    assert size < LARGEST_OBJECT_BYTES / 8, f"{size:,} of {LARGEST_OBJECT_BYTES:,} bytes are used by the package alone"


def test_no_component_installs_anything_at_run_time(package: Package) -> None:
    for name, container in package.executors.items():
        text = json.dumps(container.get("command", []) + container.get("args", []))
        assert "pip install" not in text and "ensurepip" not in text, name


def test_every_image_is_the_one_given(tmp_path: Path) -> None:
    placement = Placement(image=IMAGE, training_image=f"{IMAGE}-gpu", accelerators=1)
    package = compile_package("experiment", tmp_path / "two.yaml", placement)
    for task, label in executors_by_task(package).items():
        wanted = f"{IMAGE}-gpu" if task in TRAINING else IMAGE
        assert package.executors[label]["image"] == wanted, task


def test_everything_a_placement_says_is_compiled_in(tmp_path: Path) -> None:
    placement = read_placement(
        image=IMAGE, accelerators=4, accelerator_type="amd.com/gpu", cpu="8", memory="32Gi",
        node_selectors=["cloud.google.com/gke-accelerator=nvidia-l4"], tolerations=["team=ml:NoExecute", "spot"],
        image_pull_policy="Always", image_pull_secrets=("registry",), google_credentials_secret="google",
        volume_claim="cache",
    )  # fmt: skip
    package = compile_package("experiment", tmp_path / "all.yaml", placement)
    label = executors_by_task(package)["train-runs"]
    kubernetes, container = package.platform[label], package.executors[label]
    assert kubernetes["nodeSelector"] == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
    assert [t["key"] for t in kubernetes["tolerations"]] == ["team", "spot", "amd.com/gpu"]
    assert kubernetes["tolerations"][0] == {
        "key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute",
    }  # fmt: skip
    assert kubernetes["imagePullPolicy"] == "Always"
    assert kubernetes["imagePullSecret"][0]["secretName"] == "registry"
    assert kubernetes["secretAsVolume"][0]["secretName"] == "google"
    assert kubernetes["pvcMount"][0]["mountPath"] == "/mnt/headstart"
    # Several accelerators exchange gradients through shared memory, of which a pod has 64 MB by default.
    assert kubernetes["emptyDirMounts"] == [
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "1Gi"}
    ]
    assert {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/etc/headstart/google/key.json"} in container["env"]
    assert container["resources"]["resourceMemoryLimit"] == "32Gi"
    report = package.platform[executors_by_task(package)["report"]]
    assert "nodeSelector" not in report and "emptyDirMounts" not in report and "tolerations" not in report


@pytest.mark.parametrize("pipeline", ["experiment", "curve", "retraining"])
def test_a_claim_is_mounted_in_every_task(pipeline: str, tmp_path: Path) -> None:
    """A store, a prepared model and data may lie on it, and which tasks read them differs from pipeline to pipeline."""
    package = compile_package(pipeline, tmp_path / "claim.yaml", Placement(image=IMAGE, volume_claim="cache"))
    for task, label in executors_by_task(package).items():
        assert [mount["mountPath"] for mount in package.platform[label]["pvcMount"]] == ["/mnt/headstart"], task


def test_same_placement_compiles_to_the_same_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_package("experiment", tmp_path / "1.yaml", Placement(image=IMAGE)).path.read_bytes()
    for name in ("KFP_DISABLE_EXECUTION_CACHING_BY_DEFAULT", "HEADSTART_IMAGE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "true")
    assert compile_package("experiment", tmp_path / "2.yaml", Placement(image=IMAGE)).path.read_bytes() == first


def test_retraining_compiles_and_its_training_asks_for_the_accelerator(tmp_path: Path) -> None:
    package = compile_package("retraining", tmp_path / "r.yaml", Placement(image=IMAGE, accelerators=1))
    asking = {
        task for task, label in executors_by_task(package).items()
        if "accelerator" in package.executors[label].get("resources", {})
    }  # fmt: skip
    assert asking, "no task of the retraining pipeline asks for the accelerator"
    assert package.path.stat().st_size < LARGEST_OBJECT_BYTES / 8


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("headstart:0.1.0", ""),
        ("localhost:5000/headstart:1", ""),
        ("registry.example/team/headstart@sha256:" + "a" * 64, ""),
        ("headstart", "neither tag nor digest"),
        ("localhost:5000/headstart", "neither tag nor digest"),
        ("headstart:latest", "moves"),
        ("headstart@sha256:abc", "digest"),
        ("head start:1", "not an image"),
        ("", "not an image"),
    ],
)
def test_images_are_pinned(image: str, problem: str) -> None:
    found = image_problem(image)
    assert problem in found and bool(found) == bool(problem)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"image": "headstart:latest"}, "latest"),
        ({"cpu": "two"}, "cpu"),
        ({"memory": "6 GB"}, "memory"),
        ({"accelerators": 17}, "accelerators"),
        ({"accelerator_type": "gpu"}, "accelerator_type"),
        ({"tolerations": ["a b"]}, "toleration"),
        ({"tolerations": ["a:Sometimes"]}, "effect"),
        ({"node_selectors": ["zone"]}, "KEY=VALUE"),
        ({"node_selectors": ["zone=a b"]}, "label"),
        ({"volume_claim": "Not A Name"}, "volume_claim: expected a name of lower-case letters"),
        ({"memory": "5Q"}, "training.memory: expected an amount such as 16Gi \\(found '5Q'\\)"),
        ({"storage_wait_seconds": 900}, "storage_wait_seconds is 900 and preflight.timeout_seconds 900: "),
        ({"cpu": "two"}, "training.cpu: expected processors such as 4 or 500m"),
    ],
)
def test_wrong_placement_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        read_placement(**options)


def test_placement_file_keeps_defaults_and_loses_to_options(tmp_path: Path) -> None:
    file = tmp_path / "placement.yaml"
    file.write_text("image: registry.example/headstart:2\ntraining: {cpu: '8', tolerations: [gpu]}\n")
    placement = read_placement(file, memory="12Gi")
    assert placement.image == "registry.example/headstart:2"
    assert (placement.training.cpu, placement.training.memory) == ("8", "12Gi")
    assert placement.training.timeout_seconds == Placement().training.timeout_seconds
    assert placement.training.tolerations == [Toleration(key="gpu")]
    file.write_text("imagee: x\n")
    with pytest.raises(SettingError, match="imagee"):
        read_placement(file)
    file.write_text("- a\n- b\n")
    with pytest.raises(SettingError, match="mapping"):
        read_placement(file)


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    for text in ("", "a: 1", "- 1", "pipelineInfo: {}\nroot: {}", ": ["):
        file = tmp_path / "p.yaml"
        file.write_text(text)
        with pytest.raises(HeadstartError, match=r"p\.yaml"):
            read_package(file)


def test_compile_writes_yaml_or_nothing(tmp_path: Path, command) -> None:  # type: ignore[no-untyped-def]
    assert command("compile", "experiment", "-o", "x.json").exit_code == 2
    done = command("compile", "experiment", "-o", "sub/x.yaml", "--image", IMAGE, "--accelerators", "1")
    assert done.exit_code == 0 and "1 × nvidia.com/gpu" in done.output
    assert len(list(yaml.safe_load_all(Path("sub/x.yaml").read_text()))) == 2
    assert [file.name for file in Path("sub").iterdir()] == ["x.yaml"]


@pytest.mark.parametrize("pipeline", ["experiment", "curve", "retraining"])
def test_parallelism_is_that_of_the_pipelines_loop(command, pipeline: str) -> None:  # type: ignore[no-untyped-def]
    given = ("compile", pipeline, "-o", "p.yaml", "--image", IMAGE, "--parallelism", "3")
    assert command(*given).exit_code == 0
    policies = [task.get("iteratorPolicy", {}) for task in read_package(Path("p.yaml")).tasks.values()]
    assert {"parallelismLimit": 3} in policies


@pytest.mark.parametrize("pipeline", ["experiment", "curve", "retraining"])
def test_the_selection_has_the_settings_of_the_import_and_as_many_images_as_planned(  # type: ignore[no-untyped-def]
    command, pipeline: str
) -> None:
    assert command("compile", pipeline, "-o", "p.yaml", "--image", IMAGE).exit_code == 0
    given = read_package(Path("p.yaml")).tasks["select-classes"]["inputs"]["parameters"]
    assert given["settings"] == {"componentInputParameter": "data_settings"}
    assert given["images_per_class"]["taskOutputParameter"]["outputParameterKey"] == "plan_images_per_class"


def test_a_manifest_is_what_kfp_itself_writes(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from kfp import compiler

    given = ("compile", "retraining", "-o", "r.yaml", "--image", IMAGE, "--manifest")
    assert command(*given, "m.yaml").exit_code == 0
    pipeline, version = yaml.safe_load_all(Path("m.yaml").read_text())
    options = compiler.KubernetesManifestOptions(
        pipeline_display_name=pipeline["spec"]["displayName"],
        pipeline_version_name=version["metadata"]["name"],
        include_pipeline_manifest=True,
    )
    compiler.Compiler().compile(
        retraining(Placement(image=IMAGE)), "kfp.yaml",
        kubernetes_manifest_format=True, kubernetes_manifest_options=options,
    )  # fmt: skip
    assert [pipeline, version] == list(yaml.safe_load_all(Path("kfp.yaml").read_text()))
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", version["metadata"]["name"])
    # The same again is the same version; another package is another, which no cluster refuses as a change.
    assert command(*given, "m.yaml").exit_code == 0
    assert list(yaml.safe_load_all(Path("m.yaml").read_text())) == [pipeline, version]
    assert command(*given, "m.yaml", "--memory", "7Gi").exit_code == 0
    assert list(yaml.safe_load_all(Path("m.yaml").read_text()))[1]["metadata"]["name"] != version["metadata"]["name"]
    Path("mine.yaml").write_text("kind: ConfigMap")
    for refused in ("mine.yaml", "r.yaml"):
        result = command(*given, refused)
        assert (result.exit_code, Path("mine.yaml").read_text()) == (2, "kind: ConfigMap"), refused
