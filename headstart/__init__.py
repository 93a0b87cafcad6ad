"""Measures how much of a head start transfer learning gives, what preparing it costs, and when that pays.

The public API; every name is imported when it is first used, so that `import headstart` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api import (
        compare,
        import_dataset,
        load_epochs,
        load_runs,
        load_summary,
        predict,
        report,
        run_experiment,
    )
    from headstart.components.errors import HeadstartError, SettingError
    from headstart.components.promotion.store import ModelStore, open_store
    from headstart.pipelines.experiment import experiment as experiment_pipeline
    from headstart.pipelines.placement import Placement
    from headstart.pipelines.retraining import retraining as retraining_pipeline

__all__ = [
    "HeadstartError",
    "ModelStore",
    "Placement",
    "SettingError",
    "compare",
    "experiment_pipeline",
    "import_dataset",
    "load_epochs",
    "load_runs",
    "load_summary",
    "open_store",
    "predict",
    "report",
    "retraining_pipeline",
    "run_experiment",
]

_ELSEWHERE = {
    "HeadstartError": "headstart.components.errors:HeadstartError",
    "ModelStore": "headstart.components.promotion.store:ModelStore",
    "Placement": "headstart.pipelines.placement:Placement",
    "SettingError": "headstart.components.errors:SettingError",
    "experiment_pipeline": "headstart.pipelines.experiment:experiment",
    "open_store": "headstart.components.promotion.store:open_store",
    "retraining_pipeline": "headstart.pipelines.retraining:retraining",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _ELSEWHERE.get(name, f"headstart.api:{name}").partition(":")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
