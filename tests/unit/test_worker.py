"""The worker's rules without any network: tries, memory, choice of handler, settling."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import gzip
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dlq.client.handling import Handling, handling
from dlq.client.receipt import Custody, Receipt
from dlq.errors import BrokerUnavailable, InvalidInput, NotFound
from dlq.message import DLQMessage, WireMessage, encode, new_message_id
from dlq.worker.attempt import (
    Failed,
    Interrupted,
    Reported,
    ReportLost,
    Result,
    Succeeded,
    TryPolicy,
    attempt,
)
from dlq.worker.dealing import Dealer, Tally
from dlq.worker.handlers import Caller, Handlers, NoHandler
from dlq.worker.memory import ReplayMemory, Standing
from dlq.worker.task import Task, task_of

QUICK = TryPolicy(max_attempts=5, base_s=0.001, cap_s=0.001, retry_after_cap_s=0.05)


def dead_letter(error_type: str = "spotify", **fields: Any) -> DLQMessage:
    return DLQMessage.model_validate(
        {
            "message_id": new_message_id(),
            "routing_key": f"{error_type}.enrichment.failed",
            "timestamp": "2025-10-10T12:30:45Z",
            "retry_count": 3,
            "error_type": error_type,
            "error_message": "429 Too Many Requests",
            "source_service": "test",
            "payload": {"track": "Strobe"},
            **fields,
        }
    )


def a_task(replay_id: str | None = "r-1", **fields: Any) -> Task:
    return Task(dead_letter(**fields), True, replay_id, 3, origin=object())


class Failing:
    """Raises each error in turn, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _message: DLQMessage) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


# --- tries -------------------------------------------------------------------------------


def tried(call: Callable[[DLQMessage], None], granted: int = 3, **options: Any) -> Result:
    message = dead_letter()
    with handling(message, "r-1") as current:
        return attempt(
            call,
            current,
            granted=granted,
            policy=options.get("policy", QUICK),
            stopping=options.get("stopping", threading.Event()),
        )


def test_a_transient_failure_is_tried_again_until_it_succeeds() -> None:
    call = Failing(TimeoutError("slow"), ConnectionResetError())
    assert tried(call) == Succeeded(3)
    assert call.calls == 3


def test_a_bug_is_not_tried_again() -> None:
    call = Failing(AttributeError("'NoneType' object has no attribute 'id'"))
    result = tried(call)
    assert isinstance(result, Failed)
    assert result.tries == call.calls == 1


def test_tries_end_at_what_the_replay_grants() -> None:
    call = Failing(*(TimeoutError(str(n)) for n in range(10)))
    result = tried(call, granted=2)
    assert isinstance(result, Failed)
    assert (result.tries, str(result.error)) == (2, "1")


def test_tries_end_at_what_the_worker_bounds_however_many_are_granted() -> None:
    call = Failing(*(TimeoutError() for _ in range(100)))
    result = tried(call, granted=100)
    assert isinstance(result, Failed)
    assert result.tries == call.calls == 5


class AskedToWait(Exception):
    """A provider's 429 with a Retry-After, as an HTTP library raises it."""

    def __init__(self, seconds: str) -> None:
        super().__init__("429 Too Many Requests")
        self.response = _Response(seconds)


class _Response:
    status_code = 429

    def __init__(self, seconds: str) -> None:
        self.headers = {"Retry-After": seconds}


def test_a_retry_after_within_the_bound_is_waited_for() -> None:
    policy = TryPolicy(base_s=0.001, cap_s=0.001, retry_after_cap_s=60)
    pause_s = policy.pause_s(1, 3, AskedToWait("30"), "spotify")
    assert pause_s is not None
    assert 30 <= pause_s <= 30.001


def test_a_retry_after_beyond_the_bound_ends_the_tries() -> None:
    call = Failing(AskedToWait("3600"))
    result = tried(call)
    assert isinstance(result, Failed)
    assert call.calls == 1


def test_a_stop_ends_the_pause_between_tries() -> None:
    stopping = threading.Event()
    stopping.set()
    patient = TryPolicy(base_s=300, cap_s=300)
    assert tried(Failing(TimeoutError()), policy=patient, stopping=stopping) == Interrupted()


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_would_end_the_thread_is_that_messages_failure(error: BaseException) -> None:
    result = tried(Failing(error))
    assert isinstance(result, Failed)
    assert result.error is error


def report_with(receipt: Receipt, error: BaseException | None = None) -> Result:
    message = dead_letter()
    with handling(message, "r-1") as current:

        def call(_message: DLQMessage) -> None:
            current.reported = receipt
            if error is not None:
                raise error

        return attempt(call, current, granted=3, policy=QUICK, stopping=threading.Event())


@pytest.mark.parametrize("error", [None, TimeoutError()])
def test_a_report_from_inside_the_handler_is_the_result(error: BaseException | None) -> None:
    assert report_with(Receipt("m-1", Custody.SPOOLED), error) == Reported(1)


def test_a_report_that_nobody_took_is_a_failure_and_not_a_success() -> None:
    result = report_with(Receipt("m-1", Custody.REFUSED))
    assert isinstance(result, Failed)
    assert isinstance(result.error, ReportLost)


# --- reading -----------------------------------------------------------------------------


def test_a_task_reads_replay_id_and_granted_tries_from_the_headers() -> None:
    message = dead_letter()
    wire = encode(message, replay_id="r-9")
    wire.headers["x-max-retries"] = 4
    task = task_of(wire, origin=None)
    assert task.message.message_id == message.message_id
    assert (task.replay_id, task.max_tries) == ("r-9", 4)
    assert task.readable


@pytest.mark.parametrize("granted", [None, 0, -3, "many", 1.5])
def test_without_a_usable_grant_there_is_one_try(granted: Any) -> None:
    wire = encode(dead_letter())
    wire.headers["x-max-retries"] = granted
    assert task_of(wire, origin=None).max_tries == 1


def test_another_services_json_is_readable_and_its_payload_is_the_body() -> None:
    wire = WireMessage(b'{"track": "Strobe"}', "spotify.enrichment.retry")
    task = task_of(wire, origin=None)
    assert task.readable
    assert task.message.payload == {"track": "Strobe"}
    assert task.message.error_type == "spotify"


def test_another_services_zipped_json_is_readable_as_well() -> None:
    body = gzip.compress(b'{"job": 7}')
    wire = WireMessage(body, "spotify.enrichment.retry", properties={"content_encoding": "gzip"})
    task = task_of(wire, origin=None)
    assert (task.readable, task.message.payload) == (True, {"job": 7})


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"not json", b"[1, 2]", b"", b'{"error_type": {}, "payload": ', b"null"]
)
def test_a_body_that_is_no_json_object_is_not_readable(body: bytes) -> None:
    assert not task_of(WireMessage(body, "spotify.enrichment.retry"), origin=None).readable


# --- the choice of a handler -------------------------------------------------------------


def test_the_handler_for_the_error_type_wins_over_the_default() -> None:
    own, default = Failing(), Failing()
    handlers = Handlers({"spotify": own}, default)
    assert handlers.choose(a_task(error_type="spotify"), "w") is own
    assert handlers.choose(a_task(error_type="lastfm"), "w") is default


def test_without_a_handler_the_error_names_worker_and_error_type() -> None:
    with pytest.raises(NoHandler, match=r"'lastfm' in worker w-7; it has: spotify"):
        Handlers({"spotify": Failing()}, None).choose(a_task(error_type="lastfm"), "w-7")


def test_an_unreadable_message_goes_only_to_a_handler_that_asks_for_such() -> None:
    unreadable = Task(dead_letter(), False, "r-1", 1, origin=None)
    default, malformed = Failing(), Failing()
    with pytest.raises(NoHandler):
        Handlers({"spotify": Failing()}, default).choose(unreadable, "w")
    assert Handlers({"malformed": malformed}, default).choose(unreadable, "w") is malformed


def test_a_worker_without_handlers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one handler"):
        Handlers({}, None)


def test_a_handler_that_cannot_be_called_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="'spotify' must be callable, got str"):
        Handlers({"spotify": "handle"}, None)  # type: ignore[dict-item]


def test_async_handlers_of_one_thread_share_a_loop_and_see_the_handling_of_now() -> None:
    seen: list[tuple[asyncio.AbstractEventLoop, str]] = []
    current: contextvars.ContextVar[str] = contextvars.ContextVar("current")

    async def handle(_message: DLQMessage) -> None:
        seen.append((asyncio.get_running_loop(), current.get()))

    with Caller() as caller:
        for name in ("first", "second"):
            current.set(name)
            caller.call(handle, dead_letter())
    assert [name for _, name in seen] == ["first", "second"]
    assert seen[0][0] is seen[1][0]
    assert seen[0][0].is_closed()


# --- memory ------------------------------------------------------------------------------


def test_a_replay_in_hand_is_in_hand_until_its_end() -> None:
    memory = ReplayMemory()
    assert memory.begin("r") is Standing.NEW
    assert memory.begin("r") is Standing.IN_HAND
    memory.end("r")
    assert memory.begin("r") is Standing.NEW


def test_the_oldest_are_forgotten_beyond_the_capacity() -> None:
    memory = ReplayMemory(capacity=2)
    for replay_id in ("a", "b", "c"):
        memory.remember(replay_id, Standing.SUCCEEDED)
    assert memory.begin("a") is Standing.NEW
    assert memory.begin("c") is Standing.SUCCEEDED


# --- dealing with a task -----------------------------------------------------------------


class Ledgered:
    """A source that writes down what it is told, and fails as often as it is asked to."""

    is_up = True

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[tuple[BaseException, int]] = []
        self.declined: list[str] = []
        self.trouble: list[Exception] = []

    def start(self) -> None: ...

    def take(self, timeout_s: float) -> Task | None:
        raise NotImplementedError

    def succeed(self, task: Task) -> None:
        self._tell("succeed")

    def fail(self, task: Task, handling: Handling, error: BaseException, tries: int) -> None:
        self._tell("fail")
        self.failures.append((error, tries))

    def let_go(self, task: Task) -> None:
        self.told.append("let go")

    def decline(self, task: Task, why: str) -> None:
        self._tell("decline")
        self.declined.append(why)

    def release(self, task: Task) -> None:
        self.told.append("release")

    def close(self, timeout_s: float) -> None: ...

    def _tell(self, what: str) -> None:
        if self.trouble:
            self.told.append(f"{what} in vain")
            raise self.trouble.pop(0)
        self.told.append(what)


class Bench:
    """A dealer over a `Ledgered` source with one handler for spotify."""

    def __init__(self, handler: Callable[[DLQMessage], Any]) -> None:
        self.source = Ledgered()
        self.stopping = threading.Event()
        self.dealer = Dealer(
            self.source,
            Handlers({"spotify": handler}, None),
            QUICK,
            ReplayMemory(),
            worker="w-1",
            stopping=self.stopping,
            reconnect_max_s=0.001,
        )

    def deal(self, task: Task) -> list[str]:
        with Caller() as caller:
            self.dealer.deal(task, caller)
        return self.source.told


def test_success_is_reported_and_counted() -> None:
    bench = Bench(Failing())
    assert bench.deal(a_task()) == ["succeed"]
    assert bench.dealer.tally == Tally(succeeded=1)


def test_failure_goes_back_with_its_error_and_tries() -> None:
    error = ValueError("bad year")
    bench = Bench(Failing(error))
    assert bench.deal(a_task()) == ["fail", "let go"]
    assert bench.source.failures == [(error, 1)]
    assert bench.dealer.tally == Tally(failed=1)


def test_without_a_handler_the_message_goes_back_untried() -> None:
    bench = Bench(Failing())
    assert bench.deal(a_task(error_type="lastfm")) == ["decline"]
    assert "'lastfm'" in bench.source.declined[0]
    assert bench.dealer.tally == Tally(released=1)


def test_what_was_put_there_by_hand_becomes_a_dead_letter_if_nobody_handles_it() -> None:
    bench = Bench(Failing())
    task = dataclasses.replace(a_task(error_type="lastfm"), replay_id=None)
    assert bench.deal(task) == ["fail", "let go"]
    error, tries = bench.source.failures[0]
    assert isinstance(error, NoHandler)
    assert tries == 0


def test_a_success_that_nobody_confirms_is_given_back_and_reported_again_without_work() -> None:
    handler = Failing()
    bench = Bench(handler)
    bench.source.trouble = [BrokerUnavailable("gone")]
    task = a_task()
    assert bench.deal(task) == ["succeed in vain", "release"]
    assert bench.deal(task) == ["succeed in vain", "release", "succeed"]
    assert handler.calls == 1
    assert bench.dealer.tally == Tally(succeeded=1, released=1)


def test_a_failure_that_nobody_holds_is_given_back_and_handled_again() -> None:
    handler = Failing(ValueError("x"), ValueError("x"))
    bench = Bench(handler)
    bench.source.trouble = [BrokerUnavailable("gone")]
    task = a_task()
    bench.deal(task)
    assert bench.deal(task) == ["fail in vain", "release", "fail", "let go"]
    assert handler.calls == 2


def test_a_failure_reported_before_is_only_let_go_when_it_is_delivered_again() -> None:
    handler = Failing(ValueError("x"))
    bench = Bench(handler)
    task = a_task()
    bench.deal(task)
    assert bench.deal(task) == ["fail", "let go", "let go"]
    assert handler.calls == 1


def test_a_message_without_replay_id_is_handled_each_time_it_comes() -> None:
    handler = Failing()
    bench = Bench(handler)
    task = a_task(replay_id=None)
    bench.deal(task)
    assert bench.deal(task) == ["succeed", "succeed"]
    assert handler.calls == 2


def test_a_second_copy_of_a_replay_in_hand_is_given_back_unworked() -> None:
    task = a_task()
    calls: list[str] = []

    def handle(message: DLQMessage) -> None:
        calls.append(message.message_id)
        bench.stopping.set()  # no pause before the copy is given back
        bench.deal(task)

    bench = Bench(handle)
    assert bench.deal(task) == ["release", "succeed"]
    assert len(calls) == 1


def test_a_lost_task_is_counted_as_such_and_nothing_is_raised() -> None:
    bench = Bench(Failing())
    bench.source.trouble = [NotFound("the lease ran out")]
    assert bench.deal(a_task()) == ["succeed in vain"]
    assert bench.dealer.tally == Tally(lost=1)


def test_a_fault_of_the_source_itself_gives_the_task_back() -> None:
    bench = Bench(Failing())
    bench.source.trouble = [RuntimeError("unforeseen")]
    assert bench.deal(a_task()) == ["succeed in vain", "release"]


def test_a_handler_that_reports_through_a_client_gets_no_second_report() -> None:
    def handle(message: DLQMessage) -> None:
        from dlq.client.failure import Failure
        from dlq.client.handling import handling_of

        current = handling_of(Failure(message.payload, "still bad"))
        assert current is not None
        assert current.replay_id == "r-1"
        current.reported = Receipt(message.message_id, Custody.CONFIRMED)

    bench = Bench(handle)
    assert bench.deal(a_task()) == ["let go"]
    assert bench.dealer.tally == Tally(failed=1)
