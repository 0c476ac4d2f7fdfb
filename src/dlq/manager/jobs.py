"""Jobs as the manager makes and tells them: checked against its settings, and with what only
the manager knows, the broker and who consumes from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from dlq.errors import InvalidInput
from dlq.job import Choice, ItemStatus, Job, JobOptions, JobState, NewJob, Preview
from dlq.ledger.base import Ledger
from dlq.manager.broker import Broker
from dlq.pace import parse_rate
from dlq.settings import Settings

FARTHEST_START = dt.timedelta(days=366)


class JobDesk:
    """`broker` None is the embedded shape.

    Args:
        worker_is_there: whether somebody takes replays; None: not known.
        on_new: called when there is something to run.
    """

    def __init__(
        self,
        ledger: Ledger,
        broker: Broker | None,
        settings: Settings,
        *,
        worker_is_there: Callable[[], bool | None],
        on_new: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._settings = settings
        self._worker_is_there = worker_is_there
        self._on_new = on_new

    def create(self, new: NewJob) -> Job:
        """Raises: InvalidInput: the filter, or a target that is not allowed."""
        self._check_target(new.options)
        _check_start(new.start_at)
        job = self._ledger.jobs.create(new, now=dt.datetime.now(dt.UTC))
        self._on_new()
        return job

    def repeat(self, job_id: str, *, actor: str, start_at: dt.datetime | None) -> Job:
        """The same choice, evaluated anew, with the same options. Raises: NotFound;
        InvalidInput."""
        job = self._ledger.jobs.get(job_id)
        return self.create(NewJob(job.choice, job.options, actor, start_at, repeat_of=job_id))

    def resume(self, job_id: str) -> Job:
        """Raises: NotFound; IllegalTransition."""
        job = self._ledger.jobs.resume(job_id)
        self._on_new()
        return job

    def cancel(self, job_id: str, *, actor: str) -> Job:
        """Raises: NotFound; IllegalTransition."""
        return self._ledger.jobs.cancel(job_id, actor=actor, now=dt.datetime.now(dt.UTC))

    def preview(self, choice: Choice, options: JobOptions) -> tuple[Preview, dict[str, float]]:
        """What `create` would replay, and replays a second by provider. Raises: as `create`."""
        self._check_target(options)
        now = dt.datetime.now(dt.UTC)
        preview = self._ledger.jobs.preview(choice, limit=options.limit, now=now)
        shares = {provider.name: provider.share for provider in self._ledger.providers.all(now)}
        most = parse_rate(options.rate) if options.rate else float("inf")
        limits = self._settings.limits
        return preview, {
            name: min(limits.of(name).shared(shares.get(name, 1.0)).rate_per_s, most)
            for name in preview.by_error_type
        }

    def waiting_for(self, job: Job) -> str | None:
        """Why nothing is sent of it just now."""
        if job.state is not JobState.RUNNING:
            return job.waiting_for
        if self._broker is not None and not self._broker.publisher.is_up:
            return "the broker"
        to_workers = job.counts[ItemStatus.SENT] and job.options.routing_key is None
        if to_workers and self._worker_is_there() is False:
            return f"{job.waiting_for or 'outcomes'} (nobody takes replays: start a worker)"
        return job.waiting_for

    def _check_target(self, options: JobOptions) -> None:
        allowed, key = self._settings.replay_targets, options.routing_key
        if key is not None and key not in allowed:
            known = ", ".join(allowed) or "none is set"
            raise InvalidInput(
                f"routing_key: expected one of DLQ_REPLAY_TARGETS ({known}), got {key!r}. Leave "
                "it out to send to the retry queue."
            )
        if key is not None and self._broker is None:
            raise InvalidInput(
                "routing_key: without a broker there is no target but the workers that ask for "
                "leases. Leave it out."
            )


def _check_start(start_at: dt.datetime | None) -> None:
    """A past instant is now; one in the far future is a slip.

    Raises: InvalidInput.
    """
    latest = dt.datetime.now(dt.UTC) + FARTHEST_START
    if start_at is not None and start_at > latest:
        raise InvalidInput(
            f"start_at: expected an instant within {FARTHEST_START.days} days, "
            f"got {start_at:%Y-%m-%d %H:%M} UTC."
        )
