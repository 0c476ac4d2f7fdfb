"""Last.fm by pylast: sign-in, love, tags, and a service that is not well."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, closing, reply

BOOK = Book("pylast2", error_type="lastfm")

_APP = App(
    "providers/lastfm_tags.py",
    """
    import pylast


    def network(address, context):
        pylast.SSL_CONTEXT = context
        made = pylast.LastFMNetwork(api_key="k" * 32, api_secret="s" * 32)
        made.ws_server = ("{}:{}".format(*address), "/2.0/")
        return made


    def tags_of(address, context, artist, title):
        track = network(address, context).get_track(artist, title)
        return [tag.item.get_name() for tag in track.get_top_tags(limit=5)]


    def log_in(address, context, artist, title):
        pylast.SSL_CONTEXT = context
        net = network(address, context)
        return pylast.SessionKeyGenerator(net).get_session_key(artist, pylast.md5(title))


    def love(address, context, artist, title):
        net = network(address, context)
        net.session_key = "x" * 32
        net.get_track(artist, title).love()
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
        "unavailable-16",
        Category.SERVER_ERROR,
        "tags_of",
        _error(16, "The service is temporarily unavailable, please try again."),
    ),
    (
        "limit-29",
        Category.RATE_LIMIT,
        "tags_of",
        _error(29, "Rate Limit Exceded - Your IP has made too many requests in a short period"),
    ),
    (
        "auth-4",
        Category.AUTH,
        "log_in",
        _error(4, "Authentication Failed - You do not have permissions to access the service", 403),
    ),
    (
        "token-14",
        Category.AUTH,
        "log_in",
        _error(14, "Unauthorized Token - This token has not been authorized"),
    ),
    (
        "session-9",
        Category.AUTH,
        "love",
        _error(9, "Invalid session key - Please re-authenticate", 403),
    ),
    (
        "http-502",
        Category.SERVER_ERROR,
        "tags_of",
        _served(answering(reply(502, "<h1>Bad Gateway</h1>"))),
    ),
    (
        "malformed",
        Category.INVALID_DATA,
        "tags_of",
        _served(answering(reply(200, "<lfm status='ok'><toptags>"))),
    ),
    ("closed", Category.NETWORK, "love", _served(closing)),
):
    BOOK.cause(_name, _category, _APP, _function, _setting)
