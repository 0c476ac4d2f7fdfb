"""Spotify in the forms of other clients: spotipy's sign-in, httpx, aiohttp."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, reply, silent

BOOK = Book("spotify2", error_type="spotify")

_SPOTIPY = App(
    "providers/spotify_catalog.py",
    """
    import spotipy
    from spotipy.cache_handler import MemoryCacheHandler
    from spotipy.oauth2 import SpotifyClientCredentials, SpotifyOAuth


    def token(base, client_id):
        manager = SpotifyClientCredentials(
            client_id, "x" * 32, requests_timeout=1, cache_handler=MemoryCacheHandler()
        )
        manager.OAUTH_TOKEN_URL = base + "/api/token"
        return manager.get_access_token(as_dict=False)


    def renew(base, refresh_token):
        manager = SpotifyOAuth(
            "i" * 32, "x" * 32, "http://127.0.0.1:9/callback", requests_timeout=1,
            cache_handler=MemoryCacheHandler(), open_browser=False,
        )
        manager.OAUTH_TOKEN_URL = base + "/api/token"
        return manager.refresh_access_token(refresh_token)


    def client(base, timeout=1.0):
        made = spotipy.Spotify(auth="BQDk", requests_timeout=timeout, retries=0, status_retries=0)
        made.prefix = base + "/v1/"
        return made


    def artist_albums(base, artist_id):
        return client(base).artist_albums(artist_id, limit=50)


    def saved_tracks(base, artist_id):
        return client(base).current_user_saved_tracks()


    def recommend(base, artist_id, timeout):
        return client(base, timeout).recommendations(seed_artists=[artist_id])


    def first_hit(base, title):
        hits = client(base).search(f"track:{title}", limit=1)["tracks"]["items"]
        if not hits:
            raise LookupError(f"Spotify has no track called {title!r}")
        return hits[0]


    def search_nothing(base, artist_id):
        return client(base).track(f"https://example.com/track?id={artist_id}")
    """,
)
_ASYNC = App(
    "providers/spotify_async.py",
    """
    import aiohttp
    import httpx


    class SpotifyDown(Exception):
        pass


    class Throttled(Exception):
        def __init__(self, retry_after):
            super().__init__(f"Spotify asked us to wait {retry_after} s")
            self.retry_after = retry_after


    async def fetch(base, path):
        async with httpx.AsyncClient(base_url=base, timeout=1) as client:
            answer = await client.get(path)
            answer.raise_for_status()
            return answer.json()


    async def several_tracks(base, ids):
        return await fetch(base, f"/v1/tracks?ids={ids}")


    async def episodes(base, show_id):
        async with aiohttp.ClientSession(base_url=base, raise_for_status=True) as session:
            async with session.get(f"/v1/shows/{show_id}/episodes") as answer:
                return await answer.json()


    async def markets(base, show_id):
        try:
            return await fetch(base, f"/v1/markets?x={show_id}")
        except httpx.HTTPStatusError as error:
            raise SpotifyDown(f"no markets for {show_id}") from error


    async def polite(base, show_id):
        async with aiohttp.ClientSession(base_url=base) as session:
            async with session.get(f"/v1/browse/categories?seed={show_id}") as answer:
                if answer.status == 429:
                    raise Throttled(int(answer.headers["Retry-After"]))
    """,
)


def _id(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.id)


def _error(status: int, message: str) -> Setting:
    return _id(answering(reply(status, {"error": {"status": status, "message": message}})))


def _oauth(status: int, error: str, told: str) -> Setting:
    return _id(answering(reply(status, {"error": error, "error_description": told})))


for _name, _category, _app, _function, _setting in (
    (
        "client-secret",
        Category.AUTH,
        _SPOTIPY,
        "token",
        _oauth(400, "invalid_client", "Invalid client secret"),
    ),
    (
        "revoked",
        Category.AUTH,
        _SPOTIPY,
        "renew",
        _oauth(400, "invalid_grant", "Refresh token revoked"),
    ),
    ("albums-500", Category.SERVER_ERROR, _SPOTIPY, "artist_albums", _error(500, "Server error")),
    ("albums-404", Category.NOT_FOUND, _SPOTIPY, "artist_albums", _error(404, "Artist not found")),
    (
        "albums-400",
        Category.INVALID_DATA,
        _SPOTIPY,
        "artist_albums",
        _error(400, "Invalid base62 id"),
    ),
    (
        "not-registered",
        Category.AUTH,
        _SPOTIPY,
        "saved_tracks",
        _id(answering(reply(403, "User not registered in the Developer Dashboard"))),
    ),
    ("foreign-url", Category.INVALID_DATA, _SPOTIPY, "search_nothing", _id(silent)),
    (
        "httpx-429",
        Category.RATE_LIMIT,
        _ASYNC,
        "several_tracks",
        _id(answering(reply(429, "Too many requests", "text/plain", Retry_After="17"))),
    ),
    ("httpx-401", Category.AUTH, _ASYNC, "several_tracks", _error(401, "No token provided")),
    (
        "httpx-414",
        Category.INVALID_DATA,
        _ASYNC,
        "several_tracks",
        _id(answering(reply(414, "URI Too Long"))),
    ),
    (
        "aiohttp-503",
        Category.SERVER_ERROR,
        _ASYNC,
        "episodes",
        _error(503, "Service temporarily unavailable"),
    ),
    ("aiohttp-403", Category.AUTH, _ASYNC, "episodes", _error(403, "Bad OAuth request")),
    ("aiohttp-504", Category.TIMEOUT, _ASYNC, "episodes", _error(504, "upstream request timeout")),
    ("wrapped-500", Category.SERVER_ERROR, _ASYNC, "markets", _error(500, "oops")),
    ("wrapped-401", Category.AUTH, _ASYNC, "markets", _error(401, "The access token expired")),
):
    BOOK.cause(_name, _category, _app, _function, _setting)

BOOK.cause(
    "spotipy-timeout",
    Category.TIMEOUT,
    _SPOTIPY,
    "recommend",
    lambda w, v: (w.url(silent), v.id, v.seconds),
)
BOOK.cause(
    "no-hit",
    Category.NOT_FOUND,
    _SPOTIPY,
    "first_hit",
    lambda w, v: (w.http(reply(200, {"tracks": {"items": []}})), v.title),
)
BOOK.cause(
    "asked-to-wait",
    Category.RATE_LIMIT,
    _ASYNC,
    "polite",
    lambda w, v: (w.http(reply(429, "", Retry_After=str(v.wait_s))), v.id),
)
