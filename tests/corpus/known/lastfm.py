"""Last.fm's error numbers, by requests; the number is in the body, the status says little."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import reply

BOOK = Book("lastfm", error_type="lastfm")

_APP = App(
    "enrich/lastfm.py",
    """
    import requests


    class LastFMError(Exception):
        def __init__(self, code, message):
            super().__init__(f"Last.fm error {code}: {message}")
            self.code = code


    def call(base, method, **params):
        answer = requests.get(
            f"{base}/2.0/", params={"method": method, "format": "json", **params}, timeout=1
        )
        body = answer.json()
        if "error" in body:
            raise LastFMError(body["error"], body["message"])
        return body


    def top_tags(base, artist, title):
        return call(base, "track.getTopTags", artist=artist, track=title)["toptags"]


    def scrobble(base, artist, title):
        answer = requests.post(f"{base}/2.0/", data={"artist": artist, "track": title}, timeout=1)
        answer.raise_for_status()
    """,
)


def _failed(status: int, code: int, message: str) -> Setting:
    return lambda w, v: (
        w.http(reply(status, {"error": code, "message": message})),
        v.artist,
        v.title,
    )


for _status, _code, _message, _category in (
    (200, 6, "Track not found", Category.NOT_FOUND),
    (200, 8, "Operation failed - Something else went wrong", Category.SERVER_ERROR),
    (403, 10, "Invalid API key - You must be granted a valid key by last.fm", Category.AUTH),
    (403, 9, "Invalid session key - Please re-authenticate", Category.AUTH),
    (200, 11, "Service Offline - This service is temporarily offline.", Category.SERVER_ERROR),
    (429, 29, "Rate Limit Exceded - Your IP has made too many requests", Category.RATE_LIMIT),
    (403, 26, "Suspended API Key - Access for your account has been suspended", Category.AUTH),
):
    BOOK.cause(f"error-{_code}", _category, _APP, "top_tags", _failed(_status, _code, _message))
BOOK.cause(
    "scrobble-400",
    Category.INVALID_DATA,
    _APP,
    "scrobble",
    _failed(400, 7, "Invalid resource specified"),
)
BOOK.cause(
    "scrobble-403",
    Category.AUTH,
    _APP,
    "scrobble",
    _failed(403, 13, "Invalid method signature supplied"),
)
