"""MusicBrainz' answers in their two forms: XML, unless `fmt` or Accept asks for JSON.

Source: musicbrainz.org, "MusicBrainz API", "MusicBrainz API / Search", "MusicBrainz XML Meta Data".
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any
from xml.etree.ElementTree import Element

from dlq.demo.local_server import Answer, Request, json_answer
from dlq.demo.providers.xml_answer import add, xml_answer

XML_TYPE = "application/xml; charset=UTF-8"
HELP = "For usage, please see: https://musicbrainz.org/development/mmd"

# Written as plain attributes: ElementTree keeps prefixes like ns2 for itself.
_NAMESPACES = {
    "xmlns": "http://musicbrainz.org/ns/mmd-2.0#",
    "xmlns:ns2": "http://musicbrainz.org/ns/ext#-2.0",
}
_MEDIA_RANGE = re.compile(r"([^\s,;]+/[^\s,;]+)(?:[^,]*?;\s*q=([01](?:\.\d*)?))?")


class Form(StrEnum):
    XML = "xml"
    JSON = "json"


def form_of(request: Request) -> Form | None:
    """The form that is asked for: by `fmt`, or else by Accept. None: neither form will do."""
    asked = request.query.get("fmt")
    if asked is not None:
        return next((form for form in Form if form == asked), None)
    accept = request.headers.get("accept") or "*/*"
    ranges = {name.lower(): float(q or 1) for name, q in _MEDIA_RANGE.findall(accept)}
    best = max(Form, key=lambda form: _quality(ranges, form))  # if equal, XML
    return best if _quality(ranges, best) else None


def error_answer(
    form: Form | None, status: int, text: str, headers: Mapping[str, str] | None = None
) -> Answer:
    if form is Form.JSON:
        return json_answer(status, {"error": text, "help": HELP}, headers)
    root = Element("error")
    add(root, "text", text)
    add(root, "text", HELP)
    return xml_answer(status, root, XML_TYPE, headers)


def recordings_answer(form: Form, recordings: Sequence[Mapping[str, Any]]) -> Answer:
    """`recordings`: as in MusicBrainz' JSON."""
    created = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    if form is Form.JSON:
        page = {"created": created, "count": len(recordings), "offset": 0}
        return json_answer(200, {**page, "recordings": recordings})
    root = Element("metadata", {"created": created, **_NAMESPACES})
    found = add(root, "recording-list", attributes={"count": str(len(recordings)), "offset": "0"})
    for recording in recordings:
        _add_recording(found, recording)
    return xml_answer(200, root, XML_TYPE)


def _quality(ranges: Mapping[str, float], form: Form) -> float:
    """What an Accept header gives the form, 0..1: the narrowest range that holds it counts."""
    names = (f"application/{form}", "application/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _add_recording(parent: Element, recording: Mapping[str, Any]) -> None:
    attributes = {"id": recording["id"], "ns2:score": str(recording["score"])}
    element = add(parent, "recording", attributes=attributes)
    add(element, "title", recording["title"])
    add(element, "length", recording["length"])
    credited = add(element, "artist-credit")
    for credit in recording["artist-credit"]:
        named = add(credited, "name-credit")
        add(named, "name", credit["name"])
        artist = add(named, "artist", attributes={"id": credit["artist"]["id"]})
        add(artist, "name", credit["artist"]["name"])
        add(artist, "sort-name", credit["artist"]["sort-name"])
    add(element, "first-release-date", recording["first-release-date"])
