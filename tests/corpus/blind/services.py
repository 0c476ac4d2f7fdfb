"""Dead letters of services that are not ours: Node, Go, Java, PHP, .NET, Ruby, Rust; their logs.

In the two forms that the manager reads, and once cut in the middle.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dlq.classify import Category
from dlq.message import WireMessage
from tests.corpus.book import Book, Writing
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("services")

Words = Callable[[Variation], str]


def _told(
    error_type: str,
    message: Words,
    *,
    trace: Words | None = None,
    error_class: str | None = None,
) -> Writing:
    """Our form, as any program can write it."""

    def writing(_: World, v: Variation) -> WireMessage:
        document: dict[str, Any] = {
            "error_type": error_type,
            "error_message": message(v),
            "stack_trace": trace(v) if trace else None,
            "error_class": error_class,
            "source_service": "enricher",
            "payload": {"id": v.id, "title": v.title, "artist": v.artist},
        }
        return WireMessage(json.dumps(document).encode(), f"{error_type}.enrichment.failed")

    return writing


def _legacy(error_type: str, message: Words) -> Writing:
    """The older producers' form."""

    def writing(_: World, v: Variation) -> WireMessage:
        document = {
            "item": {"id": v.id, "title": v.title, "artist": v.artist},
            "error_context": {"error_message": message(v), "retry_count": v.index},
        }
        return WireMessage(json.dumps(document).encode(), f"{error_type}.enrichment.failed")

    return writing


def _cut(_: World, v: Variation) -> WireMessage:
    document = json.dumps({"payload": {"id": v.id}, "error_type": "spotify"})
    return WireMessage(document[: -3 - v.index].encode(), "spotify.enrichment.failed")


for _name, _category, _writing in (
    (
        "node-resolve",
        Category.NETWORK,
        _told(
            "spotify",
            lambda v: f"getaddrinfo EAI_AGAIN api{v.index}.songs.example",
            trace=lambda v: (
                f"Error: getaddrinfo EAI_AGAIN api{v.index}.songs.example\n"
                "    at GetAddrInfoReqWrap.onlookupall [as oncomplete] (node:dns:118:26)\n"
                f"    at async lookupTrack (/srv/enricher/src/spotify.js:{40 + v.index}:11)"
            ),
            error_class="Error",
        ),
    ),
    (
        "node-undefined",
        Category.BUG,
        _told(
            "spotify",
            lambda v: "Cannot read properties of undefined (reading 'isrc')",
            trace=lambda v: (
                "TypeError: Cannot read properties of undefined (reading 'isrc')\n"
                f"    at isrcOf (/srv/enricher/src/track.js:{12 + v.index}:31)\n"
                f"    at async enrich (/srv/enricher/src/main.js:{90 + v.index}:5)"
            ),
            error_class="TypeError",
        ),
    ),
    (
        "node-zod",
        Category.INVALID_DATA,
        _told(
            "spotify",
            lambda v: json.dumps(
                [
                    {
                        "code": "invalid_type",
                        "expected": "string",
                        "received": "number",
                        "path": ["tracks", v.index, "isrc"],
                        "message": "Expected string, received number",
                    }
                ]
            ),
            error_class="ZodError",
        ),
    ),
    (
        "go-deadline",
        Category.TIMEOUT,
        _told(
            "musicbrainz",
            lambda v: (
                f'Get "https://mb.songs.example/ws/2/recording/{v.uuid}": context deadline '
                "exceeded (Client.Timeout exceeded while awaiting headers)"
            ),
        ),
    ),
    (
        "go-panic",
        Category.BUG,
        _told(
            "musicbrainz",
            lambda v: f"panic: runtime error: index out of range [{v.index + 3}] with length 3",
        ),
    ),
    (
        "go-no-rows",
        Category.NOT_FOUND,
        _told("musicbrainz", lambda v: f"artist {v.uuid}: sql: no rows in result set"),
    ),
    (
        "go-eof",
        Category.NETWORK,
        _told(
            "musicbrainz",
            lambda v: f'Post "https://mb{v.index}.songs.example/batch": unexpected EOF',
        ),
    ),
    (
        "java-429",
        Category.RATE_LIMIT,
        _told(
            "deezer",
            lambda v: f'429 Too Many Requests: "{{"retry":{v.wait_s}}}"',
            trace=lambda v: (
                "org.springframework.web.client.HttpClientErrorException$TooManyRequests: "
                f'429 Too Many Requests: "{{"retry":{v.wait_s}}}"\n'
                "\tat org.springframework.web.client.HttpClientErrorException.create"
                "(HttpClientErrorException.java:137)\n"
                f"\tat com.songs.deezer.Tracks.find(Tracks.java:{50 + v.index})"
            ),
            error_class="org.springframework.web.client.HttpClientErrorException$TooManyRequests",
        ),
    ),
    (
        "java-hikari",
        Category.TIMEOUT,
        _told(
            "deezer",
            lambda v: (
                "HikariPool-1 - Connection is not available, request timed out after "
                f"{30_000 + v.index}ms (total=10, active=10, idle=0, waiting={v.index})"
            ),
            error_class="java.sql.SQLTransientConnectionException",
        ),
    ),
    (
        "java-null",
        Category.BUG,
        _told(
            "deezer",
            lambda v: (
                'Cannot invoke "com.songs.Track.isrc()" because the return value of '
                '"com.songs.deezer.Tracks.find(String)" is null'
            ),
            error_class="java.lang.NullPointerException",
        ),
    ),
    (
        "php-duplicate",
        Category.INVALID_DATA,
        _told(
            "discogs",
            lambda v: (
                "SQLSTATE[23000]: Integrity constraint violation: 1062 Duplicate entry "
                f"'{v.id[:12]}' for key 'tracks.isrc'"
            ),
            error_class="PDOException",
        ),
    ),
    (
        "dotnet-refused",
        Category.NETWORK,
        _told(
            "tidal",
            lambda v: (
                "No connection could be made because the target machine actively refused it. "
                f"(10.0.{v.index}.3:{v.port})"
            ),
            error_class="System.Net.Http.HttpRequestException",
        ),
    ),
    (
        "dotnet-cancelled",
        Category.TIMEOUT,
        _told(
            "tidal",
            lambda v: (
                "The request was canceled due to the configured HttpClient.Timeout of "
                f"{10 + v.index} seconds elapsing."
            ),
            error_class="System.Threading.Tasks.TaskCanceledException",
        ),
    ),
    (
        "rust-refused",
        Category.NETWORK,
        _told(
            "acoustid",
            lambda v: (
                f"error sending request for url (http://127.0.{v.index}.1:{v.port}/lookup): error "
                "trying to connect: tcp connect error: Connection refused (os error 111)"
            ),
        ),
    ),
    (
        "rust-unwrap",
        Category.BUG,
        _told(
            "acoustid",
            lambda v: (
                f"thread 'tokio-runtime-worker' panicked at src/lookup.rs:{80 + v.index}:14:\n"
                "called `Option::unwrap()` on a `None` value"
            ),
        ),
    ),
    (
        "ruby-401",
        Category.AUTH,
        _told(
            "genius",
            lambda v: "the server responded with status 401",
            error_class="Faraday::UnauthorizedError",
        ),
    ),
    (
        "legacy-403",
        Category.AUTH,
        _legacy(
            "soundcloud",
            lambda v: (
                f"403 Client Error: Forbidden for url: https://sc.songs.example/tracks/{v.number}"
            ),
        ),
    ),
    (
        "legacy-html",
        Category.INVALID_DATA,
        _legacy(
            "beatport",
            lambda v: (
                f"Attempt to decode JSON with unexpected mimetype: text/html, url='https://"
                f"bp.songs.example/catalog/{v.number}'"
            ),
        ),
    ),
    (
        "log-nginx",
        Category.TIMEOUT,
        _told(
            "general",
            lambda v: (
                f"2026/11/0{1 + v.index} 09:11:02 [error] 31#31: *{v.number} upstream timed out "
                "(110: Connection timed out) while reading response header from upstream, client: "
                f"10.0.0.{v.index}, server: api, request: "
                f'"GET /features/{v.id} HTTP/1.1", upstream: "http://10.0.1.2:8080/"'
            ),
        ),
    ),
    (
        "log-postgres",
        Category.RESOURCE,
        _told(
            "general",
            lambda v: (
                f"2026-11-0{1 + v.index} 09:11:02.417 UTC [{v.number}] ERROR:  could not extend "
                f'file "base/16384/{v.number}": No space left on device\n'
                "HINT:  Check free disk space."
            ),
        ),
    ),
    (
        "log-json",
        Category.AUTH,
        _told(
            "catalog",
            lambda v: json.dumps(
                {
                    "level": "error",
                    "ts": 1_762_161_062.4 + v.number,
                    "logger": "enricher",
                    "msg": "lookup failed",
                    "track": v.id,
                    "error": "rpc error: code = PermissionDenied desc = caller lacks catalog.read",
                }
            ),
        ),
    ),
    (
        "log-logfmt",
        Category.RESOURCE,
        _told(
            "audio_analysis",
            lambda v: (
                f"level=error ts=2026-11-03T09:11:0{v.index}Z caller=main.go:121 "
                f'msg="analysis failed" track={v.id} err="open /scratch/{v.id}.wav: '
                'too many open files"'
            ),
        ),
    ),
    (
        "log-segfault",
        Category.BUG,
        _told(
            "audio_analysis",
            lambda v: (
                f"Nov  3 09:11:0{v.index} worker-{v.index} kernel: analyser[{v.number}]: segfault "
                f"at 0 ip 00007f{v.digest[:10]} sp 00007f{v.digest[10:20]} error 4 in libdsp.so"
            ),
        ),
    ),
    (
        "log-cgroup",
        Category.RESOURCE,
        _told(
            "audio_analysis",
            lambda v: (
                f"Memory cgroup out of memory: Killed process {v.number} (analyser) "
                f"total-vm:{v.number}kB, anon-rss:{v.port}kB"
            ),
        ),
    ),
    (
        "log-evicted",
        Category.RESOURCE,
        _told(
            "audio_analysis",
            lambda v: (
                f"pod analyser-{v.id[:5].lower()} evicted: The node was low on resource: "
                f"ephemeral-storage. Container analyser was using {v.number}Ki"
            ),
        ),
    ),
    (
        "ffmpeg-track",
        Category.INVALID_DATA,
        _told(
            "audio_analysis",
            lambda v: (
                f"[mov,mp4,m4a,3gp,3g2,mj2 @ 0x55{v.digest[:10]}] Format mov,mp4,m4a,3gp,3g2,mj2 "
                "detected only with low score of 1, misdetection possible!\n"
                f"/in/{v.id}.m4a: Invalid data found when processing input"
            ),
        ),
    ),
    (
        "celery-lost",
        Category.RESOURCE,
        _told(
            "audio_analysis",
            lambda v: (
                f"Task enrich.features[{v.uuid}] raised unexpected: WorkerLostError('Worker exited "
                f"prematurely: signal 9 (SIGKILL) Job: {v.index}.')"
            ),
        ),
    ),
    (
        "problem-json",
        Category.INVALID_DATA,
        _told(
            "catalog",
            lambda v: json.dumps(
                {
                    "type": "https://songs.example/problems/out-of-range",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": f"bpm {v.number} is not between 20 and 400",
                }
            ),
        ),
    ),
    (
        "graphql-variable",
        Category.INVALID_DATA,
        _told(
            "genius",
            lambda v: (
                'Variable "$id" got invalid value "'
                f'{v.id}"; Int cannot represent non-integer value: "{v.id}"'
            ),
        ),
    ),
    (
        "graphql-cost",
        Category.RATE_LIMIT,
        _told(
            "beatport",
            lambda v: (
                f"Query cost {1000 + v.number} exceeds the {v.pick('50', '60', '75', '90')} points "
                "left in this minute's bucket"
            ),
        ),
    ),
    (
        "german-unique",
        Category.INVALID_DATA,
        _told(
            "general",
            lambda v: (
                "FEHLER:  doppelter Schlüsselwert verletzt Unique-Constraint „tracks_isrc_key“\n"
                f"DETAIL:  Schlüssel »(isrc)=({v.id[:12]})« existiert bereits."
            ),
        ),
    ),
    (
        "german-refused",
        Category.NETWORK,
        _told(
            "general",
            lambda v: f"analyser-{v.index}.songs.example:{v.port}: Verbindungsaufbau abgelehnt",
        ),
    ),
    (
        "french-password",
        Category.AUTH,
        _told(
            "general",
            lambda v: (
                "FATAL:  authentification par mot de passe échouée pour l'utilisateur "
                f"« {v.pick('songs', 'radio', 'charts', 'admin')} »"
            ),
        ),
    ),
    (
        "spanish-disk",
        Category.RESOURCE,
        _told(
            "audio_analysis",
            lambda v: f"/scratch/{v.id}.wav: No queda espacio en el dispositivo",
        ),
    ),
    (
        "outcome",
        Category.UNKNOWN,
        _told("audio_analysis", lambda v: f"job {v.uuid} came back with outcome {v.index + 4}"),
    ),
    ("cut-in-the-middle", Category.MALFORMED, _cut),
):
    BOOK.letter(_name, _category, _writing)
