"""The machine's own limits and files: disk, memory, open files, rights, processes."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book

BOOK = Book("machine")

_APP = App(
    "store/files.py",
    """
    import resource
    import subprocess


    def save_preview(path, size):
        # /dev/full is a disk without room.
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x" * size)


    def load_waveform(seconds):
        return bytearray(seconds * 10**12)


    def read_preview(path):
        with open(path, "rb") as file:
            return file.read()


    def open_all(path, limit):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            while True:
                files.append(open(path, "rb"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for file in files:
                file.close()


    def transcode(path, seconds):
        return subprocess.run(["sleep", "5"], timeout=seconds, check=True)


    def check_queue(waiting):
        if waiting > 100:
            import queue

            full = queue.Queue(maxsize=1)
            full.put(waiting)
            full.put_nowait(waiting)
    """,
)

BOOK.cause(
    "disk-full",
    Category.RESOURCE,
    _APP,
    "save_preview",
    lambda w, v: (f"/data/{v.id}.mp3", 1000 + v.number),
)
BOOK.cause("memory", Category.RESOURCE, _APP, "load_waveform", lambda w, v: (10 + v.number,))
BOOK.cause(
    "no-file",
    Category.NOT_FOUND,
    _APP,
    "read_preview",
    lambda w, v: (w.folder / f"{v.digest}.mp3",),
)
BOOK.cause(
    "open-files",
    Category.RESOURCE,
    _APP,
    "open_all",
    lambda w, v: (w.file(f"{v.id}.mp3"), 150 + v.index),
)
BOOK.cause(
    "transcode-timeout",
    Category.TIMEOUT,
    _APP,
    "transcode",
    lambda w, v: (f"/data/{v.id}.wav", v.seconds),
)
BOOK.cause(
    "queue-full",
    Category.RESOURCE,
    _APP,
    "check_queue",
    lambda w, v: (200 + v.number,),
)
