"""What one run is asked to do: the file that the parent hands to the process that trains. No TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from headstart.components import machine
from headstart.components.records import Arm, Environment, Precision, RunRecord, Subset
from headstart.components.regular_files import read_json
from headstart.components.training import environment
from headstart.components.training.networks import code_digest
from headstart.components.training.settings import Settings, resolve

FORMAT = 2  # of what checkpoints hold: those of another format are another run's


class RunSpecification(BaseModel):
    """One run of one arm; paths are absolute."""

    model_config = ConfigDict(extra="forbid")

    arm: Arm
    seed: int
    preparation: int = 0
    draw: int = 0
    subset: Subset | None = None
    run_id: str = ""
    preset: str
    settings: dict[str, Any] = {}
    precision: Precision | None = None
    dataset: Path
    initial_model: Path | None = None
    checkpoints: str = ""
    accelerators: int = 0
    image: str = ""
    record: Path
    model: Path | None = None
    saved_model: Path | None = None
    parent: int = 0
    process: Literal["separate", "forked"] = "separate"
    spawned: float = 0.0  # on the monotonic clock, which processes of one machine share
    trial: bool = False  # only times steps, see `precision.py`

    def asked(self) -> Settings:
        """Settings of this run's arm; SettingError where one is wrong."""
        return resolve(self.preset, self.arm, self.settings, self._image_size())

    def resolved(self) -> Settings:
        """Return `asked`, with the chosen precision for auto; without a choice float32."""
        settings = self.asked()
        if settings.recipe.precision != "auto":
            return settings
        chosen = self.precision.chosen if self.precision else "float32"
        return settings._replace(recipe=settings.recipe.model_copy(update={"precision": chosen}))

    def _image_size(self) -> int:
        try:
            return int(read_json(self.dataset / "dataset.json")["image_size"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0  # the process that trains will say what is wrong with it

    def threads(self) -> int:
        """Threads that TensorFlow is to use."""
        return self.resolved().process.threads or machine.thread_count(machine.usable_cores())

    def blank_record(self, facts: Environment) -> RunRecord:
        """Return a record with what is known before anything has run; its status is failed until it is not."""
        recipe, stage, _ = self.resolved()
        return RunRecord(
            **self.model_dump(include={"arm", "seed", "preparation", "draw", "subset", "run_id", "process", "preset"}),
            status="failed",
            network="" if stage.network == "paper" else stage.network,
            recipe=recipe.model_dump(mode="json"),
            precision=self.precision if self.asked().recipe.precision == "auto" else None,
            # What is frozen is known once the network is built.
            stage=stage.model_dump(mode="json") | {"frozen": []},
            environment=facts,
        )

    def fingerprint(self, data_digest: str, initial_digest: str | None) -> str:
        """SHA-256 of everything that decides the resulting weights and makes a time comparable.

        A checkpoint or a finished run is only used again under the same fingerprint and the same run id, which names
        its folder.
        """
        settings = self.resolved()
        content = {
            "format": FORMAT,
            "arm": self.arm,
            "seed": self.seed,
            "recipe": settings.recipe.model_dump(mode="json"),
            "stage": settings.stage.model_dump(mode="json"),
            "code": code_digest(settings.stage.network),
            "data": data_digest,
            "initial": initial_digest,
            "accelerators": self.accelerators,
            "threads": self.threads(),
            "processor": machine.processor(),
            "image": self.image,
            "versions": environment.versions(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
