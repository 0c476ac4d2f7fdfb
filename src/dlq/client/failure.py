"""One failure as a pipeline hands it over: the arguments of `publish_to_dlq`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, and how. Anything may stand in any field: what cannot be used as meant is
    made representable, since a failure must not be lost to a wrong type.

    `item` is what was worked on (a dict, a Scrapy item, any object); `error` the exception,
    or its text; `retry_count` the tries made before giving up; `fingerprint` the identity of
    the cause, if the pipeline knows it better than the error tells.
    """

    item: Any
    error: Any
    retry_count: int = 0
    source_service: str | None = None
    metadata: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    error_type: str | None = None
    message_id: str | None = None
    fingerprint: str | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """A `Failure` as it is, or a mapping with the same names; anything else is an item
        without an error."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            return cls(item=value, error="No error was given")
        known = {field.name for field in fields(cls)}
        unknown = [str(name) for name in value if name not in known]
        if unknown:
            logger.warning("A failure has unknown fields, left out: %s", ", ".join(unknown))
        given = {name: value[name] for name in known if name in value}
        return cls(**({"item": None, "error": "No error was given"} | given))
