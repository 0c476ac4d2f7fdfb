"""HTTP clients against servers that are slow, gone, or do not speak HTTP."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import closing, reply, resetting, silent, stalling

BOOK = Book("http")

_HTTPX = App(
    "clients/analysis.py",
    """
    import httpx


    class AnalysisFailed(Exception):
        pass


    def analyse(base, track_id, timeout=1.0):
        with httpx.Client(base_url=base, timeout=timeout) as client:
            answer = client.post("/v2/analyse", json={"track": track_id})
            answer.raise_for_status()
            return answer.json()


    async def analyse_async(base, track_id, timeout=1.0):
        async with httpx.AsyncClient(base_url=base, timeout=timeout) as client:
            answer = await client.get(f"/v2/jobs/{track_id}")
            answer.raise_for_status()
            return answer.json()


    def follow(base, track_id):
        with httpx.Client(follow_redirects=True) as client:
            return client.get(f"{base}/preview/{track_id}.mp3").content


    def analyse_wrapped(base, track_id):
        try:
            return analyse(base, track_id)
        except httpx.HTTPError as error:
            raise AnalysisFailed(f"could not analyse {track_id}") from error


    def download(base, name):
        with httpx.stream("GET", f"{base}/files/{name}", timeout=1.0) as answer:
            return sum(len(piece) for piece in answer.iter_bytes())
    """,
)
_AIOHTTP = App(
    "clients/deezer.py",
    """
    import aiohttp


    async def track(base, track_id):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/track/{track_id}") as answer:
                answer.raise_for_status()
                return await answer.json()


    async def chart(base, seconds):
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"{base}/chart/0") as answer:
                return await answer.json()


    async def cover(base, track_id):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/album/{track_id}/image") as answer:
                return await answer.read()
    """,
)
_URLLIB3 = App(
    "clients/beatport.py",
    """
    import urllib3


    def release(base, number, seconds=1.0):
        with urllib3.PoolManager(retries=False, timeout=seconds) as pool:
            answer = pool.request("GET", f"{base}/v4/catalog/releases/{number}")
            return answer.json()


    def release_with_tries(base, number):
        with urllib3.PoolManager(retries=urllib3.Retry(1, backoff_factor=0)) as pool:
            return pool.request("GET", f"{base}/v4/catalog/releases/{number}").data
    """,
)

BOOK.cause(
    "httpx-429",
    Category.RATE_LIMIT,
    _HTTPX,
    "analyse",
    lambda w, v: (w.http(reply(429, {"detail": "slow down"}, Retry_After=str(v.wait_s))), v.uuid),
    error_type="audio_analysis",
)
BOOK.cause(
    "httpx-422",
    Category.INVALID_DATA,
    _HTTPX,
    "analyse",
    lambda w, v: (w.http(reply(422, {"detail": [{"loc": ["track"], "msg": "bad"}]})), v.uuid),
    error_type="audio_analysis",
)
BOOK.cause(
    "httpx-403-quota",
    Category.RATE_LIMIT,
    _HTTPX,
    "analyse",
    lambda w, v: (w.http(reply(403, {"error": "rate limit exceeded for this key"})), v.uuid),
    error_type="audio_analysis",
)
BOOK.cause(
    "httpx-read-timeout",
    Category.TIMEOUT,
    _HTTPX,
    "analyse",
    lambda w, v: (w.url(silent), v.uuid, v.seconds),
)
BOOK.cause(
    "httpx-connect-timeout",
    Category.TIMEOUT,
    _HTTPX,
    "analyse_async",
    lambda w, v: ("http://{}:{}".format(*w.unanswered()), v.uuid, v.seconds),
)
BOOK.cause(
    "httpx-refused",
    Category.NETWORK,
    _HTTPX,
    "analyse",
    lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.uuid),
)
BOOK.cause(
    "httpx-disconnected",
    Category.NETWORK,
    _HTTPX,
    "analyse_async",
    lambda w, v: (w.url(closing), v.uuid),
)
BOOK.cause(
    "httpx-async-410",
    Category.NOT_FOUND,
    _HTTPX,
    "analyse_async",
    lambda w, v: (w.http(reply(410, {"detail": "job expired"})), v.uuid),
)
BOOK.cause(
    "httpx-wrapped-503",
    Category.SERVER_ERROR,
    _HTTPX,
    "analyse_wrapped",
    lambda w, v: (w.http(reply(503, "upstream is restarting")), v.uuid),
)
BOOK.cause(
    "httpx-truncated",
    Category.NETWORK,
    _HTTPX,
    "download",
    lambda w, v: (w.http(reply(200, b"\0" * 900, "audio/mpeg")[:-100]), f"{v.digest}.mp3"),
)
BOOK.cause(
    "httpx-no-scheme",
    Category.INVALID_DATA,
    _HTTPX,
    "follow",
    lambda w, v: (f"cdn{v.number}.songs.example", v.uuid),
)
BOOK.cause(
    "aiohttp-404",
    Category.NOT_FOUND,
    _AIOHTTP,
    "track",
    lambda w, v: (w.http(reply(404, {"error": "no data"})), v.number),
)
BOOK.cause(
    "aiohttp-wrong-type",
    Category.INVALID_DATA,
    _AIOHTTP,
    "track",
    lambda w, v: (w.http(reply(200, "<html>hello</html>")), v.number),
)
BOOK.cause(
    "aiohttp-timeout",
    Category.TIMEOUT,
    _AIOHTTP,
    "chart",
    lambda w, v: (w.url(silent), v.seconds),
)
BOOK.cause(
    "aiohttp-refused",
    Category.NETWORK,
    _AIOHTTP,
    "chart",
    lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), 1.0),
)
BOOK.cause(
    "aiohttp-payload-cut",
    Category.NETWORK,
    _AIOHTTP,
    "cover",
    lambda w, v: (w.http(reply(200, b"\xff\xd8" * 400, "image/jpeg")[:-300]), v.number),
)
BOOK.cause(
    "aiohttp-502",
    Category.SERVER_ERROR,
    _AIOHTTP,
    "track",
    lambda w, v: (w.http(reply(502, "Bad Gateway")), v.number),
)
BOOK.cause(
    "urllib3-reset",
    Category.NETWORK,
    _URLLIB3,
    "release",
    lambda w, v: (w.url(resetting), v.number),
)
BOOK.cause(
    "urllib3-read-timeout",
    Category.TIMEOUT,
    _URLLIB3,
    "release",
    lambda w, v: (w.url(stalling(b"HTTP/1.1 200 OK\r\n")), v.number, v.seconds),
)
BOOK.cause(
    "urllib3-broken-json",
    Category.INVALID_DATA,
    _URLLIB3,
    "release",
    lambda w, v: (w.http(reply(200, f'{{"id": 1, "name": "{v.id}"')), v.number),
)
BOOK.cause(
    "urllib3-max-retries",
    Category.NETWORK,
    _URLLIB3,
    "release_with_tries",
    lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.number),
)
