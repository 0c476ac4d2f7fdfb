"""Where the benchmark's dead letters fail: some 60 ways through a music pipeline's code.

A code path is a task (the pipeline's own frames, outermost first) that meets an error (the
library's frames below it, the exception's class and message, and what caused it). Written as
`file:line function | line of code`; `Traces` renders them as Python 3.11 does.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

SITE = "/usr/local/lib/python3.11/site-packages"
RELEASES = ("2025.9.3", "2025.10.0", "2025.10.1", "2025.11.0")
"""Each moves the lines of the pipeline's own files a little."""

_DIRECT = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"


@dataclass(frozen=True, slots=True)
class Task:
    """A job of the pipeline. `kind` says what its payloads hold."""

    kind: str
    service: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """`message` is a format over the facts of one dead letter; so is that of the cause."""

    error_class: str
    message: str
    frames: tuple[str, ...] = ()
    http_status: int | None = None
    cause: Failure | None = None
    explicit: bool = False  # raise … from


@dataclass(frozen=True, slots=True)
class CodePath:
    task: Task
    failure: Failure


class Traces:
    """The traceback of one code path in one release, ready but for its messages."""

    def __init__(self, path: CodePath, release: str) -> None:
        self._release = release
        self._pieces = self._chain(path.task.frames, path.failure)

    def text(self, message: str, cause_message: str) -> str:
        first, *rest = self._pieces
        if not rest:
            return f"{first}{message}\n"
        return f"{first}{cause_message}\n{rest[0]}{message}\n"

    def _chain(self, frames: Sequence[str], failure: Failure) -> list[str]:
        pieces = []
        link = ""
        if failure.cause is not None:
            # What was caught was raised below the innermost of the task's own frames.
            pieces.append(self._one(frames[-1:], failure.cause))
            link = _DIRECT if failure.explicit else _DURING
        return [*pieces, link + self._one(frames, failure)]

    def _one(self, frames: Sequence[str], failure: Failure) -> str:
        lines = "".join(self._frame(frame) for frame in (*frames, *failure.frames))
        return f"Traceback (most recent call last):\n{lines}{failure.error_class}: "

    def _frame(self, written: str) -> str:
        place, _, code = written.partition(" | ")
        where, function = place.rsplit(" ", 1)
        file, line = where.rsplit(":", 1)
        number = int(line) + self._drift(file)
        path = file if file.startswith("/") else f"{SITE}/{file}"
        return f'  File "{path}", line {number}, in {function}\n    {code}\n{_marks(code)}'

    def _drift(self, file: str) -> int:
        """Libraries stay as they are from release to release."""
        if not file.startswith("/app"):
            return 0
        return zlib.crc32(f"{file} {self._release}".encode()) % 12


def _marks(code: str) -> str:
    """Carets below the part of a line that was running, if it is not the whole."""
    for before in ("return await ", "return ", " = await ", " = ", "await ", "yield "):
        start = code.find(before)
        if start >= 0 and not code.startswith(("raise ", "with ", "for ")):
            at = start + len(before)
            return f"    {' ' * at}{'^' * (len(code.rstrip(':')) - at)}\n"
    return ""


# --- frames of libraries -----------------------------------------------------------------

_URLLIB3 = (
    "urllib3/connectionpool.py:787 urlopen | response = self._make_request(",
    "urllib3/connectionpool.py:534 _make_request | response = conn.getresponse()",
    "urllib3/connection.py:565 getresponse | httplib_response = super().getresponse()",
    "/usr/local/lib/python3.11/http/client.py:1411 getresponse | response.begin()",
    (
        "/usr/local/lib/python3.11/http/client.py:324 begin | "
        "version, status, reason = self._read_status()"
    ),
    "/usr/local/lib/python3.11/ssl.py:1166 read | return self._sslobj.read(len, buffer)",
)
_REQUESTS = (
    "requests/sessions.py:602 get | return self.request('GET', url, **kwargs)",
    "requests/sessions.py:589 request | resp = self.send(prep, **send_kwargs)",
    "requests/sessions.py:703 send | r = adapter.send(request, **kwargs)",
)
_SPOTIPY = (
    "spotipy/client.py:371 track | return self._get(f'tracks/{trid}', market=market)",
    "spotipy/client.py:323 _get | return self._internal_call('GET', url, payload, kwargs)",
)
_SPOTIPY_SEARCH = (
    "spotipy/client.py:589 search | return self._get('search', q=q, limit=limit, type=type)",
    "spotipy/client.py:323 _get | return self._internal_call('GET', url, payload, kwargs)",
)
_SPOTIPY_RAISES = ("spotipy/client.py:291 _internal_call | raise SpotifyException(",)
_RAISE_FOR_STATUS = (
    "spotipy/client.py:271 _internal_call | response.raise_for_status()",
    "requests/models.py:1026 raise_for_status | raise HTTPError(http_error_msg, response=self)",
)
_MUSICBRAINZ = (
    (
        "musicbrainzngs/musicbrainz.py:845 get_recording_by_id | "
        "return _do_mb_query('recording', id, includes, params)"
    ),
    (
        "musicbrainzngs/musicbrainz.py:727 _do_mb_query | "
        "return _mb_request(path, 'GET', auth_required, args=args)"
    ),
    "musicbrainzngs/musicbrainz.py:400 __call__ | return self.fun(*args, **kwargs)",
    "musicbrainzngs/musicbrainz.py:689 _mb_request | resp = _safe_read(opener, req, body)",
)
_PYLAST = (
    "pylast/__init__.py:1842 get_top_tags | doc = self._request(self.ws_prefix + '.getTopTags')",
    (
        "pylast/__init__.py:1150 _request | return _Request(self.network, method_name, params)"
        ".execute(cacheable)"
    ),
    "pylast/__init__.py:986 execute | response = self._download_response()",
)
_HTTPX = (
    "httpx/_client.py:1767 get | return await self.request(",
    "httpx/_client.py:1540 request | return await self.send(request, auth=auth)",
    "httpx/_client.py:1629 send | response = await self._send_handling_auth(",
    (
        "httpx/_client.py:1730 _send_single_request | "
        "response = await transport.handle_async_request(request)"
    ),
    "httpx/_transports/default.py:393 handle_async_request | with map_httpcore_exceptions():",
    "/usr/local/lib/python3.11/contextlib.py:158 __exit__ | self.gen.throw(typ, value, traceback)",
    "httpx/_transports/default.py:118 map_httpcore_exceptions | raise mapped_exc(message) from exc",
)
_AIOHTTP = (
    "aiohttp/client.py:1488 __aenter__ | self._resp: _RetType = await self._coro",
    "aiohttp/client.py:770 _request | resp = await handler(req)",
    "aiohttp/connector.py:1325 _create_direct_connection | raise last_exc",
    (
        "aiohttp/connector.py:1204 _wrap_create_connection | "
        "raise client_error(req.connection_key, exc) from exc"
    ),
)
_SQLALCHEMY = (
    "sqlalchemy/orm/session.py:4352 flush | self._flush(objects)",
    "sqlalchemy/orm/unitofwork.py:466 execute | rec.execute(self)",
    "sqlalchemy/orm/persistence.py:93 save_obj | _emit_insert_statements(",
    "sqlalchemy/engine/base.py:1419 execute | return meth(",
    "sqlalchemy/engine/base.py:1967 _exec_single_context | self._handle_dbapi_exception(",
    (
        "sqlalchemy/engine/base.py:2363 _handle_dbapi_exception | "
        "raise sqlalchemy_exception.with_traceback(exc_info[2]) from e"
    ),
    "sqlalchemy/engine/default.py:951 do_execute | cursor.execute(statement, parameters)",
    "psycopg/cursor.py:97 execute | raise ex.with_traceback(None)",
)
_REDIS = (
    "redis/commands/core.py:1822 get | return self.execute_command('GET', name, keys=[name])",
    (
        "redis/client.py:657 _execute_command | "
        "conn = self.connection or pool.get_connection(command_name)"
    ),
    "redis/connection.py:357 connect | sock = self.retry.call_with_retry(",
    "redis/connection.py:372 connect | raise ConnectionError(self._error_message(e))",
)
_JSON = ("requests/models.py:978 json | raise RequestsJSONDecodeError(e.msg, e.doc, e.pos)",)
_LIBROSA = (
    "librosa/core/audio.py:186 load | y, sr_native = __audioread_load(path, offset, duration)",
    (
        "librosa/core/audio.py:254 __audioread_load | "
        "reader = audioread.audio_open(path, backends=backends)"
    ),
    "audioread/__init__.py:132 audio_open | raise NoBackendError()",
)
_SOUNDFILE = (
    "soundfile.py:690 __init__ | self._file = self._open(file, mode_int, closefd)",
    (
        "soundfile.py:1265 _open | raise LibsndfileError(err, prefix='Error opening {0!r}: '"
        ".format(self.name))"
    ),
)
_PYDANTIC = (
    (
        "pydantic/main.py:253 __init__ | "
        "validated_self = self.__pydantic_validator__.validate_python(data, self_instance=self)"
    ),
)
_TWISTED = (
    "twisted/internet/defer.py:1857 _inlineCallbacks | result = context.run(gen.send, result)",
    (
        "scrapy/core/downloader/middleware.py:68 process_request | "
        "return (yield download_func(request, spider))"
    ),
)
_SUBPROCESS = (
    (
        "/usr/local/lib/python3.11/subprocess.py:550 run | stdout, stderr = process.communicate("
        "input, timeout=timeout)"
    ),
    (
        "/usr/local/lib/python3.11/subprocess.py:1209 communicate | "
        "stdout, stderr = self._communicate(input, endtime, timeout)"
    ),
)

# --- tasks -------------------------------------------------------------------------------

_WORKER = (
    "/app/pipeline/worker.py:71 run | self._handle(job)",
    "/app/pipeline/worker.py:118 _handle | result = self._tasks[job.kind](job.item)",
)
_ASYNC_WORKER = (
    "/app/pipeline/async_worker.py:52 _drain | await self._one(job)",
    "/app/pipeline/async_worker.py:88 _one | outcome = await task(job.item, self._session)",
)
_ENRICH = "/app/enrichment"

TASKS = {
    "enrich_track": Task(
        "spotify",
        "api-enrichment-pipeline",
        (
            *_WORKER,
            f"{_ENRICH}/spotify.py:44 enrich_track | track = self._lookup(item['track_id'])",
            f"{_ENRICH}/spotify.py:97 _lookup | return self._client.track(track_id, market='DE')",
        ),
    ),
    "search_track": Task(
        "spotify",
        "api-enrichment-pipeline",
        (
            *_WORKER,
            f"{_ENRICH}/spotify.py:61 search_track | hits = self._search(artist, title)",
            (
                f"{_ENRICH}/spotify.py:132 _search | "
                "return self._client.search(q=query, type='track', limit=5)"
            ),
        ),
    ),
    "audio_features": Task(
        "spotify",
        "feature-sync",
        (
            *_ASYNC_WORKER,
            f"{_ENRICH}/features.py:38 fetch_features | features = await self._fetch(batch)",
            (
                f"{_ENRICH}/features.py:73 _fetch | "
                "response = await self._http.get(FEATURES_URL, params={'ids': ids})"
            ),
        ),
    ),
    "sync_playlist": Task(
        "spotify",
        "playlist-sync",
        (
            *_WORKER,
            "/app/playlists/sync.py:57 sync_playlist | pages = list(self._pages(playlist))",
            "/app/playlists/sync.py:104 _pages | page = self._client.next(page)",
        ),
    ),
    "match_recording": Task(
        "musicbrainz",
        "api-enrichment-pipeline",
        (
            *_WORKER,
            f"{_ENRICH}/musicbrainz.py:52 match_recording | recording = self._by_isrc(isrc)",
            (
                f"{_ENRICH}/musicbrainz.py:88 _by_isrc | "
                "return musicbrainzngs.get_recording_by_id(mbid, includes=INCLUDES)"
            ),
        ),
    ),
    "load_release": Task(
        "musicbrainz",
        "catalogue-import",
        (
            *_WORKER,
            "/app/catalogue/releases.py:31 load_release | release = fetch_release(mbid)",
            (
                "/app/catalogue/musicbrainz.py:67 fetch_release | "
                "data = session.get(url, timeout=TIMEOUT_S)"
            ),
        ),
    ),
    "fetch_tags": Task(
        "lastfm",
        "api-enrichment-pipeline",
        (
            *_WORKER,
            f"{_ENRICH}/lastfm.py:40 fetch_tags | tags = self._top_tags(artist, title)",
            (
                f"{_ENRICH}/lastfm.py:79 _top_tags | "
                "return network.get_track(artist, title).get_top_tags(limit=10)"
            ),
        ),
    ),
    "fetch_listeners": Task(
        "lastfm",
        "popularity",
        (
            *_ASYNC_WORKER,
            (
                "/app/popularity/listeners.py:29 fetch_listeners | "
                "info = await self._info(session, artist)"
            ),
            "/app/popularity/listeners.py:64 _info | async with session.get(url) as response:",
        ),
    ),
    "analyse_audio": Task(
        "audio_analysis",
        "audio-analysis",
        (
            "/app/analysis/pool.py:83 _run | return function(*arguments)",
            "/app/analysis/tempo.py:45 analyse | samples, rate = load(path)",
            "/app/analysis/files.py:28 load | return librosa.load(path, sr=22050, mono=True)",
        ),
    ),
    "transcode": Task(
        "audio_analysis",
        "audio-analysis",
        (
            "/app/analysis/pool.py:83 _run | return function(*arguments)",
            "/app/analysis/transcode.py:52 to_wav | done = _ffmpeg(source, target)",
            (
                "/app/analysis/transcode.py:91 _ffmpeg | "
                "return subprocess.run(command, check=True, timeout=LIMIT_S)"
            ),
        ),
    ),
    "scrape_tracklist": Task(
        "general",
        "mixesdb-spider",
        (
            *_TWISTED,
            "/app/scrapers/spiders/mixesdb.py:88 parse_mix | tracks = list(self._tracks(response))",
            "/app/scrapers/spiders/mixesdb.py:141 _tracks | yield self._item(row, position)",
        ),
    ),
    "store_item": Task(
        "general",
        "item-pipeline",
        (
            *_TWISTED,
            "/app/scrapers/pipelines/database.py:57 process_item | self._store(item)",
            "/app/scrapers/pipelines/database.py:93 _store | session.flush()",
        ),
    ),
}

# --- errors ------------------------------------------------------------------------------


def _http_error(status: int, words: str, url: str) -> Failure:
    return Failure(
        "requests.exceptions.HTTPError",
        f"{status} {words} for url: {url}",
        _RAISE_FOR_STATUS,
        status,
    )


def _spotify(status: int, message: str, words: str) -> Failure:
    url = "https://api.spotify.com/v1/tracks/{track_id}?market=DE"
    return Failure(
        "spotipy.exceptions.SpotifyException",
        f"http status: {status}, code: -1 - {url}:\n {message}, reason: None",
        (*_SPOTIPY, *_SPOTIPY_RAISES),
        status,
        _http_error(status, words, url),
    )


def _read_timeout(host: str, frames: tuple[str, ...] = ()) -> Failure:
    pool = f"HTTPSConnectionPool(host='{host}', port=443)"
    return Failure(
        "requests.exceptions.ReadTimeout",
        f"{pool}: Read timed out. (read timeout={{timeout_s}})",
        (
            *frames,
            *_REQUESTS,
            "requests/adapters.py:713 send | raise ReadTimeout(e, request=request)",
        ),
        cause=Failure(
            "urllib3.exceptions.ReadTimeoutError",
            f"{pool}: Read timed out. (read timeout={{timeout_s}})",
            _URLLIB3,
        ),
    )


def _refused(host: str, path: str, reason: str, frames: tuple[str, ...] = ()) -> Failure:
    return Failure(
        "requests.exceptions.ConnectionError",
        f"HTTPSConnectionPool(host='{host}', port=443): Max retries exceeded with url: {path} "
        f"(Caused by {reason})",
        (
            *frames,
            *_REQUESTS,
            "requests/adapters.py:700 send | raise ConnectionError(e, request=request)",
        ),
    )


def _httpx(name: str, message: str) -> Failure:
    return Failure(
        f"httpx.{name}",
        message,
        _HTTPX,
        cause=Failure(f"httpcore.{name}", message, _HTTPX[3:4]),
        explicit=True,
    )


def _httpx_status(status: int, words: str) -> Failure:
    return Failure(
        "httpx.HTTPStatusError",
        f"{words} '{status}' for url 'https://api.spotify.com/v1/audio-features?ids={{track_id}}'\n"
        f"For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/"
        f"{status}",
        (
            (
                "httpx/_models.py:829 raise_for_status | "
                "raise HTTPStatusError(message, request=request, response=self)"
            ),
        ),
        status,
    )


def _musicbrainz(name: str, message: str, line: str) -> Failure:
    return Failure(f"musicbrainzngs.musicbrainz.{name}", message, (*_MUSICBRAINZ, line))


def _lastfm(message: str) -> Failure:
    raised = "pylast/__init__.py:1002 execute | raise WSError(self.network, status, details)"
    return Failure("pylast.WSError", message, (*_PYLAST, raised))


def _database(name: str, driver: str, message: str) -> Failure:
    insert = (
        "\n[SQL: INSERT INTO tracks (track_id, artist_name, title, duration_ms) VALUES "
        "(%(track_id)s, %(artist_name)s, %(title)s, %(duration_ms)s)]\n"
        "[parameters: {{'track_id': '{track_id}', 'artist_name': '{artist}', "
        "'title': '{title}', 'duration_ms': {duration_ms}}}]\n"
        "(Background on this error at: https://sqlalche.me/e/20/gkpj)"
    )
    return Failure(
        f"sqlalchemy.exc.{name}",
        f"(psycopg.errors.{driver}) {message}{insert}",
        _SQLALCHEMY,
        cause=Failure(f"psycopg.errors.{driver}", message, _SQLALCHEMY[-2:]),
        explicit=True,
    )


def _own(error_class: str, message: str, *frames: str) -> Failure:
    return Failure(error_class, message, frames)


_RESOLVED = 'NameResolutionError("<urllib3.connection.HTTPSConnection object at 0x{hex}>: '
_NO_NAME = "Failed to resolve '{host}' ([Errno -3] Temporary failure in name resolution)\")"
_DEADLOCK = (
    "deadlock detected\nDETAIL:  Process {pid} waits for ShareLock on transaction {number}; "
    "blocked by process {number}."
)
_UNIQUE = (
    'duplicate key value violates unique constraint "tracks_track_id_key"\n'
    "DETAIL:  Key (track_id)=({track_id}) already exists."
)

_WAYS: tuple[tuple[str, Failure], ...] = (
    ("enrich_track", _spotify(429, "Too many requests", "Client Error: Too Many Requests")),
    ("enrich_track", _spotify(404, "Non existing id: '{track_id}'", "Client Error: Not Found")),
    (
        "search_track",
        _refused(
            "api.spotify.com",
            "/v1/search?q={query}&type=track&limit=5",
            "ResponseError('too many 429 error responses')",
            _SPOTIPY_SEARCH,
        ),
    ),
    (
        "match_recording",
        _musicbrainz(
            "NetworkError",
            "caused by: HTTP Error 503: Service Temporarily Unavailable",
            "musicbrainzngs/musicbrainz.py:537 _safe_read | "
            "raise NetworkError('retried %i times' % max_retries, last_exc)",
        ),
    ),
    ("fetch_tags", _lastfm("Rate limit exceeded")),
    ("enrich_track", _read_timeout("api.spotify.com", _SPOTIPY)),
    ("fetch_tags", _lastfm("Track not found")),
    (
        "match_recording",
        _musicbrainz(
            "ResponseError",
            "caused by: HTTP Error 404: Not Found",
            "musicbrainzngs/musicbrainz.py:503 _safe_read | raise ResponseError(cause=exc)",
        ),
    ),
    (
        "scrape_tracklist",
        _own(
            "AttributeError",
            "'NoneType' object has no attribute 'group'",
            "/app/scrapers/parsing.py:74 split_track | artist = LINE.match(text).group('artist')",
        ),
    ),
    (
        "analyse_audio",
        Failure("audioread.exceptions.NoBackendError", "no backend could open '{file}'", _LIBROSA),
    ),
    ("enrich_track", _spotify(401, "The access token expired", "Client Error: Unauthorized")),
    ("audio_features", _httpx_status(429, "Client error")),
    ("load_release", _read_timeout("musicbrainz.org")),
    (
        "search_track",
        Failure(
            "KeyError",
            "'album'",
            ("/app/enrichment/mapping.py:33 to_track | album = hit['album']['name']",),
        ),
    ),
    ("store_item", _database("IntegrityError", "UniqueViolation", _UNIQUE)),
    ("audio_features", _httpx("ReadTimeout", "")),
    (
        "fetch_listeners",
        Failure(
            "aiohttp.client_exceptions.ClientConnectorError",
            "Cannot connect to host ws.audioscrobbler.com:443 ssl:default "
            "[Connect call failed ('{ip}', 443)]",
            _AIOHTTP,
        ),
    ),
    ("enrich_track", _spotify(502, "Bad gateway.", "Server Error: Bad Gateway")),
    (
        "analyse_audio",
        Failure(
            "soundfile.LibsndfileError",
            "Error opening '{file}': File contains data in an unknown format.",
            _SOUNDFILE,
        ),
    ),
    (
        "transcode",
        Failure(
            "subprocess.TimeoutExpired",
            "Command '['ffmpeg', '-y', '-i', '{file}', '-ar', '22050', '{file}.wav']' timed out "
            "after {timeout_s} seconds",
            _SUBPROCESS,
        ),
    ),
    ("enrich_track", _spotify(500, "Server error.", "Server Error: Internal Server Error")),
    (
        "sync_playlist",
        _spotify(403, "You cannot see playlist {playlist_id}", "Client Error: Forbidden"),
    ),
    (
        "match_recording",
        _musicbrainz(
            "NetworkError",
            "caused by: <urlopen error [Errno 104] Connection reset by peer>",
            "musicbrainzngs/musicbrainz.py:534 _safe_read | raise NetworkError(cause=exc)",
        ),
    ),
    (
        "scrape_tracklist",
        _own(
            "ValueError",
            "time data '{clock}' does not match format '%H:%M:%S'",
            "/app/scrapers/parsing.py:118 to_seconds | moment = dt.datetime.strptime(text, FORMAT)",
        ),
    ),
    ("fetch_tags", _read_timeout("ws.audioscrobbler.com", _PYLAST)),
    (
        "search_track",
        _own(
            "enrichment.errors.NoMatch",
            "no match for '{artist} - {title}' above 0.85, best was 0.{percent}",
            "/app/enrichment/matching.py:66 best_of | raise NoMatch(query, best)",
        ),
    ),
    ("store_item", _database("OperationalError", "DeadlockDetected", _DEADLOCK)),
    (
        "load_release",
        _http_error(
            503,
            "Server Error: Service Unavailable",
            "https://musicbrainz.org/ws/2/release/{mbid}?inc=recordings&fmt=json",
        ),
    ),
    ("audio_features", _httpx("ConnectTimeout", "")),
    ("fetch_tags", _lastfm("Invalid API key - You must be granted a valid key by last.fm")),
    (
        "transcode",
        Failure(
            "subprocess.CalledProcessError",
            "Command '['ffmpeg', '-y', '-i', '{file}', '-ar', '22050', '{file}.wav']' returned "
            "non-zero exit status 1.",
            _SUBPROCESS[:1],
        ),
    ),
    (
        "enrich_track",
        _refused(
            "api.spotify.com",
            "/v1/tracks/{track_id}",
            _RESOLVED + _NO_NAME.format(host="api.spotify.com"),
            _SPOTIPY,
        ),
    ),
    (
        "match_recording",
        _own(
            "enrichment.errors.AmbiguousRecording",
            "{count} recordings for ISRC {isrc}: {mbid}, {other_mbid}",
            "/app/enrichment/matching.py:102 only_one | raise AmbiguousRecording(isrc, found)",
        ),
    ),
    (
        "fetch_listeners",
        Failure(
            "TimeoutError",
            "",
            (
                *_AIOHTTP[:2],
                "aiohttp/helpers.py:735 __exit__ | raise asyncio.TimeoutError from exc_val",
            ),
        ),
    ),
    (
        "store_item",
        Failure(
            "pydantic_core._pydantic_core.ValidationError",
            "1 validation error for Track\nduration_ms\n  Input should be greater than 0 "
            "[type=greater_than, input_value=-{duration_ms}, input_type=int]\n    For further "
            "information visit https://errors.pydantic.dev/2.12/v/greater_than",
            _PYDANTIC,
        ),
    ),
    (
        "scrape_tracklist",
        _own(
            "twisted.internet.error.TimeoutError",
            "User timeout caused connection failure: Getting {url} took longer than 180 seconds..",
            "scrapy/core/downloader/handlers/http11.py:388 _cb_timeout | "
            "raise TimeoutError(f'Getting {url} took longer than {timeout} seconds.')",
        ),
    ),
    (
        "sync_playlist",
        Failure(
            "requests.exceptions.JSONDecodeError",
            "Expecting value: line 1 column 1 (char 0)",
            _JSON,
            cause=Failure(
                "json.decoder.JSONDecodeError",
                "Expecting value: line 1 column 1 (char 0)",
                (
                    (
                        "/usr/local/lib/python3.11/json/decoder.py:355 raw_decode | "
                        "raise JSONDecodeError('Expecting value', s, err.value) from None"
                    ),
                ),
            ),
        ),
    ),
    (
        "enrich_track",
        Failure(
            "redis.exceptions.ConnectionError",
            "Error 111 connecting to redis:6379. Connection refused.",
            _REDIS,
        ),
    ),
    ("audio_features", _httpx_status(401, "Client error")),
    (
        "load_release",
        _own(
            "KeyError",
            "'release-list'",
            "/app/catalogue/releases.py:58 tracks_of | media = data['release-list'][0]['media']",
        ),
    ),
    (
        "fetch_tags",
        _lastfm("Service Offline - This service is temporarily offline. Try again later."),
    ),
    (
        "analyse_audio",
        _own(
            "FileNotFoundError",
            "[Errno 2] No such file or directory: '{file}'",
            "/app/analysis/files.py:44 checksum | stream = path.open('rb')",
        ),
    ),
    (
        "store_item",
        _database(
            "OperationalError", "ConnectionException", "server closed the connection unexpectedly"
        ),
    ),
    ("scrape_tracklist", _http_error(403, "Client Error: Forbidden", "{url}")),
    (
        "search_track",
        _own(
            "TypeError",
            "unsupported operand type(s) for -: 'NoneType' and 'int'",
            "/app/enrichment/matching.py:41 score | gap = abs(hit['duration_ms'] - wanted_ms)",
        ),
    ),
    (
        "match_recording",
        _refused(
            "musicbrainz.org",
            "/ws/2/recording/{mbid}?fmt=json",
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate "
            "verify failed: certificate has expired (_ssl.c:1006)'))",
            _MUSICBRAINZ[:3],
        ),
    ),
    (
        "analyse_audio",
        _own(
            "MemoryError",
            "Unable to allocate {count}.{percent} MiB for an array "
            "with shape ({number},) and data type float32",
            "numpy/core/numeric.py:329 full | a = empty(shape, dtype, order)",
        ),
    ),
    ("audio_features", _httpx_status(500, "Server error")),
    (
        "fetch_listeners",
        _own(
            "json.decoder.JSONDecodeError",
            "Unterminated string starting at: line 1 column {count} (char {number})",
            "/usr/local/lib/python3.11/json/decoder.py:353 raw_decode | "
            "obj, end = self.scan_once(s, idx)",
        ),
    ),
    (
        "sync_playlist",
        _own(
            "playlists.errors.SnapshotChanged",
            "playlist {playlist_id} changed while it was read: snapshot {hex}",
            "/app/playlists/sync.py:131 _check | raise SnapshotChanged(playlist.id, snapshot)",
        ),
    ),
    (
        "load_release",
        _own(
            "xml.etree.ElementTree.ParseError",
            "not well-formed (invalid token): line {count}, column {percent}",
            "/app/catalogue/musicbrainz.py:84 _parsed | root = ElementTree.fromstring(text)",
        ),
    ),
    (
        "scrape_tracklist",
        _own(
            "UnicodeDecodeError",
            "'utf-8' codec can't decode byte 0xe9 in position {number}: invalid continuation byte",
            "/app/scrapers/parsing.py:37 text_of | return body.decode('utf-8')",
        ),
    ),
    (
        "transcode",
        _own(
            "OSError",
            "[Errno 28] No space left on device: '{file}.wav'",
            "/app/analysis/transcode.py:113 _copy | shutil.copyfileobj(source, target)",
        ),
    ),
    ("store_item", _database("DataError", "NumericValueOutOfRange", "integer out of range")),
    (
        "enrich_track",
        _own(
            "enrichment.errors.MarketUnavailable",
            "track {track_id} ({artist} - {title}) is not available in DE",
            "/app/enrichment/spotify.py:118 _playable | raise MarketUnavailable(track)",
        ),
    ),
    (
        "analyse_audio",
        _own(
            "analysis.errors.TooShort",
            "'{file}' has {percent} ms of sound, expected at least 10000",
            "/app/analysis/tempo.py:77 _checked | raise TooShort(path, duration_ms)",
        ),
    ),
    ("fetch_tags", _lastfm("The service is temporarily unavailable, please try again.")),
    (
        "match_recording",
        _musicbrainz(
            "AuthenticationError",
            "caused by: HTTP Error 401: Unauthorized",
            "musicbrainzngs/musicbrainz.py:508 _safe_read | raise AuthenticationError(cause=exc)",
        ),
    ),
    ("sync_playlist", _read_timeout("api.spotify.com")),
    (
        "scrape_tracklist",
        _own(
            "RecursionError",
            "maximum recursion depth exceeded in comparison",
            *("/app/scrapers/parsing.py:152 _flatten | yield from _flatten(child)",) * 12,
        ),
    ),
)

CODE_PATHS = tuple(CodePath(TASKS[task], failure) for task, failure in _WAYS)
"""From the most to the least frequent."""
