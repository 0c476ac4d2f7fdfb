"""Writes docs/settings.md from the table in dlq.settings; a test fails when they differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from dlq.settings import Settings, variable_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

HEAD = """# Settings

Each setting is one environment variable, read once at start. A value that cannot be used
stops the start with an error that names the variable. Client, manager, worker and CLI read
the same table; what does not concern a part is ignored by it.

With neither `RABBITMQ_HOST` nor `DLQ_BROKER_URL` the shape is *embedded*: no broker, clients
and workers speak HTTP to the manager, and the ledger is the queue.

This page is generated from `src/dlq/settings.py` by `make docs`.

| variable | default | meaning |
| --- | --- | --- |
"""

COMPUTED = {
    "spool_dir": "`songnodes-dlq` in the user's state folder",
    "tokens_file": "`songnodes-dlq/tokens.json` in the user's configuration folder",
}


def page() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = COMPUTED.get(name) or _shown(field.get_default(call_default_factory=False))
        rows.append(f"| `{variable_of(name)}` | {default} | {field.description} |")
    return HEAD + "\n".join(rows) + "\n"


def _shown(default: Any) -> str:
    if default is None or default is PydanticUndefined or default == ():
        return ""
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, float):
        default = f"{default:g}"
    return f"`{default}`"


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
