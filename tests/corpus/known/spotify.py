"""Spotify's Web API by requests and by spotipy: its documented errors and its bad days."""

from __future__ import annotations

from typing import Any

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import closing, reply, silent, stalling
from tests.corpus.variation import Variation

BOOK = Book("spotify", error_type="spotify")

_REQUESTS = App(
    "enrich/spotify.py",
    """
    import requests


    class TrackNotFound(Exception):
        pass


    def get(url, timeout=2.0, **params):
        response = requests.get(
            url, params=params, headers={"Authorization": "Bearer BQDk"}, timeout=timeout
        )
        response.raise_for_status()
        return response.json()


    def enrich_track(base, track_id):
        return get(f"{base}/v1/tracks/{track_id}", market="SE")["name"]


    def audio_features(base, track_id):
        return get(f"{base}/v1/audio-features/{track_id}")["tempo"]


    def find_track(base, title, artist):
        found = get(f"{base}/v1/search", q=f'track:"{title}" artist:"{artist}"', type="track")
        if not found["tracks"]["items"]:
            raise TrackNotFound(f"No match on Spotify for {artist} - {title}")
        return found["tracks"]["items"][0]


    def fetch_token(base, client_id):
        answer = requests.post(
            f"{base}/api/token", data={"grant_type": "client_credentials"}, auth=(client_id, "x"),
            timeout=2,
        )
        if answer.status_code != 200:
            told = answer.json()
            raise RuntimeError(f"Spotify token: {told['error']}: {told['error_description']}")
        return answer.json()["access_token"]


    def related(base, artist_id, timeout):
        return get(f"{base}/v1/artists/{artist_id}/related-artists", timeout=timeout)


    def popular(base, artist_id, timeout):
        return get(f"{base}/v1/artists/{artist_id}/top-tracks", timeout=timeout, market="SE")
    """,
)

_SPOTIPY = App(
    "enrich/playlists.py",
    """
    import spotipy


    def client(base):
        made = spotipy.Spotify(auth="BQDk", requests_timeout=1, retries=0, status_retries=0)
        made.prefix = base + "/v1/"
        return made


    def playlist_tracks(base, playlist_id):
        return client(base).playlist_items(playlist_id)["items"]


    def album(base, album_id):
        return client(base).album(album_id)["tracks"]


    def add_to_playlist(base, playlist_id, uris):
        return client(base).playlist_add_items(playlist_id, uris)
    """,
)


def _error(status: int, message: str, **headers: str) -> bytes:
    body: dict[str, Any] = {"error": {"status": status, "message": message}}
    return reply(status, body, **headers)


def _limited(v: Variation) -> bytes:
    return _error(429, "API rate limit exceeded", Retry_After=str(v.wait_s))


def _answered(status: int, message: str) -> Setting:
    return lambda w, v: (w.http(_error(status, message)), v.id)


BOOK.cause(
    "track-429",
    Category.RATE_LIMIT,
    _REQUESTS,
    "enrich_track",
    lambda w, v: (w.http(_limited(v)), v.id),
)
for _name, _category, _status, _message in (
    ("track-401", Category.AUTH, 401, "The access token expired"),
    ("track-404", Category.NOT_FOUND, 404, "Non existing id"),
    ("track-400", Category.INVALID_DATA, 400, "invalid id"),
    ("track-500", Category.SERVER_ERROR, 500, "Server error."),
    ("track-502", Category.SERVER_ERROR, 502, "Bad gateway."),
    ("track-503", Category.SERVER_ERROR, 503, "Service unavailable"),
    ("track-504", Category.TIMEOUT, 504, "Gateway timeout"),
    ("features-403", Category.AUTH, 403, "Insufficient client scope"),
):
    BOOK.cause(
        _name,
        _category,
        _REQUESTS,
        "audio_features" if _name.startswith("features") else "enrich_track",
        _answered(_status, _message),
    )
BOOK.cause(
    "no-match",
    Category.NOT_FOUND,
    _REQUESTS,
    "find_track",
    lambda w, v: (w.http(reply(200, {"tracks": {"items": []}})), v.title, v.artist),
)
BOOK.cause(
    "invalid-client",
    Category.AUTH,
    _REQUESTS,
    "fetch_token",
    lambda w, v: (
        w.http(reply(400, {"error": "invalid_client", "error_description": "Invalid client"})),
        v.digest[:32],
    ),
)
BOOK.cause(
    "read-timeout",
    Category.TIMEOUT,
    _REQUESTS,
    "related",
    lambda w, v: (w.url(silent), v.id, v.seconds),
)
BOOK.cause(
    "closed-early",
    Category.NETWORK,
    _REQUESTS,
    "popular",
    lambda w, v: (w.url(closing), v.id, 1.0),
)
BOOK.cause(
    "html-for-json",
    Category.INVALID_DATA,
    _REQUESTS,
    "popular",
    lambda w, v: (w.http(reply(200, f"<html>{v.title}</html>")), v.id, 1.0),
)
BOOK.cause(
    "body-stalls",
    Category.TIMEOUT,
    _REQUESTS,
    "popular",
    lambda w, v: (w.url(stalling(reply(200, "x" * 50 + v.id)[:-40])), v.id, v.seconds),
)
BOOK.cause(
    "spotipy-429",
    Category.RATE_LIMIT,
    _SPOTIPY,
    "playlist_tracks",
    lambda w, v: (w.http(_limited(v)), v.id),
)
BOOK.cause(
    "spotipy-404",
    Category.NOT_FOUND,
    _SPOTIPY,
    "playlist_tracks",
    lambda w, v: (w.http(_error(404, "Resource not found")), v.id),
)
BOOK.cause(
    "spotipy-401",
    Category.AUTH,
    _SPOTIPY,
    "album",
    lambda w, v: (w.http(_error(401, "Invalid access token")), v.id),
)
BOOK.cause(
    "spotipy-403",
    Category.AUTH,
    _SPOTIPY,
    "add_to_playlist",
    lambda w, v: (
        w.http(_error(403, "You cannot add tracks to a playlist you don't own.")),
        v.id,
        [f"spotify:track:{v.id}"],
    ),
)
BOOK.cause(
    "spotipy-refused",
    Category.NETWORK,
    _SPOTIPY,
    "album",
    lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.id),
)
BOOK.cause(
    "spotipy-bad-uri",
    Category.INVALID_DATA,
    _SPOTIPY,
    "album",
    lambda w, v: (w.http(reply(200, {})), f"spotify:show:{v.id}"),
)
