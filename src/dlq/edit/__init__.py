"""Correcting a payload before a replay, by JSON Patch (RFC 6902) or a whole document; pure.

An edit that a worker would not read back exactly as it was made is refused: nothing is lost
on the way without a word.
"""

from dlq.edit.body import is_object, with_payload
from dlq.edit.patch import difference, edited_payload

__all__ = ["difference", "edited_payload", "is_object", "with_payload"]
