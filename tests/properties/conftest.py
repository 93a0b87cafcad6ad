"""Hypothesis profiles: `ci` is small and repeats itself; HEADSTART_HYPOTHESIS=5000 draws so many new inputs a test."""

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
_EXAMPLES = os.environ.get("HEADSTART_HYPOTHESIS", "")

settings.register_profile(
    "ci", max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW
)
settings.register_profile(
    "long", max_examples=int(_EXAMPLES or 5000), deadline=None, database=None, suppress_health_check=_SLOW
)
settings.load_profile("long" if _EXAMPLES else "ci")
