"""The message that carries an edited payload, in the form in which it arrived."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dlq.decode import decode, unpacked
from dlq.errors import InvalidInput
from dlq.message import Form, WireMessage

_KEY_OF_PAYLOAD = {Form.CURRENT: "payload", Form.LEGACY: "item"}
_UTF_8 = frozenset({"", "utf-8", "utf8"})
_SPACE = re.compile(r"[ \t\n\r]*")
_BOM = "\ufeff"


def with_payload(wire: WireMessage, form: Form, payload: dict[str, Any]) -> WireMessage:
    """The message with another payload, in the form in which it arrived.

    Our form and the older producers': the body's own bytes around the new value. Any other
    form: the payload is the body. A zipped body is sent plain.

    Raises: InvalidInput: the payload would be read as something else.
    """
    text = _text_of(wire)
    if form in _KEY_OF_PAYLOAD:
        start, end = _place_of(text, _KEY_OF_PAYLOAD[form])
        body = text[:start] + _json_like(text[start:end], payload) + text[end:]
    else:
        body = _json_like(text, payload)
    edited = replace(wire, body=body.encode("utf-8"), properties=_plain(wire.properties))
    if decode(edited).message.payload != payload:
        raise InvalidInput(
            "With this payload the message would be read in another form, or shortened. Give "
            "the payload alone, without the dead letter's own fields around it."
        )
    return edited


def is_object(wire: WireMessage) -> bool:
    """Whether the body is a JSON object: only then is there something that can be patched."""
    try:
        return isinstance(json.loads(_text_of(wire).removeprefix(_BOM)), dict)
    except (ValueError, RecursionError):
        return False


def _text_of(wire: WireMessage) -> str:
    """The body as text, unzipped; what is no text is given up for the new payload."""
    return unpacked(wire).decode("utf-8", "replace")


def _place_of(text: str, key: str) -> tuple[int, int]:
    """Where in a JSON object the value of a key stands: of the last one, as readers take it.

    Found rather than written anew, so that everything beside it stays as the producer wrote
    it, down to the digits of a number and a key given twice.
    """
    read = json.JSONDecoder().raw_decode
    at = _after_space(text, len(_BOM) if text.startswith(_BOM) else 0)
    place = (0, 0)
    while text[at] in "{,":
        name, at = read(text, _after_space(text, at + 1))
        start = _after_space(text, _after_space(text, at) + 1)  # past the colon
        _, end = read(text, start)
        if name == key:
            place = (start, end)
        at = _after_space(text, end)
    return place


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _json_like(arrived: str, payload: dict[str, Any]) -> str:
    """The payload as JSON. A value that was no object is shown as `{"value": …}`, and goes
    back into its shape if the edit left it so."""
    value: Any = payload
    try:
        was_object = isinstance(json.loads(arrived.removeprefix(_BOM)), dict)
    except (ValueError, RecursionError):
        was_object = True
    if not was_object and payload.keys() == {"value"} and not isinstance(payload["value"], dict):
        value = payload["value"]
    return json.dumps(value, ensure_ascii=False)


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    encoding = properties.get("content_encoding")
    if encoding is None or str(encoding).lower() in _UTF_8:
        return dict(properties)
    return {**properties, "content_encoding": "utf-8"}
