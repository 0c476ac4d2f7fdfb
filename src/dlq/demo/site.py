"""The page that the demo's spider scrapes: a mix and its tracks, as HTML."""

from __future__ import annotations

from html import escape

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.local_server import Answer, LocalServer, Request
from dlq.demo.plan import Plan

PAGE_PATH = "/mixes/demo"


class MixPage(LocalServer):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    @property
    def page_url(self) -> str:
        return f"{self.url}{PAGE_PATH}"

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) != ("GET", PAGE_PATH):
            return Answer(404, b"Not found", "text/plain; charset=utf-8")
        return Answer(200, page_html(self._plan).encode(), "text/html; charset=utf-8")


def page_html(plan: Plan) -> str:
    rows = "\n".join(_row(track, preview=track.key in plan.with_preview) for track in plan.tracks)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Demo mix</title></head>\n"
        f'<body><h1>Demo mix</h1>\n<ol class="tracklist">\n{rows}\n</ol></body></html>\n'
    )


def _row(track: CatalogueTrack, *, preview: bool) -> str:
    link = (
        f' <a class="preview" href="/previews/{track.track_id}.mp3">listen</a>' if preview else ""
    )
    return (
        f'<li class="track" data-track-id="{escape(track.track_id)}">'
        f'<span class="artist">{escape(track.artist)}</span> – '
        f'<span class="title">{escape(track.title)}</span> '
        f'<span class="genre">{escape(track.genre)}</span>{link}</li>'
    )
