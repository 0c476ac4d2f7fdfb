"""Media, archives and pickles that cannot be read."""

from __future__ import annotations

import gzip
import io
import zipfile

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.variation import Variation

BOOK = Book("archives", error_type="audio_analysis")

_FILES = App(
    "media/inspect.py",
    """
    import gzip
    import lzma
    import pickle
    import tarfile
    import wave
    import zipfile
    import zlib


    class BadDelivery(Exception):
        pass


    def duration(path):
        with wave.open(str(path)) as sound:
            return sound.getnframes() / sound.getframerate()


    def unpack(path):
        with gzip.open(path) as packed:
            return packed.read()


    def inflate(data):
        return zlib.decompress(data)


    def stems(path):
        with tarfile.open(path) as archive:
            return archive.getnames()


    def delivery(path):
        with zipfile.ZipFile(path) as archive:
            return [archive.read(name) for name in archive.namelist()]


    def xz(path):
        with lzma.open(path) as packed:
            return packed.read()


    def features(data):
        try:
            return pickle.loads(data)
        except pickle.UnpicklingError as error:
            raise BadDelivery("features cannot be read") from error
    """,
)


def _gzip_cut(v: Variation) -> bytes:
    return gzip.compress(v.digest.encode() * 50, mtime=0)[: -9 - v.index]


def _zip_bad(v: Variation) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", v.digest * 20)
    return held.getvalue().replace(v.digest.encode(), v.digest[::-1].encode(), 1)


def _file(name: str, content: bytes | str) -> Setting:
    raw = content.encode() if isinstance(content, str) else content
    return lambda w, v: (w.file(f"{v.id}{name}", raw + v.digest.encode()),)


for _name, _app, _function, _setting in (
    ("wave", _FILES, "duration", _file(".wav", "ID3 this is an mp3 ")),
    ("gzip-cut", _FILES, "unpack", lambda w, v: (w.file(f"{v.id}.gz", _gzip_cut(v)),)),
    ("zlib", _FILES, "inflate", lambda w, v: (b"\x00" + v.digest.encode(),)),
    ("tar", _FILES, "stems", _file(".tar", "no archive " * 100)),
    ("zip-crc", _FILES, "delivery", lambda w, v: (w.file(f"{v.id}.zip", _zip_bad(v)),)),
    ("xz", _FILES, "xz", _file(".xz", "plain text ")),
    ("pickle", _FILES, "features", lambda w, v: (b"\xff" + v.digest.encode(),)),
):
    BOOK.cause(_name, Category.INVALID_DATA, _app, _function, _setting)
