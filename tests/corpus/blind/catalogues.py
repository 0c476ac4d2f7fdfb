"""Spotify, MusicBrainz, ListenBrainz and Last.fm by their clients: what else they answer."""

from __future__ import annotations

from typing import Any

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, reply, saying, silent

BOOK = Book("music")

_SPOTIPY = App(
    "catalogues/spotify_playlists.py",
    """
    import spotipy
    from spotipy.cache_handler import MemoryCacheHandler
    from spotipy.oauth2 import SpotifyOAuth


    def client(base):
        made = spotipy.Spotify(auth="BQ", requests_timeout=1, retries=0, status_retries=0)
        made.prefix = f"{base}/v1/"
        return made


    def beats(base, track_id):
        return client(base).audio_analysis(track_id)["beats"]


    def details(base, track_ids):
        return client(base).tracks(track_ids)["tracks"]


    def new_playlist(base, user, title):
        return client(base).user_playlist_create(user, title)["id"]


    def titles(base, playlist_id):
        found = client(base).playlist_items(playlist_id)
        return [entry["track"]["name"] for entry in found["items"]]


    def consent(answer_url):
        sign_in = SpotifyOAuth(
            "i" * 32, "s" * 32, "http://127.0.0.1:9/callback", open_browser=False,
            cache_handler=MemoryCacheHandler(),
        )
        return sign_in.parse_auth_response_url(answer_url)
    """,
)
_MUSICBRAINZ = App(
    "catalogues/musicbrainz_isrcs.py",
    """
    import musicbrainzngs
    from musicbrainzngs import musicbrainz as client

    client.set_useragent("songs", "3.0", "ops@songs.example")
    client.set_rate_limit(False)
    client._safe_read.__defaults__ = (None, 1, 0.0)


    def by_isrc(host, isrc):
        client.set_hostname(host)
        return musicbrainzngs.get_recordings_by_isrc(isrc)["isrc"]["recording-list"]


    def works_of(host, mbid):
        client.set_hostname(host)
        return musicbrainzngs.browse_works(artist=mbid)["work-list"]


    def rate(host, mbid):
        client.set_hostname(host)
        return musicbrainzngs.submit_ratings(recording_ratings={mbid: 80})


    def unnamed(host, mbid):
        client.set_hostname(host)
        name, client._useragent = client._useragent, ""
        try:
            return musicbrainzngs.get_area_by_id(mbid)
        finally:
            client._useragent = name
    """,
)
_LISTENBRAINZ = App(
    "catalogues/listenbrainz.py",
    """
    import requests


    def submit_listens(base, track_id):
        body = {"listen_type": "import", "payload": [{"track_metadata": {"id": track_id}}]}
        answer = requests.post(f"{base}/1/submit-listens", json=body, timeout=1)
        answer.raise_for_status()


    def listen_count(base, user):
        with requests.get(f"{base}/1/user/{user}/listen-count", timeout=1) as answer:
            answer.raise_for_status()
            return answer.json()["payload"]["count"]
    """,
)
_PYLAST = App(
    "catalogues/lastfm_charts.py",
    """
    import pylast


    def network(address, context):
        pylast.SSL_CONTEXT = context
        made = pylast.LastFMNetwork(api_key="k" * 32, api_secret="s" * 32, session_key="y")
        made.ws_server = ("{}:{}".format(*address), "/2.0/")
        return made


    def similar(address, context, artist, title):
        return network(address, context).get_track(artist, title).get_similar(limit=10)


    def scrobble(address, context, artist, title):
        network(address, context).scrobble(artist, title, timestamp=1_762_000_000)
    """,
)


def _spotify(status: int, message: str, **more: Any) -> bytes:
    return reply(status, {"error": {"status": status, "message": message, **more}})


def _musicbrainz(status: int, text: str) -> Setting:
    body = f"<?xml version='1.0'?><error><text>{text}</text></error>"
    return lambda w, v: (w.http(reply(status, body, "application/xml"))[7:], v.uuid)


def _lastfm(code: int, message: str, status: int = 200) -> Plan:
    told = f'<lfm status="failed"><error code="{code}">{message}</error></lfm>'
    return answering(reply(status, f"<?xml version='1.0'?>{told}", "text/xml"))


def _pylast(plan: Plan) -> Setting:
    return lambda w, v: (w.tls(plan), w.authority.client(), v.artist, v.title)


def _user(answer: bytes) -> Setting:
    return lambda w, v: (w.http(answer), v.id[:9])


_CUT_CHUNK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n80\r\n{"items": ['
)

for _name, _category, _app, _function, _setting, _error_type in (
    (
        "no-analysis",
        Category.NOT_FOUND,
        _SPOTIPY,
        "beats",
        lambda w, v: (w.http(_spotify(404, "analysis not found")), v.id),
        "spotify",
    ),
    (
        "too-many-ids",
        Category.INVALID_DATA,
        _SPOTIPY,
        "details",
        lambda w, v: (w.http(_spotify(400, "Too many ids requested")), [v.id] * 51),
        "spotify",
    ),
    (
        "others-playlist",
        Category.AUTH,
        _SPOTIPY,
        "new_playlist",
        lambda w, v: (
            w.http(_spotify(403, "You cannot create a playlist for another user")),
            v.id[:9],
            v.title,
        ),
        "spotify",
    ),
    (
        "local-track",
        Category.BUG,
        _SPOTIPY,
        "titles",
        lambda w, v: (w.http(reply(200, {"items": [{"track": None}]})), v.id),
        "spotify",
    ),
    (
        "playlist-cut",
        Category.NETWORK,
        _SPOTIPY,
        "titles",
        lambda w, v: (w.url(saying(_CUT_CHUNK)), v.id),
        "spotify",
    ),
    (
        "consent-denied",
        Category.AUTH,
        _SPOTIPY,
        "consent",
        lambda w, v: (f"http://127.0.0.1:9/callback?error=access_denied&state={v.id}",),
        "spotify",
    ),
    (
        "isrc-no-isrc",
        Category.INVALID_DATA,
        _MUSICBRAINZ,
        "by_isrc",
        lambda w, v: (
            w.http(
                reply(
                    400,
                    f"<error><text>{v.id[:10]} is not a valid ISRC.</text></error>",
                    "application/xml",
                )
            )[7:],
            v.id[:10],
        ),
        "musicbrainz",
    ),
    (
        "server-busy",
        Category.SERVER_ERROR,
        _MUSICBRAINZ,
        "works_of",
        _musicbrainz(503, "The MusicBrainz web server is currently busy. Please try again later."),
        "musicbrainz",
    ),
    (
        "rating-no-login",
        Category.AUTH,
        _MUSICBRAINZ,
        "rate",
        lambda w, v: ("127.0.0.1:9", v.uuid),
        "musicbrainz",
    ),
    (
        "no-useragent",
        Category.BUG,
        _MUSICBRAINZ,
        "unnamed",
        lambda w, v: ("127.0.0.1:9", v.uuid),
        "musicbrainz",
    ),
    (
        "listens-too-large",
        Category.INVALID_DATA,
        _LISTENBRAINZ,
        "submit_listens",
        _user(
            reply(
                400,
                {
                    "code": 400,
                    "error": "JSON document is too large. In total, JSON listens cannot exceed "
                    "10240000 bytes.",
                },
            )
        ),
        "listenbrainz",
    ),
    (
        "listens-token",
        Category.AUTH,
        _LISTENBRAINZ,
        "submit_listens",
        _user(reply(401, {"code": 401, "error": "Invalid authorization token."})),
        "listenbrainz",
    ),
    (
        "count-429",
        Category.RATE_LIMIT,
        _LISTENBRAINZ,
        "listen_count",
        lambda w, v: (
            w.http(reply(429, {"code": 429}, X_RateLimit_Reset_In=str(v.wait_s))),
            v.id[:9],
        ),
        "listenbrainz",
    ),
    (
        "count-no-user",
        Category.NOT_FOUND,
        _LISTENBRAINZ,
        "listen_count",
        lambda w, v: (
            w.http(reply(404, {"code": 404, "error": f"Cannot find user: {v.id[:9]}"})),
            v.id[:9],
        ),
        "listenbrainz",
    ),
    (
        "similar-none",
        Category.NOT_FOUND,
        _PYLAST,
        "similar",
        _pylast(_lastfm(20, "Not enough content - There is not enough content to play")),
        "lastfm",
    ),
    (
        "similar-504",
        Category.TIMEOUT,
        _PYLAST,
        "similar",
        _pylast(answering(reply(504, "<h1>504 Gateway Time-out</h1>"))),
        "lastfm",
    ),
    (
        "scrobble-13",
        Category.AUTH,
        _PYLAST,
        "scrobble",
        _pylast(_lastfm(13, "Invalid method signature supplied", 403)),
        "lastfm",
    ),
    (
        "scrobble-15",
        Category.AUTH,
        _PYLAST,
        "scrobble",
        _pylast(_lastfm(15, "This token has expired")),
        "lastfm",
    ),
    (
        "lastfm-untrusted",
        Category.NETWORK,
        _PYLAST,
        "similar",
        lambda w, v: (
            w.tls(silent, w.authority.server(hosts=("127.0.0.1",), trusted=False)),
            w.authority.client(),
            v.artist,
            v.title,
        ),
        "lastfm",
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting, error_type=_error_type)
