"""Plays the recurring runs of the API of Kubeflow Pipelines 2.17 beside the rest of it (tests/cluster).

Answers have the shapes of backend/src/apiserver/server/api_converter.go, toApiRecurringRun: int64 as text, the
specification as it was sent, `status` beside `mode`; kfp's own client reads them, which a test sees to.
"""

from __future__ import annotations

import uuid
from typing import Any

from answering import Answer, Asked
from pipelines_api import API, PipelinesApi

PATH = f"{API}/recurringruns"


class SchedulesApi(PipelinesApi):
    """`schedules` are the recurring runs there are, in the order of their creation; `page` is the longest list."""

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, dict[str, Any]] = {}
        self.page = 100
        self.refuse_creation = False
        self.drop_answer_to_creation = False
        self.once_at_the_same_time = 0
        self.ended: list[str] = []
        # A real one says CANCELING for some ten seconds, and ever after where its schedule is deleted meanwhile.
        self.looks_until_ended = 2
        self.never_ended: list[str] = []

    def begin_run(self, identity: str, state: str = "RUNNING", run_id: str = "under-way") -> None:
        """Let a schedule have started a run."""
        self.runs.append({"run_id": run_id, "display_name": run_id, "recurring_run_id": identity, "state": state})

    def handle(self, asked: Asked) -> Answer | None:
        if asked.path.startswith(f"{API}/runs/") and asked.path.endswith(":terminate"):
            self.ended.append(asked.path.removeprefix(f"{API}/runs/").removesuffix(":terminate"))
            self._left = self.looks_until_ended
            return Answer({})
        if asked.method == "GET" and self.ended and asked.path == f"{API}/runs/{self.ended[-1]}":
            (run,) = (run for run in self.runs if run["run_id"] == self.ended[-1])
            self._left -= 1
            run["state"] = "CANCELING" if self._left >= 0 else "FAILED"
            return Answer(run)
        if not asked.path.startswith(PATH):
            return super().handle(asked)
        if asked.path == PATH:
            return self._create(asked.body) if asked.method == "POST" else self._list(asked.query)
        identity, _, verb = asked.path.removeprefix(f"{PATH}/").partition(":")
        if identity not in self.schedules:
            return Answer({"code": 5, "message": f"Recurring run {identity} not found"}, 404)
        if asked.method == "DELETE":
            states = [run["state"] for run in self.runs if run.get("recurring_run_id") == identity]
            self.never_ended += [state for state in states if state not in ("SUCCEEDED", "FAILED")]
            del self.schedules[identity]
            return Answer({})
        if verb in ("enable", "disable"):
            self.schedules[identity]["mode"] = verb.upper()
            self.schedules[identity]["status"] = f"{verb.upper()}D"
            return Answer({})
        return Answer(self.schedules[identity])

    def _create(self, body: dict[str, Any]) -> Answer:
        if self.refuse_creation:
            return Answer({"code": 13, "message": "Failed to create a recurring run"}, 500)
        trigger = body["trigger"]
        fields = trigger["cron_schedule"]["cron"].split() if "cron_schedule" in trigger else None
        if fields is not None and not 5 <= len(fields) <= 6:
            return Answer({"code": 3, "message": f"Expected 5 to 6 fields, found {len(fields)}"}, 400)
        if fields is None and int(trigger["periodic_schedule"]["interval_second"]) < 1:
            return Answer({"code": 3, "message": "Found invalid period schedule interval"}, 400)
        if not 1 <= int(body["max_concurrency"]) <= 10:
            return Answer({"code": 3, "message": "Max concurrency must be at least 1 and at most 10"}, 400)
        identity = str(uuid.uuid4())
        mode = body.get("mode", "ENABLE")
        self.schedules[identity] = {
            **body,
            "recurring_run_id": identity,
            "max_concurrency": str(body["max_concurrency"]),
            "mode": mode,
            "status": f"{mode}D",
            "created_at": "2026-11-24T10:00:00Z",
            "updated_at": "2026-11-24T10:00:00Z",
            "namespace": body.get("namespace", "kubeflow"),
        }
        self.once_at_the_same_time = max(self.once_at_the_same_time, len(self.enabled()))
        return Answer(drop=True) if self.drop_answer_to_creation else Answer(self.schedules[identity])

    def _list(self, query: dict[str, str]) -> Answer:
        start = int(query.get("page_token") or 0)
        size = min(int(query.get("page_size") or 10), self.page)
        every = list(self.schedules.values())
        answer: dict[str, Any] = {"recurringRuns": every[start : start + size], "total_size": len(every)}
        if start + size < len(every):
            answer["next_page_token"] = str(start + size)
        return Answer(answer if every else {})

    def enabled(self) -> list[dict[str, Any]]:
        """Those that start runs."""
        return [schedule for schedule in self.schedules.values() if schedule["mode"] == "ENABLE"]

    def the_one(self) -> dict[str, Any]:
        (schedule,) = self.schedules.values()
        return schedule
