"""Messages as they are stored: packed small, and the same to the byte when unpacked.

Three things make them small. A dictionary that zstd trained on this ledger's own messages, kept
by version. The shape of the trace, its frames without its messages, which is stored once and put
behind the dictionary, so that a trace costs a few bytes wherever it comes again. And the id, which
has a column of its own, is left out.

A packed message is: one byte of flags, the dictionary's number (LEB128), a zstd frame.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import zstandard
from sqlalchemy import Connection, func, select

from dlq.ledger.bulk import insert_rows
from dlq.ledger.envelope import read_wire, write_envelope
from dlq.ledger.schema import dictionaries, shapes
from dlq.message import WireMessage
from dlq.query import words_of

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

LEVEL = 8
"""A fifth smaller than level 3, for some 60 µs a message."""
PLAIN = 0
"""Number of no dictionary."""
MAX_FRAMES_CHARS = 16_000
CODECS = 128
"""Most that are held ready, a dictionary with a shape each: some 150 KB."""

_ID_LEFT_OUT = 1
_ID_MARK = b"\1"  # in no JSON text
_MIN_ID_BYTES = 8
_FRAME_LINE = re.compile(r'[\s|+]*File "|\s+at \S')
_LINE_BETWEEN = re.compile(
    r"[\s|+]*(?:Exception Group )?Traceback \(most recent call last\):"
    r"|[\s|]*During handling of the above exception, another exception occurred:"
    r"|[\s|]*The above exception was the direct cause of the following exception:"
)
"""What Python says around frames; `traceback.TracebackException.format`."""
_CODE_LINE = re.compile(r"[\s|]{4,}\S")
_LINES_OF_A_FRAME = 2  # the code, and the marks below it


# --- shapes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A stored one. `words` are those of its frames."""

    id: int
    words: frozenset[str]


def split_trace(trace: str) -> tuple[str, str]:
    """Its frames, with their lines of code and what stands between them, and all else: messages,
    which vary."""
    frames: list[str] = []
    rest: list[str] = []
    room = 0
    for line in trace[:MAX_FRAMES_CHARS].split("\n"):
        if _FRAME_LINE.match(line):
            frames.append(line)
            room = _LINES_OF_A_FRAME
        elif room and _CODE_LINE.match(line):
            frames.append(line)
            room -= 1
        elif _LINE_BETWEEN.fullmatch(line):
            frames.append(line)
            room = 0
        else:
            rest.append(line)
            room = 0
    rest.append(trace[MAX_FRAMES_CHARS:])
    return "\n".join(frames), "\n".join(rest)


def resolve_shapes(connection: Connection, frames: Iterable[str]) -> dict[str, Shape]:
    """The shapes of these frames, stored now if they are new. Two frames of which the numbers
    are the same, one in a hundred million, do with one shape: the other is left out."""
    digests = {_digest(text): text for text in frames}
    known = _shapes_by(connection, digests)
    missing = sorted(set(digests) - set(known))
    if missing:
        rows = [
            {
                "id": _number(digest),
                "digest": digest,
                "frames": zstandard.compress(_in_json(digests[digest])),
                "words": spaced(words_of(digests[digest])),
            }
            for digest in missing
        ]
        insert_rows(connection, shapes, rows, unless_known=shapes.c.id)
        known |= _shapes_by(connection, missing)
    return {digests[digest]: shape for digest, shape in known.items()}


def shapes_by_id(connection: Connection, ids: Iterable[int | None]) -> dict[int | None, Shape]:
    wanted = sorted({number for number in ids if number is not None})
    query = select(shapes.c.id, shapes.c.words).where(shapes.c.id.in_(wanted))
    return {
        row.id: Shape(row.id, frozenset(row.words.split())) for row in connection.execute(query)
    }


def _shapes_by(connection: Connection, digests: Iterable[str]) -> dict[str, Shape]:
    numbers = {_number(digest): digest for digest in digests}
    query = select(shapes.c.id, shapes.c.digest, shapes.c.words).where(shapes.c.id.in_(numbers))
    return {
        row.digest: Shape(row.id, frozenset(row.words.split()))
        for row in connection.execute(query)
        if numbers[row.id] == row.digest
    }


def _digest(frames: str) -> str:
    return hashlib.sha256(frames.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _number(digest: str) -> int:
    return int(digest[:8], 16) & 0x7FFFFFFF


def _in_json(frames: str) -> bytes:
    return json.dumps(frames)[1:-1].encode("ascii")


def spaced(words: Iterable[str]) -> str:
    """Each once, with a space on both sides, so that LIKE finds a whole word."""
    return f" {' '.join(sorted(set(words)))} "


# --- the codec ---------------------------------------------------------------------------


class Archive:
    """What packs and unpacks the messages of one ledger; for any thread.

    Dictionaries and shapes never change under their number, so they are read once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dictionaries = _Recent[int, bytes](8)
        self._shapes = _Recent[int, bytes](4 * CODECS)
        self._packers = _Recent[tuple[int, int | None], zstandard.ZstdCompressor](CODECS)
        self._unpackers = _Recent[tuple[int, int | None], zstandard.ZstdDecompressor](CODECS)

    def pack(
        self,
        connection: Connection,
        wire: WireMessage,
        *,
        message_id: str,
        dictionary: int,
        shape: int | None = None,
    ) -> bytes:
        """Args: dictionary: its number, see `newest_dictionary`."""
        raw = raw_of(wire)
        flags, own_id = 0, message_id.encode("utf-8")
        if len(own_id) >= _MIN_ID_BYTES and _ID_MARK not in raw and own_id in raw:
            flags, raw = _ID_LEFT_OUT, raw.replace(own_id, _ID_MARK)
        with self._lock:
            packer = self._packers.get(
                (dictionary, shape), lambda: _packer(self._content(connection, dictionary, shape))
            )
            frame = packer.compress(raw)
        return bytes([flags]) + _leb128(dictionary) + frame

    def unpack(
        self, connection: Connection, packed: bytes, *, message_id: str, shape: int | None = None
    ) -> WireMessage:
        """The message that `pack` was given, with the same id and shape."""
        return wire_in(self.unpack_raw(connection, packed, message_id=message_id, shape=shape))

    def unpack_raw(
        self, connection: Connection, packed: bytes, *, message_id: str, shape: int | None = None
    ) -> bytes:
        """The same as `raw_of` has it."""
        flags = packed[0]
        dictionary, start = _read_leb128(packed, 1)
        with self._lock:
            unpacker = self._unpackers.get(
                (dictionary, shape), lambda: _unpacker(self._content(connection, dictionary, shape))
            )
            raw = unpacker.decompress(packed[start:])
        if flags & _ID_LEFT_OUT:
            raw = raw.replace(_ID_MARK, message_id.encode("utf-8"))
        return raw

    def frames(self, connection: Connection, shape: int) -> bytes:
        """Of a stored shape, as they stand in JSON."""
        with self._lock:
            return self._shapes.get(shape, lambda: _stored_frames(connection, shape))

    def _content(
        self, connection: Connection, dictionary: int, shape: int | None
    ) -> zstandard.ZstdCompressionDict | None:
        content = b""
        if dictionary != PLAIN:
            content = self._dictionaries.get(
                dictionary, lambda: _stored_dictionary(connection, dictionary)
            )
        if shape is not None:
            content += self._shapes.get(shape, lambda: _stored_frames(connection, shape))
        return zstandard.ZstdCompressionDict(content) if content else None


def raw_of(wire: WireMessage) -> bytes:
    """All of a message. The envelope is one line of ASCII."""
    return write_envelope(wire).encode("ascii") + b"\n" + wire.body


def wire_in(raw: bytes) -> WireMessage:
    """The message of which `raw_of` gave this."""
    envelope, _, body = raw.partition(b"\n")
    return read_wire(body, envelope.decode("ascii"))


def newest_dictionary(connection: Connection) -> int:
    return connection.execute(select(func.max(dictionaries.c.id))).scalar() or PLAIN


def archive_of(connection: Connection) -> Archive:
    archive: Archive = connection.get_execution_options()["archive"]
    return archive


def _stored_dictionary(connection: Connection, number: int) -> bytes:
    query = select(dictionaries.c.content).where(dictionaries.c.id == number)
    return bytes(connection.execute(query).scalar_one())


def _stored_frames(connection: Connection, shape: int) -> bytes:
    query = select(shapes.c.frames).where(shapes.c.id == shape)
    return zstandard.decompress(bytes(connection.execute(query).scalar_one()))


def _packer(content: zstandard.ZstdCompressionDict | None) -> zstandard.ZstdCompressor:
    if content is not None:
        content.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=content, write_dict_id=False)


def _unpacker(content: zstandard.ZstdCompressionDict | None) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=content)


class _Recent(Generic[K, T]):
    """The most recently used of what can be made again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[K, T] = OrderedDict()

    def get(self, key: K, make: Callable[[], T]) -> T:
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        self._held[key] = made = make()
        if len(self._held) > self._size:
            self._held.popitem(last=False)
        return made


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return number | data[at] << shift, at + 1
