"""Last.fm by pylast: XML errors in which the number counts."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, reply

BOOK = Book("pylast", error_type="lastfm")

_APP = App(
    "providers/lastfm_artists.py",
    """
    import pylast


    def network(address, context):
        pylast.SSL_CONTEXT = context
        made = pylast.LastFMNetwork(api_key="k" * 32, api_secret="s" * 32)
        made.ws_server = ("{}:{}".format(*address), "/2.0/")
        return made


    def listeners(address, context, artist, title):
        return network(address, context).get_artist(artist).get_listener_count()
    """,
)


def _served(plan: Plan) -> Setting:
    return lambda w, v: (w.tls(plan), w.authority.client(), v.artist, v.title)


def _error(code: int, message: str, status: int = 200) -> Setting:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<lfm status="failed"><error code="{code}">{message}</error></lfm>'
    )
    return _served(answering(reply(status, body, "text/xml")))


for _name, _category, _function, _setting in (
    (
        "artist-6",
        Category.NOT_FOUND,
        "listeners",
        _error(6, "The artist you supplied could not be found"),
    ),
    (
        "invalid-key-10",
        Category.AUTH,
        "listeners",
        _error(10, "Invalid API key - You must be granted a valid key by last.fm", 403),
    ),
    (
        "offline-11",
        Category.SERVER_ERROR,
        "listeners",
        _error(11, "Service Offline - This service is temporarily offline. Try again later."),
    ),
    (
        "refused",
        Category.NETWORK,
        "listeners",
        lambda w, v: (w.refused(v.port), w.authority.client(), v.artist, v.title),
    ),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
