"""The analysis of audio: what is read, computed and kept; sockets, TLS, the machine."""

from __future__ import annotations

import json

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import closing, closing_at_once, silent
from tests.corpus.variation import Variation
from tests.corpus.world import World

BOOK = Book("analysis", error_type="audio_analysis")

_MODELS = App(
    "analysis/models.py",
    """
    import datetime
    import json
    from typing import Annotated, Literal

    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, TypeAdapter


    def even(value):
        if value % 2:
            raise ValueError("a bar has an even number of beats here")
        return value


    class Rhythm(BaseModel):
        kind: Literal["rhythm"]
        beats: Annotated[int, AfterValidator(even)]


    class Tonal(BaseModel):
        model_config = ConfigDict(extra="forbid")
        kind: Literal["tonal"]
        key: str


    class Preview(BaseModel):
        url: HttpUrl
        until: datetime.datetime


    FEATURE = TypeAdapter(Annotated[Rhythm | Tonal, Field(discriminator="kind")])


    def feature(row):
        return FEATURE.validate_python(row)


    def preview(text):
        return Preview.model_validate_json(text)


    def row_of(features):
        return json.dumps(features, allow_nan=False)


    def stored(text):
        return json.loads(text)
    """,
)
_MACHINE = App(
    "analysis/machine.py",
    """
    import pathlib
    import signal
    import socket
    import ssl
    import subprocess
    import sys

    import numpy


    def probe(path):
        return subprocess.run(["ffprobe-of-songs", path], check=True, capture_output=True)


    def separate(path):
        program = f"import os; os.kill(os.getpid(), {signal.SIGKILL})"
        subprocess.run([sys.executable, "-SIc", program, path], check=True)


    def export(folder, title):
        pathlib.Path(folder, f"{title}.json").write_text("{}")


    def mixed(left, right):
        return numpy.zeros(left) + numpy.zeros(right)


    def metrics(address):
        with socket.create_server(address), socket.create_server(address):
            pass


    def stream(address, data):
        with socket.create_connection(address, timeout=1) as peer:
            while peer.recv(64):
                pass
            while True:
                peer.sendall(data)


    def header(address, seconds):
        with socket.create_connection(address, timeout=seconds) as peer:
            return peer.recv_into(bytearray(4), 4)


    def trusted(bundle):
        return ssl.create_default_context(cafile=bundle)


    def modern(address, bundle):
        context = ssl.create_default_context(cafile=bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with socket.create_connection(address, timeout=1) as plain:
            with context.wrap_socket(plain, server_hostname=address[0]) as peer:
                return peer.recv(4)
    """,
)


def _old(w: World, v: Variation) -> tuple[object, ...]:
    import ssl

    host, _ = w.tcp(closing)
    context = w.authority.server(hosts=(host,))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return w.tls(closing, context), str(w.authority.bundle)


for _name, _category, _app, _function, _setting in (
    (
        "no-such-kind",
        Category.INVALID_DATA,
        _MODELS,
        "feature",
        lambda w, v: ({"kind": v.pick("mood", "timbre", "genre", "voice")},),
    ),
    (
        "odd-beats",
        Category.INVALID_DATA,
        _MODELS,
        "feature",
        lambda w, v: ({"kind": "rhythm", "beats": 2 * v.number + 1},),
    ),
    (
        "extra-field",
        Category.INVALID_DATA,
        _MODELS,
        "feature",
        lambda w, v: ({"kind": "tonal", "key": "C", "scale": v.title},),
    ),
    (
        "preview-url",
        Category.INVALID_DATA,
        _MODELS,
        "preview",
        lambda w, v: (json.dumps({"url": f"/{v.id}.mp3", "until": "2026-11-03T09:11:00Z"}),),
    ),
    (
        "not-a-number",
        Category.INVALID_DATA,
        _MODELS,
        "row_of",
        lambda w, v: ({"id": v.id, "tempo": float("nan")},),
    ),
    (
        "json-control",
        Category.INVALID_DATA,
        _MODELS,
        "stored",
        lambda w, v: (f'{{"id": "{v.id}", "title": "line\nbreak"}}',),
    ),
    (
        "json-bom",
        Category.INVALID_DATA,
        _MODELS,
        "stored",
        lambda w, v: (f'\ufeff{{"id": "{v.id}"}}',),
    ),
    ("no-program", Category.NOT_FOUND, _MACHINE, "probe", lambda w, v: (f"/in/{v.id}.flac",)),
    ("killed", Category.RESOURCE, _MACHINE, "separate", lambda w, v: (f"/in/{v.id}.flac",)),
    (
        "name-too-long",
        Category.INVALID_DATA,
        _MACHINE,
        "export",
        lambda w, v: (str(w.folder), v.title * 60),
    ),
    (
        "shapes",
        Category.BUG,
        _MACHINE,
        "mixed",
        lambda w, v: (1000 + v.index, 2000 + v.number % 500),
    ),
    (
        "port-taken",
        Category.RESOURCE,
        _MACHINE,
        "metrics",
        lambda w, v: (w.refused(v.port),),
    ),
    (
        "stream-gone",
        Category.NETWORK,
        _MACHINE,
        "stream",
        lambda w, v: (w.tcp(closing_at_once), v.digest.encode() * 500),
    ),
    (
        "header-silent",
        Category.TIMEOUT,
        _MACHINE,
        "header",
        lambda w, v: (w.tcp(silent), v.seconds),
    ),
    (
        "no-bundle",
        Category.NOT_FOUND,
        _MACHINE,
        "trusted",
        lambda w, v: (str(w.folder / f"{v.id}.pem"),),
    ),
    ("tls-too-old", Category.NETWORK, _MACHINE, "modern", _old),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
