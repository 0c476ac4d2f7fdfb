"""Answers by aiohttp, requests, urllib and http.client in other call forms."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import closing, reply, resetting, saying, silent, stalling

BOOK = Book("wires", error_type="general")

_AIOHTTP = App(
    "wires/soundcloud.py",
    """
    import asyncio

    import aiohttp


    async def resolve(base, link):
        async with aiohttp.ClientSession(base, raise_for_status=True) as session:
            async with session.post("/resolve", json={"url": link}) as answer:
                return await answer.json()


    async def peaks(base, number, seconds):
        timeout = aiohttp.ClientTimeout(sock_read=seconds)
        async with aiohttp.ClientSession(base, timeout=timeout) as session:
            async with session.get(f"/peaks/{number}") as answer:
                return [piece async for piece in answer.content.iter_chunked(100)]


    async def within(base, number, seconds):
        async with aiohttp.ClientSession(base) as session:
            async with asyncio.timeout(seconds):
                async with session.get(f"/likes/{number}") as answer:
                    return await answer.text()


    async def listen(base, number):
        async with aiohttp.ClientSession(base) as session:
            async with session.ws_connect(f"/live/{number}") as socket:
                return await socket.receive()
    """,
)
_REQUESTS = App(
    "wires/bandcamp.py",
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry


    def persistent():
        session = requests.Session()
        tries = Retry(2, backoff_factor=0, status_forcelist=[429, 500, 503], read=0)
        session.mount("http://", HTTPAdapter(max_retries=tries))
        return session


    def album(base, slug):
        with persistent() as session:
            return session.get(f"{base}/album/{slug}", timeout=1).json()


    def sales(base, number, timeout=1):
        with requests.Session() as session:
            answer = session.get(f"{base}/sales/{number}", timeout=timeout)
            answer.raise_for_status()
            return answer.json()["total"]


    def stream(base, number):
        with requests.get(f"{base}/stream/{number}", stream=True, timeout=1) as answer:
            return sum(map(len, answer.iter_content(64)))


    def page(link):
        return requests.get(link, timeout=1).text
    """,
)
_PLAIN = App(
    "wires/charts.py",
    """
    import http.client
    import json
    import urllib.request


    def chart(host, port, number):
        link = http.client.HTTPConnection(host, port, timeout=1)
        try:
            link.request("GET", f"/charts/{number}")
            return link.getresponse().read()
        finally:
            link.close()


    def station(base, number, timeout):
        request = urllib.request.Request(f"{base}/stations/{number}")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.loads(answer.read())
    """,
)

_CUT_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf"

for _name, _category, _app, _function, _setting in (
    (
        "resolve-401",
        Category.AUTH,
        _AIOHTTP,
        "resolve",
        lambda w, v: (w.http(reply(401, {"errors": [{}]})), f"https://soundcloud.com/{v.id}"),
    ),
    (
        "resolve-429",
        Category.RATE_LIMIT,
        _AIOHTTP,
        "resolve",
        lambda w, v: (w.http(reply(429, {}, Retry_After=str(v.wait_s))), v.id),
    ),
    (
        "resolve-415",
        Category.INVALID_DATA,
        _AIOHTTP,
        "resolve",
        lambda w, v: (w.http(reply(415, {})), v.id),
    ),
    (
        "resolve-broken-json",
        Category.INVALID_DATA,
        _AIOHTTP,
        "resolve",
        lambda w, v: (w.http(reply(200, '{"id": ', "application/json")), v.id),
    ),
    (
        "resolve-gone",
        Category.NETWORK,
        _AIOHTTP,
        "resolve",
        lambda w, v: (w.url(closing), v.id),
    ),
    (
        "resolve-unknown-host",
        Category.NETWORK,
        _AIOHTTP,
        "resolve",
        lambda w, v: (f"http://sc{v.number}.songs.invalid", v.id),
    ),
    (
        "resolve-untrusted",
        Category.NETWORK,
        _AIOHTTP,
        "resolve",
        lambda w, v: (
            w.https(silent, w.authority.server(hosts=("127.0.0.1",), trusted=False)),
            v.id,
        ),
    ),
    (
        "peaks-stall",
        Category.TIMEOUT,
        _AIOHTTP,
        "peaks",
        lambda w, v: (w.url(stalling(reply(200, b"x" * 500)[:-200])), v.number, v.seconds),
    ),
    (
        "likes-deadline",
        Category.TIMEOUT,
        _AIOHTTP,
        "within",
        lambda w, v: (w.url(silent), v.number, v.seconds),
    ),
    (
        "live-403",
        Category.AUTH,
        _AIOHTTP,
        "listen",
        lambda w, v: (w.http(reply(403, "no")), v.number),
    ),
    (
        "album-gave-up-503",
        Category.SERVER_ERROR,
        _REQUESTS,
        "album",
        lambda w, v: (w.http(reply(503, "down")), v.id),
    ),
    (
        "album-gave-up-429",
        Category.RATE_LIMIT,
        _REQUESTS,
        "album",
        lambda w, v: (w.http(reply(429, "wait")), v.id),
    ),
    (
        "album-html",
        Category.INVALID_DATA,
        _REQUESTS,
        "album",
        lambda w, v: (w.http(reply(200, f"<title>{v.title}</title>")), v.id),
    ),
    (
        "sales-402",
        Category.AUTH,
        _REQUESTS,
        "sales",
        lambda w, v: (w.http(reply(402, {"error": "subscription lapsed"})), v.number),
    ),
    (
        "sales-408",
        Category.TIMEOUT,
        _REQUESTS,
        "sales",
        lambda w, v: (w.http(reply(408, "too slow")), v.number),
    ),
    (
        "sales-no-total",
        Category.BUG,
        _REQUESTS,
        "sales",
        lambda w, v: (w.http(reply(200, {"sum": v.number})), v.number),
    ),
    (
        "sales-connect-timeout",
        Category.TIMEOUT,
        _REQUESTS,
        "sales",
        lambda w, v: ("http://{}:{}".format(*w.unanswered()), v.number, v.seconds),
    ),
    (
        "stream-chunk-cut",
        Category.NETWORK,
        _REQUESTS,
        "stream",
        lambda w, v: (w.url(saying(_CUT_CHUNK)), v.number),
    ),
    (
        "page-no-scheme",
        Category.INVALID_DATA,
        _REQUESTS,
        "page",
        lambda w, v: (f"bandcamp.example/{v.id}",),
    ),
    (
        "chart-disconnected",
        Category.NETWORK,
        _PLAIN,
        "chart",
        lambda w, v: (*w.tcp(closing), v.number),
    ),
    (
        "chart-cut",
        Category.NETWORK,
        _PLAIN,
        "chart",
        lambda w, v: (*w.tcp(saying(reply(200, b"x" * 900)[: -100 - v.index])), v.number),
    ),
    (
        "chart-reset",
        Category.NETWORK,
        _PLAIN,
        "chart",
        lambda w, v: (*w.tcp(resetting), v.number),
    ),
    (
        "station-410",
        Category.NOT_FOUND,
        _PLAIN,
        "station",
        lambda w, v: (w.http(reply(410, "closed down")), v.number, 1),
    ),
    (
        "station-503",
        Category.SERVER_ERROR,
        _PLAIN,
        "station",
        lambda w, v: (w.http(reply(503, "maintenance", Retry_After="600")), v.number, 1),
    ),
    (
        "station-silent",
        Category.TIMEOUT,
        _PLAIN,
        "station",
        lambda w, v: (w.url(silent), v.number, v.seconds),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
