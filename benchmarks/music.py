"""Tracks that do not exist: names, titles and ids with the frequencies of real ones; seeded."""

from __future__ import annotations

import functools
import itertools
import random
import uuid
from typing import Any

ARTISTS, WORDS = 3000, 5000

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SYLLABLES = (
    "ba be bo da de di do el en er fa fi ga go ha in ja ka ke ki la le li lo ma me mi mo na ne no "
    "or pa po ra re ri ro sa se si so ta te ti to u va ve vi wa xa ya za"
)
_COMMON_WORDS = (
    "the of love night feat remix you me original mix dance dub sun moon fire dream heart light "
    "city rain blue time house deep groove sky ocean ghost machine summer live edit acid techno "
    "black white gold home river mountain echo shadow star edge signal control motion memory"
)
_KNOWN_ARTISTS = (
    "Deadmau5|Carl Cox|Daft Punk|Nina Kraviz|Aphex Twin|Four Tet|Bonobo|Jeff Mills|Röyksopp|"
    "Björk|Moderat|Boards of Canada|Solomun|Charlotte de Witte|Amelie Lens|Sven Väth|Ricardo "
    "Villalobos|Paul Kalkbrenner|Underworld|The Chemical Brothers"
)


def track_facts(rng: random.Random) -> dict[str, Any]:
    """What messages and payloads tell of one track."""
    performer = artist(rng)
    name = title(rng)
    slug = f"{performer}-{name}".lower().replace(" ", "-")
    seconds = rng.randint(90, 600)
    return {
        "artist": performer,
        "title": name,
        "album": title(rng),
        "track_id": _base62(rng),
        "playlist_id": _base62(rng),
        "mbid": _uuid4(rng),
        "other_mbid": _uuid4(rng),
        "isrc": f"{rng.choice(('DEA', 'GBX', 'USR', 'NLF'))}{rng.randint(10**8, 10**9 - 1)}",
        "query": f"{performer}%20{name}".replace(" ", "%20"),
        "url": f"https://www.mixesdb.com/w/{rng.randint(2005, 2025)}-{slug[:60]}",
        "file": f"/data/audio/{rng.getrandbits(8):02x}/{slug[:40]}-{rng.getrandbits(32):08x}.mp3",
        "clock": f"{seconds // 60}m{seconds % 60:02d}",
        "duration_ms": seconds * 1000 + rng.randint(0, 999),
        "timeout_s": rng.choice((5, 10, 30)),
        "ip": f"130.211.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
        "hex": f"{rng.getrandbits(48):012x}",
        "pid": rng.randint(100, 32_000),
        "number": rng.randint(10_000, 9_999_999),
        "count": rng.randint(2, 900),
        "percent": rng.randint(10, 99),
    }


@functools.cache
def words() -> list[str]:
    """Of titles, the most frequent first."""
    rng = random.Random("words")  # noqa: S311 - not a secret
    found = dict.fromkeys(_COMMON_WORDS.split())
    while len(found) < WORDS:
        found["".join(rng.choices(_SYLLABLES.split(), k=rng.choice((2, 2, 3, 3, 4))))] = None
    return list(found)


@functools.cache
def artists() -> list[str]:
    """The most frequent first."""
    rng = random.Random("artists")  # noqa: S311 - not a secret
    found = dict.fromkeys(_KNOWN_ARTISTS.split("|"))
    while len(found) < ARTISTS:
        name = " ".join(word.capitalize() for word in rng.choices(words(), k=rng.choice((1, 2, 2))))
        found[f"DJ {name}" if rng.random() < 0.1 else name] = None
    return list(found)


def artist(rng: random.Random) -> str:
    return rng.choices(artists(), cum_weights=cumulated(ARTISTS))[0]


def title(rng: random.Random) -> str:
    count = rng.choice((1, 2, 2, 3, 3, 4, 5))
    chosen = rng.choices(words(), cum_weights=cumulated(WORDS), k=count)
    return " ".join(word.capitalize() for word in chosen)


def _weights(count: int) -> list[float]:
    """Zipf's, a little flatter."""
    return [1 / (rank + 3) ** 0.9 for rank in range(count)]


@functools.cache
def cumulated(count: int) -> list[float]:
    return list(itertools.accumulate(_weights(count)))


def _base62(rng: random.Random) -> str:
    return "".join(rng.choices(_BASE62, k=22))


def _uuid4(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
