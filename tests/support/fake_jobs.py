"""A manager that tells of jobs what a test wants it to, and notes what it was asked."""

from __future__ import annotations

import json
from typing import Any

from dlq.demo.local_server import Answer, LocalServer, Request, json_answer

JOB_ID = "0b9c7f52-5f0e-4b4e-9f55-1c8c1b1d4c11"
LETTER_ID = "550e8400-e29b-41d4-a716-446655440000"
EVIL = "evil \x1b[2J\u202e [red]x[/red]"


def canary(**changes: Any) -> dict[str, Any]:
    seen = {"size": 10, "passed": False, "waiting": 0, "in_flight": 0, "succeeded": 0, "failed": 0}
    return {**seen, **changes}


def job(**changes: Any) -> dict[str, Any]:
    """As the manager shows one."""
    seen: dict[str, Any] = {
        "job_id": JOB_ID,
        "state": "running",
        "created_by": "maria",
        "created_at": "2026-11-24T02:00:00Z",
        "start_at": "2026-11-24T02:00:00Z",
        "started_at": "2026-11-24T02:00:01Z",
        "finished_at": None,
        "repeat_of": None,
        "where": "error_type:spotify",
        "chosen_ids": None,
        "options": {"rate": "1/s"},
        "total": 120,
        "done": 0,
        "waiting": 120,
        "in_flight": 0,
        **dict.fromkeys(("succeeded", "failed", "returned", "presumed"), 0),
        **dict.fromkeys(("skipped", "refused", "cancelled"), 0),
        "success_rate": None,
        "rate_per_s": 0.0,
        "eta_s": None,
        "waiting_for": None,
        "stop_reason": None,
        "canary": None,
        "skipped_because": {},
        "new_errors": [],
        "unknown_ids": [],
    }
    return {**seen, **changes}


FINISHED = job(
    state="finished",
    finished_at="2026-11-24T02:02:01Z",
    done=120,
    waiting=0,
    succeeded=120,
    success_rate=1.0,
)
PREVIEW = {
    "dry_run": True,
    "total": 120,
    "by_error_type": {"spotify": 100, "musicbrainz": 20},
    "by_state": {"pending": 115, "parked": 5},
    "causes": [
        {"fingerprint": "3f1c0a9be2d47a55", "title": EVIL, "category": "unknown", "count": 100},
        *(
            {"fingerprint": f"{n}" * 16, "title": f"cause {n}", "category": "auth", "count": 5}
            for n in range(4)
        ),
    ],
    "message_ids": [f"{LETTER_ID[:-3]}{n:03}" for n in range(100)],
    "unknown_ids": [],
    "canary": 10,
    "pace": [
        {"provider": "spotify", "count": 100, "rate_per_s": 9.0, "seconds": 11.1},
        {"provider": "musicbrainz", "count": 20, "rate_per_s": 0.9, "seconds": 222.0},
    ],
    "eta_s": 222.0,
}


class FakeJobs(LocalServer):
    """`script` is what one job looks like, look by look; the last look stays. A number in it
    is an error of that status."""

    def __init__(self) -> None:
        super().__init__()
        self.preview: dict[str, Any] = dict(PREVIEW)
        self.script: list[dict[str, Any] | int] = [FINISHED]
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}  # of any other path

    @property
    def made(self) -> list[dict[str, Any]]:
        """The jobs it was asked to make."""
        return [
            body
            for method, path, body in self.asked
            if (method, path) == ("POST", "/dlq/jobs") and not body.get("dry_run")
        ]

    def answer(self, request: Request) -> Answer:
        body: Any = json.loads(request.body) if request.body else {}
        self.asked.append((request.method, request.path, body))
        if request.path in self.answers:
            return json_answer(200, self.answers[request.path])
        if (request.method, request.path) == ("POST", "/dlq/jobs"):
            dry_run = body.get("dry_run")
            return json_answer(200 if dry_run else 201, self.preview if dry_run else job())
        if request.path == "/dlq/replay/batch":
            count = len(body["message_ids"])
            sent = {"success": True, "replayed_count": count, "failed_count": 0, "errors": []}
            return json_answer(200, sent)
        if request.path == f"/dlq/jobs/{JOB_ID}":
            return self._look()
        return json_answer(404, {"detail": "There is no such job.", "code": "not_found"})

    def _look(self) -> Answer:
        seen = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(seen, int):
            problem = {"detail": "The ledger is away.", "code": "ledger_unavailable"}
            return json_answer(seen, problem)
        return json_answer(200, seen)
