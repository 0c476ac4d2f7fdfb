"""What a worker does with a replayed dead letter: ask the provider that failed once more.

    dlq worker scrapers.replay:handlers

A handler asks once; how often to try is the worker's business. What the provider answers is
appended to the JSON Lines file ENRICHMENT_OUTPUT (default `enriched.jsonl`) and on disk
before the handler returns: only then may the replay count as done. A message may be handled
twice; of two lines with one `message_id` the later holds.

All handlers of a process share one event loop and one connection pool: MusicBrainz' one
request a second holds for the address, however many threads the worker has.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from dlq.message import DLQMessage
from scrapers.providers import (
    PROVIDER_NAMES,
    Provider,
    ProviderConfig,
    ProviderError,
    Track,
    build_providers,
)

OUTPUT_VARIABLE = "ENRICHMENT_OUTPUT"
DEFAULT_OUTPUT = "enriched.jsonl"


class ReplayEnricher:
    """Handles dead letters of all providers; made cheaply, connected at its first message."""

    def __init__(self, get: Callable[[str], str | None] = os.environ.get) -> None:
        self._get = get
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._providers: dict[str, Provider] = {}
        self._http: httpx2.AsyncClient | None = None

    def __call__(self, message: DLQMessage) -> None:
        """Ask the provider named by `error_type` for the payload's track; store the answer.

        Raises:
            ProviderError, httpx2.TransportError: as `Provider.enrich`.
            ValueError: the payload names no track, or a setting is not usable.
            OSError: the answer could not be stored.
        """
        loop = self._running_loop()
        found = asyncio.run_coroutine_threadsafe(self._enrich(message), loop).result()
        line = {
            "message_id": message.message_id,
            "track_id": message.payload.get("track_id"),
            "provider": message.error_type,
            "enrichment": found,
        }
        with self._lock:
            append_durably(Path(self._get(OUTPUT_VARIABLE) or DEFAULT_OUTPUT), line)

    async def _enrich(self, message: DLQMessage) -> dict[str, Any]:
        if self._http is None:
            config = ProviderConfig.read(self._get)
            self._http = config.http_client()
            self._providers = {p.name: p for p in build_providers(config, self._http)}
        provider = self._providers.get(message.error_type)
        if provider is None:
            raise ProviderError(
                f"Missing credentials: {message.error_type} is not configured in this worker; "
                "its log names the settings."
            )
        return await provider.enrich(Track.from_item(message.payload))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_run, args=(self._loop,), name="replay-enricher", daemon=True
                ).start()
            return self._loop

    def close(self) -> None:
        """Close the connections and end the loop; the next message starts afresh."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._http is not None:
            asyncio.run_coroutine_threadsafe(self._http.aclose(), loop).result()
            self._http = None
        loop.call_soon_threadsafe(loop.stop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def append_durably(path: Path, line: Mapping[str, Any]) -> None:
    """Add one JSON line; on disk when it returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


handlers = dict.fromkeys(PROVIDER_NAMES, ReplayEnricher())
"""For `RetryWorker` and `dlq worker`: error_type to handler."""
