"""Hypothesis profiles: `ci` is small and repeats itself; `HEADSTART_HYPOTHESIS=long` draws many new inputs."""

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]

settings.register_profile(
    "ci", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW
)
settings.register_profile("long", max_examples=4000, deadline=None, database=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HEADSTART_HYPOTHESIS", "ci"))
