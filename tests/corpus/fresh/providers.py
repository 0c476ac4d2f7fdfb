"""spotipy, musicbrainzngs, pylast and botocore: other calls, statuses and words."""

from __future__ import annotations

from typing import Any

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import answering, reply, resetting, silent

BOOK = Book("providers")

_SPOTIPY = App(
    "providers/spotify_library.py",
    """
    import spotipy
    from spotipy.cache_handler import MemoryCacheHandler
    from spotipy.oauth2 import SpotifyClientCredentials


    def client(base, timeout=1.0):
        made = spotipy.Spotify(auth="BQ", requests_timeout=timeout, retries=0, status_retries=0)
        made.prefix = f"{base}/v1/"
        return made


    def search(base, artist, title):
        return client(base).search(f"artist:{artist} track:{title}", type="track")["tracks"]


    def saved(base, track_id):
        return client(base).current_user_saved_tracks_contains([track_id])


    def show(base, show_id, timeout=1.0):
        return client(base, timeout).show(show_id)


    def sign_in(base, client_id, secret):
        manager = SpotifyClientCredentials(client_id, secret, cache_handler=MemoryCacheHandler())
        manager.OAUTH_TOKEN_URL = f"{base}/api/token"
        return manager.get_access_token(as_dict=False)
    """,
)
_MUSICBRAINZ = App(
    "providers/musicbrainz_labels.py",
    """
    import musicbrainzngs
    from musicbrainzngs import musicbrainz as client

    client.set_useragent("songs", "2.1", "ops@songs.example")
    client.set_rate_limit(False)
    client._safe_read.__defaults__ = (None, 1, 0.0)


    def label(host, mbid):
        client.set_hostname(host)
        return musicbrainzngs.get_label_by_id(mbid)["label"]["name"]


    def disc(host, disc_id):
        client.set_hostname(host)
        return musicbrainzngs.get_releases_by_discid(disc_id)


    def works(host, fields):
        client.set_hostname(host)
        return musicbrainzngs.search_works(**fields)
    """,
)
_LASTFM = App(
    "providers/lastfm_users.py",
    """
    import pylast


    def network(address, context):
        pylast.SSL_CONTEXT = context
        made = pylast.LastFMNetwork(api_key="k" * 32, api_secret="s" * 32, session_key="x")
        made.ws_server = ("{}:{}".format(*address), "/2.0/")
        return made


    def love(address, context, artist, title):
        network(address, context).get_track(artist, title).love()


    def top_albums(address, context, user):
        return network(address, context).get_user(user).get_top_albums()
    """,
)
_AWS = App(
    "providers/archive.py",
    """
    import functools

    import botocore.session
    from botocore.config import Config


    @functools.cache
    def session():
        made = botocore.session.Session()
        made.set_credentials("AKIDEXAMPLE", "secret")
        return made


    def client(service, base, timeout=1.0):
        config = Config(
            retries={"max_attempts": 0}, read_timeout=timeout, connect_timeout=1,
            s3={"addressing_style": "path"},
        )
        return session().create_client(
            service, region_name="eu-north-1", endpoint_url=base, config=config
        )


    def archive(base, key, body):
        return client("s3", base).put_object(Bucket="archive", Key=key, Body=body)


    def remember(base, key):
        return client("dynamodb", base).update_item(TableName="plays", Key={"id": {"S": key}})


    def announce(base, text, timeout):
        topic = "arn:aws:sns:eu-north-1:1:new"
        return client("sns", base, timeout).publish(TopicArn=topic, Message=text)
    """,
)


def _spotify(status: int, message: str, **more: Any) -> bytes:
    return reply(status, {"error": {"status": status, "message": message, **more}})


def _lastfm(code: int, message: str, status: int = 200) -> bytes:
    told = f'<lfm status="failed"><error code="{code}">{message}</error></lfm>'
    return reply(status, f"<?xml version='1.0'?>{told}", "text/xml")


def _love(answer: bytes) -> Setting:
    return lambda w, v: (w.tls(answering(answer)), w.authority.client(), v.artist, v.title)


def _albums(answer: bytes) -> Setting:
    return lambda w, v: (w.tls(answering(answer)), w.authority.client(), f"user{v.number}")


def _s3(status: int, code: str, message: str) -> Setting:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return lambda w, v: (
        w.http(reply(status, body, "application/xml")),
        f"{v.uuid}.flac",
        v.digest.encode(),
    )


def _dynamo(status: int, code: str, message: str) -> Setting:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    body = {"__type": kind, "message": message}
    return lambda w, v: (w.http(reply(status, body, "application/x-amz-json-1.0")), v.id)


_XML = "<?xml version='1.0'?><error><text>{}</text></error>"

for _name, _category, _app, _function, _setting, _error_type in (
    (
        "search-429",
        Category.RATE_LIMIT,
        _SPOTIPY,
        "search",
        lambda w, v: (w.http(_spotify(429, "Too many requests")), v.artist, v.title),
        "spotify",
    ),
    (
        "search-400",
        Category.INVALID_DATA,
        _SPOTIPY,
        "search",
        lambda w, v: (w.http(_spotify(400, "Query exceeds maximum length")), v.artist, v.title),
        "spotify",
    ),
    (
        "saved-403",
        Category.AUTH,
        _SPOTIPY,
        "saved",
        lambda w, v: (w.http(_spotify(403, "Insufficient client scope")), v.id),
        "spotify",
    ),
    (
        "saved-premium",
        Category.AUTH,
        _SPOTIPY,
        "saved",
        lambda w, v: (
            w.http(_spotify(403, "Player command failed", reason="PREMIUM_REQUIRED")),
            v.id,
        ),
        "spotify",
    ),
    (
        "show-502",
        Category.SERVER_ERROR,
        _SPOTIPY,
        "show",
        lambda w, v: (w.http(_spotify(502, "Error while loading resource")), v.id),
        "spotify",
    ),
    (
        "show-silent",
        Category.TIMEOUT,
        _SPOTIPY,
        "show",
        lambda w, v: (w.url(silent), v.id, v.seconds),
        "spotify",
    ),
    (
        "sign-in-unknown",
        Category.AUTH,
        _SPOTIPY,
        "sign_in",
        lambda w, v: (
            w.http(
                reply(400, {"error": "invalid_client", "error_description": "Failed to get client"})
            ),
            v.digest[:32],
            v.uuid,
        ),
        "spotify",
    ),
    (
        "sign-in-nothing",
        Category.AUTH,
        _SPOTIPY,
        "sign_in",
        lambda w, v: ("http://127.0.0.1:9", None, v.uuid),
        "spotify",
    ),
    (
        "label-502",
        Category.SERVER_ERROR,
        _MUSICBRAINZ,
        "label",
        lambda w, v: (w.http(reply(502, "<h1>502 Bad Gateway</h1>"))[7:], v.uuid),
        "musicbrainz",
    ),
    (
        "label-reset",
        Category.NETWORK,
        _MUSICBRAINZ,
        "label",
        lambda w, v: (w.url(resetting)[7:], v.uuid),
        "musicbrainz",
    ),
    (
        "disc-404",
        Category.NOT_FOUND,
        _MUSICBRAINZ,
        "disc",
        lambda w, v: (
            w.http(reply(404, _XML.format("Not Found"), "application/xml"))[7:],
            f"{v.id}.{v.index}xyz-",
        ),
        "musicbrainz",
    ),
    (
        "works-400",
        Category.INVALID_DATA,
        _MUSICBRAINZ,
        "works",
        lambda w, v: (
            w.http(reply(400, _XML.format("Unable to parse search query"), "application/xml"))[7:],
            {"query": f"{v.title}["},
        ),
        "musicbrainz",
    ),
    (
        "works-field",
        Category.BUG,
        _MUSICBRAINZ,
        "works",
        lambda w, v: ("127.0.0.1:9", {v.pick("tempo", "mood", "bpm", "colour"): v.title}),
        "musicbrainz",
    ),
    ("love-9", Category.AUTH, _LASTFM, "love", _love(_lastfm(9, "Invalid session key")), "lastfm"),
    (
        "love-29",
        Category.RATE_LIMIT,
        _LASTFM,
        "love",
        _love(_lastfm(29, "Rate Limit Exceeded", 429)),
        "lastfm",
    ),
    (
        "love-16",
        Category.SERVER_ERROR,
        _LASTFM,
        "love",
        _love(_lastfm(16, "There was a temporary error processing your request", 503)),
        "lastfm",
    ),
    (
        "albums-6",
        Category.NOT_FOUND,
        _LASTFM,
        "top_albums",
        _albums(_lastfm(6, "User not found", 404)),
        "lastfm",
    ),
    (
        "albums-17",
        Category.AUTH,
        _LASTFM,
        "top_albums",
        _albums(_lastfm(17, "Login: User required to be logged in", 403)),
        "lastfm",
    ),
    (
        "albums-cut-xml",
        Category.INVALID_DATA,
        _LASTFM,
        "top_albums",
        _albums(reply(200, "<lfm status='ok'><topalbums><album>", "text/xml")),
        "lastfm",
    ),
    (
        "archive-key",
        Category.AUTH,
        _AWS,
        "archive",
        _s3(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist."),
        "general",
    ),
    (
        "archive-500",
        Category.SERVER_ERROR,
        _AWS,
        "archive",
        _s3(500, "InternalError", "We encountered an internal error. Please try again."),
        "general",
    ),
    (
        "archive-503",
        Category.SERVER_ERROR,
        _AWS,
        "archive",
        _s3(503, "ServiceUnavailable", "Service is unable to handle request."),
        "general",
    ),
    (
        "archive-digest",
        Category.INVALID_DATA,
        _AWS,
        "archive",
        _s3(400, "BadDigest", "The Content-MD5 you specified did not match what we received."),
        "general",
    ),
    (
        "archive-refused",
        Category.NETWORK,
        _AWS,
        "archive",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), f"{v.uuid}.flac", b"x"),
        "general",
    ),
    (
        "remember-throughput",
        Category.RATE_LIMIT,
        _AWS,
        "remember",
        _dynamo(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        ),
        "general",
    ),
    (
        "remember-no-table",
        Category.NOT_FOUND,
        _AWS,
        "remember",
        _dynamo(400, "ResourceNotFoundException", "Requested resource not found"),
        "general",
    ),
    (
        "remember-condition",
        Category.INVALID_DATA,
        _AWS,
        "remember",
        _dynamo(400, "ConditionalCheckFailedException", "The conditional request failed"),
        "general",
    ),
    (
        "announce-silent",
        Category.TIMEOUT,
        _AWS,
        "announce",
        lambda w, v: (w.url(silent), v.title, v.seconds),
        "general",
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting, error_type=_error_type)
