"""Dead letters as a file: JSON lines, CSV or Parquet; pure, but for the libraries.

Each format turns rows (pydantic models of one class) into pieces of bytes as they come, so
that memory stays constant however many there are. The manager streams the pieces; the command
line knows a file's format by its name.
"""

from __future__ import annotations

from dlq.export.formats import Format, format_of_name, written

__all__ = ["Format", "format_of_name", "written"]
