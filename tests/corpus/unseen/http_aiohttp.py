"""aiohttp: what the first part has not."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import (
    Plan,
    answering,
    closing_at_once,
    reply,
    silent,
    stalling,
)

BOOK = Book("aiohttp2", error_type="audio_analysis")

_AIOHTTP = App(
    "analysis/stems.py",
    """
    import aiohttp


    async def separate(base, key):
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{base}/separate", json={"key": key}) as answer:
                answer.raise_for_status()
                return await answer.json()


    async def read_slowly(base, key, seconds):
        timeout = aiohttp.ClientTimeout(sock_read=seconds)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"{base}/stem/{key}") as answer:
                return await answer.read()


    async def unknown(base, key):
        async with aiohttp.ClientSession() as session:
            return await session.get(f"{base}/stem/{key}")


    async def disconnected(base, key):
        async with aiohttp.ClientSession() as session:
            return await session.get(f"{base}/vocals/{key}")


    async def secure(base, key, context):
        async with aiohttp.ClientSession() as session:
            return await session.get(f"{base}/secure/{key}", ssl=context)


    async def after_close(base, key):
        session = aiohttp.ClientSession()
        await session.close()
        return await session.get(f"{base}/late/{key}")


    async def odd_url(base, key):
        async with aiohttp.ClientSession() as session:
            return await session.get(base)


    async def progress(base, key):
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{base}/progress/{key}") as socket:
                return await socket.receive()


    async def broken(base, key):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/broken/{key}") as answer:
                return await answer.json()
    """,
)


def _u(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.uuid)


def _timed(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.uuid, v.seconds)


for _name, _category, _app, _function, _setting in (
    ("stems-401", Category.AUTH, _AIOHTTP, "separate", _u(answering(reply(401, "")))),
    (
        "stems-429",
        Category.RATE_LIMIT,
        _AIOHTTP,
        "separate",
        _u(answering(reply(429, "", Retry_After="9"))),
    ),
    ("stems-413", Category.INVALID_DATA, _AIOHTTP, "separate", _u(answering(reply(413, "")))),
    (
        "stems-500",
        Category.SERVER_ERROR,
        _AIOHTTP,
        "separate",
        _u(answering(reply(500, "CUDA error"))),
    ),
    (
        "sock-read",
        Category.TIMEOUT,
        _AIOHTTP,
        "read_slowly",
        _timed(stalling(reply(200, b"x" * 90)[:-9])),
    ),
    (
        "aiohttp-dns",
        Category.NETWORK,
        _AIOHTTP,
        "unknown",
        lambda w, v: (f"http://stems{v.number}.invalid", v.uuid),
    ),
    ("disconnected", Category.NETWORK, _AIOHTTP, "disconnected", _u(closing_at_once)),
    ("after-close", Category.BUG, _AIOHTTP, "after_close", _u(silent)),
    (
        "odd-url",
        Category.INVALID_DATA,
        _AIOHTTP,
        "odd_url",
        lambda w, v: (f"http://:{v.number}/x", v.uuid),
    ),
    ("ws-403", Category.AUTH, _AIOHTTP, "progress", _u(answering(reply(403, "")))),
    (
        "json",
        Category.INVALID_DATA,
        _AIOHTTP,
        "broken",
        _u(answering(reply(200, '{"stems": [1, 2', "application/json"))),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
BOOK.cause(
    "aiohttp-certificate",
    Category.NETWORK,
    _AIOHTTP,
    "secure",
    lambda w, v: (
        w.https(silent, w.authority.server(hosts=("127.0.0.1",), trusted=False)),
        v.uuid,
        w.authority.client(),
    ),
)
