"""What the schemas share: bounds, and examples for OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

MAX_BATCH = 1000
EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})
