"""What differs between two failures with one cause: values, never the reason."""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass
from functools import cached_property

_TITLES = (
    "Strings of Life",
    "Не пара - Ёлка",
    'Don\'t Stop "Til" You Get Enough',
    "千本桜 (feat. 初音ミク)",
    "Ænima – Live @ O₂",
    "أهواك",
    "So What?",
)
_ARTISTS = ("Björk", "Mötley Crüe", "O'Connor, Sinéad", "宇多田ヒカル", "AC/DC", "Кино", "P!nk")


@dataclass(frozen=True)
class Variation:
    """The `index`-th failure with the cause `cause`; everything follows from these two."""

    cause: str
    index: int

    @cached_property
    def _random(self) -> random.Random:
        return random.Random(self._seed())

    def _seed(self) -> str:
        return hashlib.sha256(f"{self.cause}#{self.index}".encode()).hexdigest()

    @property
    def digest(self) -> str:
        """40 hexadecimal digits."""
        return self._seed()[:40]

    @property
    def id(self) -> str:
        """22 letters and digits, as Spotify's ids."""
        alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        number = int(self._seed(), 16)
        return "".join(alphabet[number // 62**place % 62] for place in range(22))

    @property
    def uuid(self) -> str:
        return str(uuid.UUID(self._seed()[:32], version=4))

    @property
    def number(self) -> int:
        """From 2 to some millions, with as many digits as it happens."""
        return (7, 4021, 918_273, 55)[self.index % 4] + int(self._seed()[:4], 16) % (
            3 + 900 * self.index
        )

    @property
    def title(self) -> str:
        return _TITLES[self._offset % len(_TITLES)]

    @property
    def artist(self) -> str:
        return _ARTISTS[(self._offset * 3) % len(_ARTISTS)]

    @property
    def seconds(self) -> float:
        """A time limit to run into."""
        return (0.05, 0.08, 0.1, 0.06)[self.index % 4]

    @property
    def wait_s(self) -> int:
        """What a Retry-After says."""
        return (1, 30, 5, 86)[self.index % 4]

    @property
    def port(self) -> int:
        """Where a service might listen."""
        return 2000 + int(self._seed()[:6], 16) % 7000

    @property
    def _offset(self) -> int:
        return int(hashlib.sha256(self.cause.encode()).hexdigest()[:4], 16) + self.index

    def pick(self, *values: str) -> str:
        """Another of the values for each index."""
        return values[self.index % len(values)]
