"""What only words tell: errors that applications and small clients raise by hand."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import reply

BOOK = Book("told")

_APP = App(
    "providers/misc.py",
    """
    import subprocess
    import sys

    import requests


    class ProviderError(Exception):
        pass


    class ValidationFailed(ValueError):
        pass


    def ask(base, path, provider):
        answer = requests.get(base + path, timeout=1)
        body = answer.json()
        if "error" in body:
            raise ProviderError(f"{provider}: {body['error']}")
        return body


    def youtube(base, key):
        return ask(base, f"/youtube/v3/videos?id={key}", "YouTube")


    def genius(base, key):
        return ask(base, f"/songs/{key}", "Genius")


    def acousticbrainz(base, key):
        return ask(base, f"/api/v1/{key}/low-level", "AcousticBrainz")


    def tidal(base, key):
        return ask(base, f"/v1/tracks/{key}", "Tidal")


    def soundcloud(base, key):
        return ask(base, f"/tracks/{key}", "SoundCloud")


    def beatport(base, key):
        return ask(base, f"/catalog/{key}", "Beatport")


    def check(track):
        if not track["isrc"].isalnum() or len(track["isrc"]) != 12:
            raise ValidationFailed(f"ISRC {track['isrc']!r} is not valid")


    def decode_audio(path):
        raise ProviderError(f"ffmpeg: {path}: Invalid data found when processing input")


    def crashed(code):
        subprocess.run([sys.executable, "-S", "-c", f"raise SystemExit({code})"], check=True)


    def worker_gone(key):
        raise ProviderError(f"worker left while {key} was in progress")


    def silent_failure(key):
        raise ProviderError


    def odd_state(key, state):
        raise ProviderError(f"job {key} ended in state {state}")


    def aggregate(keys):
        failed = [ProviderError(f"stage for {key} incomplete") for key in keys]
        raise ExceptionGroup("stages", failed)
    """,
)


def _told(message: str) -> Setting:
    return lambda w, v: (w.http(reply(200, {"error": message})), v.id)


for _name, _category, _function, _message in (
    (
        "youtube-quota",
        Category.RATE_LIMIT,
        "youtube",
        "The request cannot be completed because you have exceeded your quota.",
    ),
    (
        "genius-token",
        Category.AUTH,
        "genius",
        "The access token provided is invalid, has expired or was revoked",
    ),
    ("acousticbrainz-missing", Category.NOT_FOUND, "acousticbrainz", "Not found"),
    ("tidal-maintenance", Category.SERVER_ERROR, "tidal", "Service is down for maintenance"),
    ("soundcloud-limit", Category.RATE_LIMIT, "soundcloud", "Too many requests, slow down"),
    (
        "beatport-subscription",
        Category.AUTH,
        "beatport",
        "Permission denied: your subscription does not include this resource",
    ),
):
    BOOK.cause(
        _name,
        _category,
        _APP,
        _function,
        _told(_message),
    )
for _name, _category, _function, _setting in (
    ("isrc", Category.INVALID_DATA, "check", lambda w, v: ({"isrc": f"GB-{v.id[:9]}"},)),
    ("ffmpeg", Category.INVALID_DATA, "decode_audio", lambda w, v: (f"/data/{v.id}.mp3",)),
    ("exit-status", Category.UNKNOWN, "crashed", lambda w, v: (1 + v.index,)),
    ("worker-gone", Category.UNKNOWN, "worker_gone", lambda w, v: (v.id,)),
    ("nothing-said", Category.UNKNOWN, "silent_failure", lambda w, v: (v.id,)),
    ("odd-state", Category.UNKNOWN, "odd_state", lambda w, v: (v.uuid, v.number)),
    ("group", Category.UNKNOWN, "aggregate", lambda w, v: ([v.id, v.uuid],)),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
