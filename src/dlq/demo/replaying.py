"""The demo's fourth chapter: one job replays what the mending helps, and is followed to its end.

What it says of the job is what the manager answers about it, before (a dry run), while and
after it runs.
"""

from __future__ import annotations

import json
import time
from typing import Any

from dlq.demo.manager_api import ManagerAPI
from dlq.demo.processes import Child, DemoFailed
from dlq.demo.telling import Teller

WHERE = "state:dlq -category:not_found,invalid_data"
CANARY = 10
CANARY_SHARE = 0.6
JOB: dict[str, Any] = {
    "where": WHERE,
    "canary": CANARY,
    "canary_share": CANARY_SHARE,
    "max_retries": 3,
}
OVER = frozenset({"finished", "stopped", "cancelled"})
POLL_S = 0.2


def replay(teller: Teller, api: ManagerAPI, children: tuple[Child, ...], limit_s: float) -> None:
    """Raises: DemoFailed: a process ended early, or the job is not over in time."""
    in_dlq = api.count()
    preview = api.preview_job(JOB)
    teller.chapter(f"4. Replay: one job for {preview['total']} of the {in_dlq}")
    _tell_preview(teller, preview, left_out=in_dlq - preview["total"])
    teller.say("")
    teller.say(
        "The job itself. A canary of 10 goes first, spread over the causes; the rest follows"
    )
    teller.say("if 60 % of it come right. (A job over 100 has such a canary anyway, and asks for")
    teller.say("80 %; but some of these ten may be tracks that turn out to be unknown only now.)")
    teller.command(f"POST /dlq/jobs {json.dumps(JOB)}")
    job = api.create_job(JOB)
    teller.command(f"dlq jobs follow {job['job_id']}")
    job = _follow(teller, api, job["job_id"], children, limit_s)
    _tell_end(teller, job)


def _tell_preview(teller: Teller, preview: dict[str, Any], *, left_out: int) -> None:
    teller.say("First a dry run, which changes nothing:")
    teller.command(f"dlq replay --where '{WHERE}' --dry-run")
    teller.say(f"{left_out} are left out: tracks that a provider does not know, answers that are")
    teller.say(f"broken. No replay helps those today. The causes of the other {preview['total']}:")
    teller.causes(preview["causes"])
    teller.say("It goes at each provider's pace, which is scaled as that of MusicBrainz is:")
    for each in preview["pace"]:
        rate, took_s = each["rate_per_s"], each["seconds"]
        teller.say(
            f"  {each['count']:>4} {each['provider']}: {rate:.3g}/s, {took_s:.0f} s at least"
        )


def _follow(
    teller: Teller, api: ManagerAPI, job_id: str, children: tuple[Child, ...], limit_s: float
) -> dict[str, Any]:
    """The job once it is over; what becomes known on the way is told."""
    deadline = time.monotonic() + limit_s
    told = _Told(teller)
    with teller.waiting("replaying") as status:
        while True:
            job = api.job(job_id)
            told.news_of(job)
            if job["state"] in OVER:
                return job
            status.update(progress(job))
            for child in children:
                child.must_run()
            if time.monotonic() > deadline:
                raise DemoFailed(f"The job is not over within {limit_s:.0f} s: {progress(job)}")
            time.sleep(POLL_S)


class _Told:
    """The lines that stay on the screen: the canary's end, and each quarter of the job."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._canary = False
        self._quarters = 0

    def news_of(self, job: dict[str, Any]) -> None:
        canary = job["canary"]
        if canary and canary["passed"] and not self._canary:
            self._canary = True
            self._teller.say(
                f"The canary holds: {canary['succeeded']} of {canary['size']} came right. "
                "The others follow."
            )
        quarters = 4 * job["done"] // job["total"] if job["total"] else 0
        if self._quarters < quarters < 4:
            self._quarters = quarters
            self._teller.say(progress(job))


def progress(job: dict[str, Any]) -> str:
    """`139 of 523 done: 131 succeeded, 8 failed; 21/s, 18 s left; waits for …`"""
    told = f"{job['done']} of {job['total']} done: {_counts(job)}"
    if job["rate_per_s"]:
        told += f"; {job['rate_per_s']:.3g}/s"
    if job["eta_s"] is not None:
        told += f", {job['eta_s']:.0f} s left"
    if job["waiting_for"]:
        told += f"; waits for {job['waiting_for']}"
    return told


def _tell_end(teller: Teller, job: dict[str, Any]) -> None:
    teller.say(f"The job is {job['state']}: {_counts(job)}.")
    if job["stop_reason"]:
        teller.say(f"Why: {job['stop_reason']}.")


def _counts(job: dict[str, Any]) -> str:
    names = ("failed", "returned", "presumed", "skipped", "refused", "cancelled")
    others = [f"{job[name]} {name}" for name in names if job[name]]
    return ", ".join([f"{job['succeeded']} succeeded", *others])
