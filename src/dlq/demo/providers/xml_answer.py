"""Answers in XML, built as trees: whatever a title holds stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from dlq.demo.local_server import Answer

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped; ElementTree writes them all the same."""


def add(
    parent: Element, name: str, text: object = None, attributes: Mapping[str, str] | None = None
) -> Element:
    child = SubElement(parent, name, dict(attributes or {}))
    child.text = None if text is None else str(text)
    return child


def xml_answer(
    status: int, root: Element, content_type: str, headers: Mapping[str, str] | None = None
) -> Answer:
    written = _NOT_XML.sub("\ufffd", tostring(root, encoding="unicode"))
    return Answer(status, (DECLARATION + written).encode(), content_type, headers or {})
