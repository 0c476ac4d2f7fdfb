"""httpx: what the first part has not."""

from __future__ import annotations

import gzip

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import (
    Plan,
    answering,
    reply,
    resetting,
    silent,
    stalling,
)

BOOK = Book("httpx2", error_type="audio_analysis")

_HTTPX = App(
    "analysis/remote.py",
    """
    import asyncio

    import httpx


    class StepFailed(Exception):
        pass


    def loudness(base, key):
        answer = httpx.get(f"{base}/loudness/{key}", timeout=1)
        return answer.json()["lufs"]


    def spectrum(base, key):
        return httpx.get(f"{base}/spectrum/{key}", timeout=1).text


    async def pooled(base, key, seconds):
        timeout = httpx.Timeout(1.0, pool=seconds)
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(timeout=timeout, limits=limits) as client:
            async with client.stream("GET", f"{base}/first/{key}"):
                await client.get(f"{base}/second/{key}")


    async def bounded(base, key, seconds):
        async with httpx.AsyncClient(timeout=5) as client:
            return await asyncio.wait_for(client.get(f"{base}/beats/{key}"), seconds)


    async def reset(base, key):
        async with httpx.AsyncClient(timeout=1) as client:
            return await client.get(f"{base}/reset/{key}")


    async def unknown(base, key):
        async with httpx.AsyncClient(timeout=1) as client:
            return await client.get(f"{base}/unknown/{key}")


    def read_twice(base, key):
        with httpx.stream("GET", f"{base}/once/{key}", timeout=1) as answer:
            for _ in answer.iter_raw():
                pass
            for _ in answer.iter_raw():
                pass


    def submit(base, key):
        answer = httpx.post(f"{base}/submit", json={"key": key}, timeout=1)
        if answer.is_error:
            raise StepFailed(f"submit answered {answer.status_code}: {answer.json()['detail']}")


    def hidden(base, key, seconds):
        try:
            return httpx.get(f"{base}/hidden/{key}", timeout=seconds)
        except httpx.TimeoutException:
            raise StepFailed(f"the analyser timed out on {key} after {seconds} s") from None


    async def fan_out(base, key):
        async with httpx.AsyncClient(timeout=1) as client, asyncio.TaskGroup() as tasks:
            for part in range(2):
                tasks.create_task(client.get(f"{base}/part/{part}/{key}"))
    """,
)


def _u(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.uuid)


def _timed(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.uuid, v.seconds)


_CUT_GZIP = gzip.compress(b"x" * 1000, mtime=0)[:3] + b"\xff" * 40


for _name, _category, _app, _function, _setting in (
    (
        "loudness-html",
        Category.INVALID_DATA,
        _HTTPX,
        "loudness",
        _u(answering(reply(200, "<p>maintenance page</p>"))),
    ),
    (
        "bad-gzip",
        Category.INVALID_DATA,
        _HTTPX,
        "spectrum",
        _u(answering(reply(200, _CUT_GZIP, Content_Encoding="gzip"))),
    ),
    ("pool", Category.TIMEOUT, _HTTPX, "pooled", _timed(stalling(reply(200, "x" * 100)[:-50]))),
    ("wait-for", Category.TIMEOUT, _HTTPX, "bounded", _timed(silent)),
    ("reset", Category.NETWORK, _HTTPX, "reset", _u(resetting)),
    (
        "dns",
        Category.NETWORK,
        _HTTPX,
        "unknown",
        lambda w, v: (f"http://gpu{v.number}.invalid", v.uuid),
    ),
    ("read-twice", Category.BUG, _HTTPX, "read_twice", _u(answering(reply(200, "x" * 10)))),
    (
        "submit-401",
        Category.AUTH,
        _HTTPX,
        "submit",
        _u(answering(reply(401, {"detail": "Invalid API key"}))),
    ),
    (
        "submit-429",
        Category.RATE_LIMIT,
        _HTTPX,
        "submit",
        _u(answering(reply(429, {"detail": "Monthly quota exceeded"}))),
    ),
    (
        "submit-503",
        Category.SERVER_ERROR,
        _HTTPX,
        "submit",
        _u(answering(reply(503, {"detail": "No GPU worker available"}))),
    ),
    (
        "submit-422",
        Category.INVALID_DATA,
        _HTTPX,
        "submit",
        _u(answering(reply(422, {"detail": "Unsupported sample rate"}))),
    ),
    ("hidden-timeout", Category.TIMEOUT, _HTTPX, "hidden", _timed(silent)),
    (
        "fan-out-refused",
        Category.NETWORK,
        _HTTPX,
        "fan_out",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.uuid),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
