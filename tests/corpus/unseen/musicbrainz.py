"""MusicBrainz and Cover Art Archive in other forms of call."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import reply, silent

BOOK = Book("musicbrainz2", error_type="musicbrainz")

_APP = App(
    "providers/brainz.py",
    """
    import urllib.request

    import httpx
    import musicbrainzngs
    from musicbrainzngs import musicbrainz as client

    client.set_useragent("songs", "2.1", "ops@songs.example")
    client.set_rate_limit(False)
    client._safe_read.__defaults__ = (None, 1, 0.0)


    def label(host, mbid):
        client.set_hostname(host)
        return musicbrainzngs.get_label_by_id(mbid)["label"]["name"]


    def search_artists(host, words):
        client.set_hostname(host)
        return musicbrainzngs.search_artists(**words)


    def submit_tags(host, mbid):
        client.set_hostname(host)
        client.user = ""
        client.password = ""
        return musicbrainzngs.submit_tags(recording_tags={mbid: ["house"]})


    async def release(base, mbid):
        async with httpx.AsyncClient(timeout=1) as http:
            answer = await http.get(f"{base}/ws/2/release/{mbid}?fmt=json")
            answer.raise_for_status()
            return answer.json()


    def cover_art(base, mbid, timeout):
        with urllib.request.urlopen(f"{base}/release/{mbid}/front", timeout=timeout) as image:
            return image.read()


    def cover_list(base, mbid):
        with urllib.request.urlopen(f"{base}/release/{mbid}", timeout=1) as listing:
            return listing.read()


    async def relations(base, mbid):
        async with httpx.AsyncClient(timeout=1) as http:
            answer = await http.get(f"{base}/ws/2/artist/{mbid}?inc=url-rels&fmt=json")
            body = answer.json()
            if "error" in body:
                raise ValueError(f"MusicBrainz: {body['error']}")
    """,
)

BOOK.cause(
    "label-500",
    Category.SERVER_ERROR,
    _APP,
    "label",
    lambda w, v: (w.http(reply(500, "<error><text>Internal error</text></error>"))[7:], v.uuid),
)
BOOK.cause(
    "label-502",
    Category.SERVER_ERROR,
    _APP,
    "label",
    lambda w, v: (w.http(reply(502, "<h1>502 Bad Gateway</h1>nginx"))[7:], v.uuid),
)
BOOK.cause(
    "search-field",
    Category.BUG,
    _APP,
    "search_artists",
    lambda w, v: ("127.0.0.1:9", {v.pick("mood", "bpm", "genre", "label_name"): v.title}),
)
BOOK.cause(
    "submit-401",
    Category.AUTH,
    _APP,
    "submit_tags",
    lambda w, v: (w.http(reply(401, "Authorization required"))[7:], v.uuid),
)
BOOK.cause(
    "httpx-rate-limit",
    Category.RATE_LIMIT,
    _APP,
    "release",
    lambda w, v: (
        w.http(
            reply(
                503,
                {
                    "error": "The MusicBrainz web server is currently busy. Your requests are "
                    "exceeding the allowable rate limit."
                },
            )
        ),
        v.uuid,
    ),
)
BOOK.cause(
    "httpx-404",
    Category.NOT_FOUND,
    _APP,
    "release",
    lambda w, v: (w.http(reply(404, {"error": "Not Found"})), v.uuid),
)
BOOK.cause(
    "cover-timeout",
    Category.TIMEOUT,
    _APP,
    "cover_art",
    lambda w, v: (w.url(silent), v.uuid, v.seconds),
)
BOOK.cause(
    "cover-404",
    Category.NOT_FOUND,
    _APP,
    "cover_list",
    lambda w, v: (w.http(reply(404, "No cover art found for release")), v.uuid),
)
BOOK.cause(
    "told-rate-limit",
    Category.RATE_LIMIT,
    _APP,
    "relations",
    lambda w, v: (
        w.http(reply(503, {"error": "Your requests are exceeding the allowable rate limit."})),
        v.uuid,
    ),
)
BOOK.cause(
    "told-bad-mbid",
    Category.INVALID_DATA,
    _APP,
    "relations",
    lambda w, v: (w.http(reply(400, {"error": "Invalid mbid."})), v.digest),
)
