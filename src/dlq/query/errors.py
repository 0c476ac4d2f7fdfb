"""What is wrong with a filter, and where in it."""

from __future__ import annotations

from dlq.errors import InvalidInput


class FilterError(InvalidInput):
    """A filter cannot be read. `position` is the 0-based index in `text` of the character
    that it failed at; the message counts from 1."""

    code = "invalid_filter"

    def __init__(self, problem: str, *, text: str, position: int) -> None:
        super().__init__(f"The filter cannot be read at character {position + 1}: {problem}")
        self.text = text
        self.position = position
