"""The application's own mistakes, its machine, its files, and what says nothing."""

from __future__ import annotations

import json
import struct

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("own-code", error_type="audio_analysis")

_BUGS = App(
    "analysis/features.py",
    """
    import asyncio
    import dataclasses
    import datetime
    import enum


    class Key(enum.Enum):
        C = 0
        D = 2


    @dataclasses.dataclass
    class Beat:
        at: float
        strength: float


    def beat(at):
        return Beat(at)


    def scale(key):
        return Key.H if key else Key.C


    def label(number, title):
        return "track " + number + title


    def padded(text):
        return f"{text:05d}"


    def without(tags, tag):
        tags.remove(tag)
        return tags


    def prune(tracks):
        for key in tracks:
            if tracks[key] is None:
                del tracks[key]


    def newer(number):
        now = datetime.datetime.now(datetime.UTC)
        return datetime.datetime(2026, 1, 1 + number % 28) > now


    async def nested(track_id):
        async def inner():
            return track_id
        return asyncio.run(inner())


    async def not_awaitable(track_id):
        return await len(track_id)


    def windows(frames):
        size, step = frames
        return size // step


    def strongest(beats):
        return max(beats, key=lambda found: found.strength)
    """,
)
_MACHINE = App(
    "analysis/scratch.py",
    """
    import asyncio
    import os
    import resource
    import subprocess
    import sys


    def spectrum(size):
        return [0.0] * (size * 10**12)


    def write_scratch(text):
        with open("/dev/full", "w", encoding="utf-8") as file:
            file.write(text)


    def pipes(limit):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        ends = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            while True:
                ends.extend(os.pipe())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for end in ends:
                os.close(end)


    async def enqueue(track_id):
        waiting = asyncio.Queue(maxsize=1)
        waiting.put_nowait(track_id)
        waiting.put_nowait(track_id)


    def convert(path, line):
        program = f"import sys; print({line!r} % {path!r}, file=sys.stderr); sys.exit(1)"
        subprocess.run([sys.executable, "-SIc", program], check=True, capture_output=True)
    """,
)
_READERS = App(
    "analysis/readers.py",
    """
    import datetime
    import decimal
    import json
    import struct
    import tarfile
    import tomllib
    import uuid
    import wave
    from typing import Literal
    from xml.sax import handler, parseString

    from pydantic import BaseModel, TypeAdapter


    class Session(BaseModel):
        bpm: float
        key: Literal["major", "minor"]


    def preset(text):
        return tomllib.loads(text)


    def header(data):
        return struct.unpack(">IHH", data)


    def samples(path):
        with wave.open(str(path)) as sound:
            return sound.getnframes()


    def stems(path):
        with tarfile.open(path) as packed:
            return packed.getnames()


    def price(text):
        return decimal.Decimal(text)


    def recorded(text):
        return datetime.datetime.fromisoformat(text)


    def mbid(text):
        return uuid.UUID(text)


    def latin(title):
        return title.encode("latin-1")


    def sessions(rows):
        return TypeAdapter(list[Session]).validate_python(rows)


    def outline(text):
        parseString(text, handler.ContentHandler())


    def waveform(path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)["waveform"]
    """,
)
_TOLD = App(
    "analysis/analyser.py",
    """
    class AnalyserFailed(Exception):
        pass


    def analyse(line):
        raise AnalyserFailed(f"analyser: {line}")


    def lookup(line):
        raise RuntimeError(line)


    def step(number):
        raise RuntimeError(f"step {number} stopped")


    def finish(track_id):
        raise AnalyserFailed()


    def whole(title):
        raise Exception(f"could not complete analysis of {title!r}")


    def exit_code(code):
        raise AnalyserFailed(f"analyser exited with {code}")
    """,
)

for _name, _category, _app, _function, _setting in (
    ("dataclass-argument", Category.BUG, _BUGS, "beat", lambda w, v: (v.seconds,)),
    ("enum-member", Category.BUG, _BUGS, "scale", lambda w, v: (v.number,)),
    ("string-and-int", Category.BUG, _BUGS, "label", lambda w, v: (v.number, v.title)),
    ("format-code", Category.BUG, _BUGS, "padded", lambda w, v: (v.id,)),
    ("list-remove", Category.BUG, _BUGS, "without", lambda w, v: ([v.title], v.artist)),
    ("changed-in-loop", Category.BUG, _BUGS, "prune", lambda w, v: ({v.id: None, v.uuid: 1},)),
    ("naive-and-aware", Category.BUG, _BUGS, "newer", lambda w, v: (v.number,)),
    ("nested-run", Category.BUG, _BUGS, "nested", lambda w, v: (v.id,)),
    ("not-awaitable", Category.BUG, _BUGS, "not_awaitable", lambda w, v: (v.id,)),
    ("unpacking", Category.BUG, _BUGS, "windows", lambda w, v: ([v.number] * 3,)),
    ("empty-max", Category.BUG, _BUGS, "strongest", lambda w, v: ([],)),
    ("memory-list", Category.RESOURCE, _MACHINE, "spectrum", lambda w, v: (9 + v.number,)),
    ("scratch-full", Category.RESOURCE, _MACHINE, "write_scratch", lambda w, v: (v.title,)),
    ("pipes", Category.RESOURCE, _MACHINE, "pipes", lambda w, v: (150 + v.index,)),
    ("async-queue-full", Category.RESOURCE, _MACHINE, "enqueue", lambda w, v: (v.id,)),
    (
        "convert-no-space",
        Category.RESOURCE,
        _MACHINE,
        "convert",
        lambda w, v: (f"/tmp/{v.id}.wav", "%s: No space left on device"),
    ),
    (
        "convert-bad-stream",
        Category.INVALID_DATA,
        _MACHINE,
        "convert",
        lambda w, v: (f"/tmp/{v.id}.mp3", "%s: Header missing: could not decode the stream"),
    ),
    ("toml", Category.INVALID_DATA, _READERS, "preset", lambda w, v: (f"gain = {v.id}",)),
    (
        "struct",
        Category.INVALID_DATA,
        _READERS,
        "header",
        lambda w, v: (struct.pack(">I", v.number),),
    ),
    (
        "wave-cut",
        Category.INVALID_DATA,
        _READERS,
        "samples",
        lambda w, v: (w.file(f"{v.id}.wav", b"RIFF" + v.digest.encode()),),
    ),
    (
        "tar-no-tar",
        Category.INVALID_DATA,
        _READERS,
        "stems",
        lambda w, v: (w.file(f"{v.id}.tar", v.digest * 30),),
    ),
    ("decimal", Category.INVALID_DATA, _READERS, "price", lambda w, v: (f"{v.number} kr",)),
    ("iso-date", Category.INVALID_DATA, _READERS, "recorded", lambda w, v: (f"{v.id} CET",)),
    ("uuid", Category.INVALID_DATA, _READERS, "mbid", lambda w, v: (v.digest,)),
    (
        "latin-1",
        Category.INVALID_DATA,
        _READERS,
        "latin",
        lambda w, v: (v.pick("Ёлка", "千本桜", "أهواك", "初音ミク"),),
    ),
    (
        "pydantic-literal",
        Category.INVALID_DATA,
        _READERS,
        "sessions",
        lambda w, v: ([{"bpm": v.number, "key": v.pick("dorian", "Dur", "", "moll")}],),
    ),
    (
        "sax",
        Category.INVALID_DATA,
        _READERS,
        "outline",
        lambda w, v: (f"<outline id='{v.id}'><part></outline>",),
    ),
    (
        "no-waveform",
        Category.NOT_FOUND,
        _READERS,
        "waveform",
        lambda w, v: (w.folder / f"{v.uuid}.json",),
    ),
    (
        "waveform-key",
        Category.BUG,
        _READERS,
        "waveform",
        lambda w, v: (w.file(f"{v.id}.json", json.dumps({"peaks": v.number})),),
    ),
    (
        "told-node-timeout",
        Category.TIMEOUT,
        _TOLD,
        "analyse",
        lambda w, v: (f"Error: connect ETIMEDOUT 10.1.{v.index}.9:{v.port}",),
    ),
    (
        "told-go-lookup",
        Category.NETWORK,
        _TOLD,
        "analyse",
        lambda w, v: (f"dial tcp: lookup models-{v.number}.songs.example: no such host",),
    ),
    (
        "told-grpc-unavailable",
        Category.NETWORK,
        _TOLD,
        "analyse",
        lambda w, v: (
            (
                "rpc error: code = Unavailable desc = connection error: "
                f'desc = "transport: dial tcp 10.0.0.{v.index}:{v.port}: connection refused"'
            ),
        ),
    ),
    (
        "told-heap",
        Category.RESOURCE,
        _TOLD,
        "analyse",
        lambda w, v: (f"worker {v.number}: java.lang.OutOfMemoryError: Java heap space",),
    ),
    (
        "told-allowance",
        Category.RATE_LIMIT,
        _TOLD,
        "lookup",
        lambda w, v: (f"your plan's monthly allowance of {v.number} lookups is used up",),
    ),
    (
        "told-maintenance",
        Category.SERVER_ERROR,
        _TOLD,
        "lookup",
        lambda w, v: (f"the service is down for scheduled maintenance until 0{v.index}:00",),
    ),
    (
        "told-signature",
        Category.AUTH,
        _TOLD,
        "lookup",
        lambda w, v: (f"the signature of request {v.uuid} has expired",),
    ),
    (
        "told-no-lyrics",
        Category.NOT_FOUND,
        _TOLD,
        "lookup",
        lambda w, v: (f'no lyrics for "{v.title}" by {v.artist}',),
    ),
    ("step-stopped", Category.UNKNOWN, _TOLD, "step", lambda w, v: (v.number,)),
    ("nothing-said", Category.UNKNOWN, _TOLD, "finish", lambda w, v: (v.id,)),
    ("not-completed", Category.UNKNOWN, _TOLD, "whole", lambda w, v: (v.title,)),
    ("exit-code", Category.UNKNOWN, _TOLD, "exit_code", lambda w, v: (3 + v.index,)),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
