"""Catalogues by httpx: Discogs, Deezer, YouTube and a label's own, each with its own manners."""

from __future__ import annotations

from typing import Any

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import closing, reply, silent

BOOK = Book("catalogues")

_DISCOGS = App(
    "catalogues/discogs.py",
    """
    import httpx


    class DiscogsError(Exception):
        def __init__(self, status, message):
            super().__init__(f"{status}: {message}")


    def call(base, path):
        answer = httpx.get(f"{base}{path}", headers={"User-Agent": "songs/2"}, timeout=1)
        if answer.is_error:
            raise DiscogsError(answer.status_code, answer.json()["message"])
        return answer.json()


    def release(base, number):
        return call(base, f"/releases/{number}")["title"]


    def identity(base):
        return call(base, "/oauth/identity")["username"]
    """,
)
_DEEZER = App(
    "catalogues/deezer_tracks.py",
    """
    import httpx


    class DeezerError(Exception):
        pass


    def track(base, number, timeout=1.0):
        with httpx.Client(base_url=base, timeout=timeout) as client:
            told = client.get(f"/track/{number}").raise_for_status().json()
        if "error" in told:
            error = told["error"]
            raise DeezerError(f"{error['type']} {error['code']}: {error['message']}")
        return told["title"]
    """,
)
_YOUTUBE = App(
    "catalogues/youtube.py",
    """
    import httpx


    async def video(base, video_id):
        async with httpx.AsyncClient(timeout=1) as client:
            answer = await client.get(f"{base}/youtube/v3/videos", params={"id": video_id})
            answer.raise_for_status()
            return answer.json()["items"][0]
    """,
)
_LABEL = App(
    "catalogues/label_portal.py",
    """
    import httpx


    def deliver(base, number, body):
        answer = httpx.put(f"{base}/deliveries/{number}", content=body, timeout=1)
        answer.raise_for_status()


    def statement(base, number):
        return httpx.get(f"{base}/statements/{number}", timeout=1).text


    def through_proxy(proxy, number):
        with httpx.Client(proxy=proxy, timeout=1) as client:
            return client.get(f"https://portal.songs.example/statements/{number}").text


    def from_pool(base, number, seconds):
        limits = httpx.Limits(max_connections=1)
        timeout = httpx.Timeout(1.0, pool=seconds)
        with httpx.Client(base_url=base, limits=limits, timeout=timeout) as client:
            with client.stream("GET", f"/statements/{number}"):
                return client.get(f"/statements/{number + 1}")
    """,
)


def _discogs(status: int, message: str) -> Setting:
    return lambda w, v: (w.http(reply(status, {"message": message})), v.number)


def _deezer(kind: str, code: int, message: str) -> Setting:
    body = {"error": {"type": kind, "message": message, "code": code}}
    return lambda w, v: (w.http(reply(200, body)), v.number)


def _youtube(status: int, message: str, reason: str) -> Setting:
    errors = [{"message": message, "domain": "youtube.common", "reason": reason}]
    body: dict[str, Any] = {"error": {"code": status, "message": message, "errors": errors}}
    return lambda w, v: (w.http(reply(status, body)), v.id[:11])


def _delivery(status: int, body: str) -> Setting:
    return lambda w, v: (w.http(reply(status, body)), v.number, v.title.encode())


for _name, _category, _app, _function, _setting in (
    (
        "discogs-too-quickly",
        Category.RATE_LIMIT,
        _DISCOGS,
        "release",
        _discogs(429, "You are making requests too quickly."),
    ),
    (
        "discogs-no-release",
        Category.NOT_FOUND,
        _DISCOGS,
        "release",
        _discogs(404, "Release not found."),
    ),
    (
        "discogs-not-signed-in",
        Category.AUTH,
        _DISCOGS,
        "identity",
        lambda w, v: (
            w.http(reply(401, {"message": "You must authenticate to access this resource."})),
        ),
    ),
    (
        "deezer-quota",
        Category.RATE_LIMIT,
        _DEEZER,
        "track",
        _deezer("Exception", 4, "Quota limit exceeded"),
    ),
    (
        "deezer-no-data",
        Category.NOT_FOUND,
        _DEEZER,
        "track",
        _deezer("DataException", 800, "no data"),
    ),
    (
        "deezer-token",
        Category.AUTH,
        _DEEZER,
        "track",
        _deezer("OAuthException", 300, "Invalid OAuth access token."),
    ),
    (
        "deezer-busy",
        Category.SERVER_ERROR,
        _DEEZER,
        "track",
        _deezer("Exception", 700, "Service busy"),
    ),
    (
        "youtube-quota",
        Category.RATE_LIMIT,
        _YOUTUBE,
        "video",
        _youtube(
            403,
            "The request cannot be completed because you have exceeded your quota.",
            "quotaExceeded",
        ),
    ),
    (
        "youtube-bad-key",
        Category.AUTH,
        _YOUTUBE,
        "video",
        _youtube(400, "API key not valid. Please pass a valid API key.", "badRequest"),
    ),
    (
        "youtube-bad-id",
        Category.INVALID_DATA,
        _YOUTUBE,
        "video",
        _youtube(400, "The request specifies an invalid filter parameter.", "invalidFilters"),
    ),
    (
        "youtube-empty",
        Category.BUG,
        _YOUTUBE,
        "video",
        lambda w, v: (w.http(reply(200, {"items": []})), v.id[:11]),
    ),
    (
        "portal-413",
        Category.INVALID_DATA,
        _LABEL,
        "deliver",
        _delivery(413, "<h1>Request Entity Too Large</h1>"),
    ),
    ("portal-409", Category.INVALID_DATA, _LABEL, "deliver", _delivery(409, "already delivered")),
    ("portal-507", Category.SERVER_ERROR, _LABEL, "deliver", _delivery(507, "no storage left")),
    ("portal-529", Category.SERVER_ERROR, _LABEL, "deliver", _delivery(529, "Site is overloaded")),
    (
        "portal-closed",
        Category.NETWORK,
        _LABEL,
        "deliver",
        lambda w, v: (w.url(closing), v.number, b"x" * 100),
    ),
    (
        "portal-not-gzip",
        Category.INVALID_DATA,
        _LABEL,
        "statement",
        lambda w, v: (w.http(reply(200, v.digest, Content_Encoding="gzip")), v.number),
    ),
    (
        "proxy-refused",
        Category.NETWORK,
        _LABEL,
        "through_proxy",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.number),
    ),
    (
        "proxy-502",
        Category.NETWORK,
        _LABEL,
        "through_proxy",
        lambda w, v: (w.http(reply(502, "no route")), v.number),
    ),
    (
        "pool-timeout",
        Category.TIMEOUT,
        _LABEL,
        "from_pool",
        lambda w, v: (w.http(reply(200, b"x" * 200_000)), v.number, v.seconds),
    ),
    (
        "deezer-silent",
        Category.TIMEOUT,
        _DEEZER,
        "track",
        lambda w, v: (w.url(silent), v.number, v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
