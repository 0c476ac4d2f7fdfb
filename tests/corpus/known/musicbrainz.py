"""MusicBrainz by musicbrainzngs and by urllib: its XML errors, its rate limit, its bad days."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, closing, reply, saying
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("musicbrainz", error_type="musicbrainz")

_NGS = App(
    "enrich/musicbrainz.py",
    """
    import musicbrainzngs
    from musicbrainzngs import musicbrainz as client

    client.set_useragent("songs", "2.1", "ops@songs.example")
    client.set_rate_limit(False)
    # The library waits for half a minute between its tries.
    client._safe_read.__defaults__ = (None, 1, 0.0)


    def at(host):
        client.set_hostname(host)


    def recording(host, mbid):
        at(host)
        return musicbrainzngs.get_recording_by_id(mbid, includes=["artists", "isrcs"])["recording"]


    def release_group(host, mbid):
        at(host)
        return musicbrainzngs.get_release_group_by_id(mbid)


    def isrc_to_mbid(host, isrc):
        at(host)
        found = musicbrainzngs.get_recordings_by_isrc(isrc)
        return found["isrc"]["recording-list"][0]["id"]


    def collections(host):
        at(host)
        client.auth("songs", "wrong")
        return musicbrainzngs.get_collections()


    def artist(host, mbid, includes):
        at(host)
        return musicbrainzngs.get_artist_by_id(mbid, includes=includes)
    """,
)
_URLLIB = App(
    "enrich/mb_search.py",
    """
    import json
    import urllib.parse
    import urllib.request
    import requests


    def search(base, artist, title):
        query = urllib.parse.quote(f'artist:"{artist}" AND recording:"{title}"')
        url = f"{base}/ws/2/recording?query={query}&fmt=json"
        with urllib.request.urlopen(url, timeout=1) as r:
            return json.load(r)


    def lookup(base, mbid):
        answer = requests.get(f"{base}/ws/2/recording/{mbid}", params={"fmt": "json"}, timeout=1)
        if not answer.ok:
            raise RuntimeError(f"MusicBrainz {answer.status_code}: {answer.json()['error']}")
        return answer.json()


    def works(base, mbid):
        answer = requests.get(f"{base}/ws/2/work?artist={mbid}&fmt=json", timeout=1)
        answer.raise_for_status()
        return answer.json()
    """,
)


def _at(plan: Plan) -> Setting:
    """The arguments (host, MBID) for a server that follows `plan`."""
    return lambda w, v: ("{}:{}".format(*w.tcp(plan)), v.uuid)


def _xml(status: int, text: str) -> Setting:
    body = f"<?xml version='1.0' encoding='UTF-8'?><error><text>{text}</text></error>"
    return lambda w, v: (w.http(reply(status, body, "application/xml"))[7:], v.uuid)


_LIMIT = (
    "Your requests are exceeding the allowable rate limit. Please see "
    "https://wiki.musicbrainz.org/XMLWebService for more information."
)


def _limited(w: World, v: Variation) -> tuple[str, str]:
    return w.http(reply(503, {"error": _LIMIT}, Retry_After=str(v.wait_s))), v.uuid


BOOK.cause("recording-404", Category.NOT_FOUND, _NGS, "recording", _xml(404, "Not Found"))
BOOK.cause("invalid-mbid", Category.INVALID_DATA, _NGS, "recording", _xml(400, "Invalid mbid."))
BOOK.cause("rate-limit-503", Category.RATE_LIMIT, _URLLIB, "works", _limited)
BOOK.cause("rate-limit-told", Category.RATE_LIMIT, _URLLIB, "lookup", _limited)
BOOK.cause(
    "collections-401",
    Category.AUTH,
    _NGS,
    "collections",
    lambda w, v: (
        w.http(
            reply(
                401,
                "You are not authorized to access this resource.",
                WWW_Authenticate=f'Digest realm="musicbrainz.org", nonce="{v.digest}", qop="auth"',
            )
        )[7:],
    ),
)
BOOK.cause(
    "isrc-unknown",
    Category.NOT_FOUND,
    _NGS,
    "isrc_to_mbid",
    lambda w, v: (
        w.http(reply(404, "<error><text>Not Found</text></error>", "application/xml"))[7:],
        f"GBAYE{v.number:07d}",
    ),
)
BOOK.cause(
    "broken-xml",
    Category.INVALID_DATA,
    _NGS,
    "release_group",
    _at(saying(reply(200, "<metadata><release-group id='x'><title>Half of a", "application/xml"))),
)
BOOK.cause(
    "refused",
    Category.NETWORK,
    _NGS,
    "release_group",
    lambda w, v: ("{}:{}".format(*w.refused(v.port)), v.uuid),
)
BOOK.cause("closed", Category.NETWORK, _NGS, "recording", _at(closing))
BOOK.cause(
    "bad-include",
    Category.BUG,
    _NGS,
    "artist",
    lambda w, v: ("127.0.0.1:9", v.uuid, [v.pick("songs", "lyrics", "moods", "tempo")]),
)
BOOK.cause(
    "search-500",
    Category.SERVER_ERROR,
    _URLLIB,
    "search",
    lambda w, v: (w.http(reply(500, "<h1>Internal Server Error</h1>")), v.artist, v.title),
)
BOOK.cause(
    "search-truncated",
    Category.INVALID_DATA,
    _URLLIB,
    "search",
    lambda w, v: (w.http(reply(200, '{"count": 2, "recordings": [{"id": "')), v.artist, v.title),
)
BOOK.cause(
    "search-unknown-host",
    Category.NETWORK,
    _URLLIB,
    "search",
    lambda w, v: (f"http://mb{v.index}.musicbrainz.invalid", v.artist, v.title),
)
