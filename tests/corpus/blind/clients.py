"""requests, httpx, aiohttp, urllib3 against lyrics, scraped pages, proxies, Cloudflare."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import answering, deaf, reply, saying, silent

BOOK = Book("clients", error_type="general")

_REQUESTS = App(
    "scraping/tracklists.py",
    """
    import requests


    def tracklist(base, number):
        answer = requests.get(f"{base}/tracklist/{number}", timeout=1)
        answer.raise_for_status()
        return answer.text


    def mirrored(url):
        return requests.get(url, timeout=1, allow_redirects=True).content
    """,
)
_HTTPX = App(
    "scraping/lyrics.py",
    """
    import asyncio

    import httpx


    def lyrics(base, number):
        answer = httpx.get(f"{base}/lyrics/{number}", timeout=1)
        return answer.raise_for_status().text


    def upload(base, number, body, seconds):
        timeout = httpx.Timeout(1.0, write=seconds)
        return httpx.put(f"{base}/stems/{number}", content=body, timeout=timeout).text


    def by_proxy(proxy, number):
        with httpx.Client(proxy=proxy, timeout=1) as client:
            return client.get(f"https://lyrics.songs.example/lyrics/{number}").text


    async def all_parts(base, number):
        async with httpx.AsyncClient(base_url=base, timeout=1) as client:
            async with asyncio.TaskGroup() as group:
                for part in range(2):
                    group.create_task(fetched(client, number, part))


    async def fetched(client, number, part):
        answer = await client.get(f"/parts/{number}/{part}")
        answer.raise_for_status()
    """,
)
_AIOHTTP = App(
    "scraping/mixes.py",
    """
    import aiohttp


    async def mix(base, number, seconds=1.0):
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=1)
        async with aiohttp.ClientSession(base, timeout=timeout, raise_for_status=True) as session:
            async with session.get(f"/mixes/{number}") as answer:
                return await answer.json()


    async def titles(base, number):
        return [entry["title"] for entry in (await mix(base, number))["tracks"]]
    """,
)
_URLLIB3 = App(
    "scraping/covers.py",
    """
    import urllib3


    def cover(host, port, number, bundle):
        with urllib3.HTTPSConnectionPool(
            host, port, ca_certs=bundle, timeout=1.0, retries=False
        ) as pool:
            return pool.request("GET", f"/covers/{number}.jpg").data


    def second_cover(host, port, number, seconds):
        with urllib3.HTTPConnectionPool(host, port, maxsize=1, block=True, timeout=1.0) as pool:
            pages = [pool.urlopen("GET", f"/covers/{number}.jpg", preload_content=False)]
            try:
                pages.append(pool.urlopen("GET", f"/covers/{number + 1}.jpg",
                                          pool_timeout=seconds))
            finally:
                for page in pages:
                    page.close()
            return pages


    def thumbnail(host, port, number):
        with urllib3.HTTPConnectionPool(host, port, timeout=1.0, retries=False) as pool:
            return pool.request("GET", f"/thumbnails/{number}.jpg").data
    """,
)

_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-hex\r\nx\r\n0\r\n\r\n"

for _name, _category, _app, _function, _setting in (
    (
        "cloudflare-524",
        Category.TIMEOUT,
        _REQUESTS,
        "tracklist",
        lambda w, v: (w.http(reply(524, f"error code: 524 ray {v.digest[:16]}")), v.number),
    ),
    (
        "cloudflare-521",
        Category.SERVER_ERROR,
        _REQUESTS,
        "tracklist",
        lambda w, v: (w.http(reply(521, f"error code: 521 ray {v.digest[:16]}")), v.number),
    ),
    (
        "cloudflare-1015",
        Category.RATE_LIMIT,
        _REQUESTS,
        "tracklist",
        lambda w, v: (
            w.http(reply(403, f"<title>Access denied | You are being rate limited</title>{v.id}")),
            v.number,
        ),
    ),
    (
        "cloudflare-challenge",
        Category.AUTH,
        _REQUESTS,
        "tracklist",
        lambda w, v: (
            w.http(reply(403, f"<title>Just a moment...</title><p>Ray {v.digest[:16]}</p>")),
            v.number,
        ),
    ),
    (
        "redirects-for-ever",
        Category.SERVER_ERROR,
        _REQUESTS,
        "mirrored",
        lambda w, v: (w.http(reply(302, b"", Location=f"/mirror/{v.id}")) + f"/mirror/{v.id}",),
    ),
    (
        "chunk-length",
        Category.NETWORK,
        _REQUESTS,
        "mirrored",
        lambda w, v: (w.url(saying(_CHUNKS)) + f"/{v.id}",),
    ),
    (
        "empty-label",
        Category.INVALID_DATA,
        _REQUESTS,
        "mirrored",
        lambda w, v: (f"http://.songs{v.number}.example/{v.id}",),
    ),
    (
        "lyrics-451",
        Category.NOT_FOUND,
        _HTTPX,
        "lyrics",
        lambda w, v: (
            w.http(reply(451, f"withheld in {v.pick('DE', 'JP', 'FR', 'US')}")),
            v.number,
        ),
    ),
    (
        "lyrics-406",
        Category.INVALID_DATA,
        _HTTPX,
        "lyrics",
        lambda w, v: (w.http(reply(406, "ask for text/plain")), v.number),
    ),
    (
        "upload-write-timeout",
        Category.TIMEOUT,
        _HTTPX,
        "upload",
        lambda w, v: (w.url(deaf), v.number, b"\0" * 24_000_000, v.seconds),
    ),
    (
        "proxy-407",
        Category.AUTH,
        _HTTPX,
        "by_proxy",
        lambda w, v: (w.http(reply(407, "sign in", Proxy_Authenticate="Basic")), v.number),
    ),
    (
        "group-of-503",
        Category.SERVER_ERROR,
        _HTTPX,
        "all_parts",
        lambda w, v: (w.http(reply(503, "down")), v.number),
    ),
    (
        "mix-connect-timeout",
        Category.TIMEOUT,
        _AIOHTTP,
        "mix",
        lambda w, v: ("http://{}:{}".format(*w.unanswered()), v.number, v.seconds),
    ),
    (
        "mix-conflict",
        Category.INVALID_DATA,
        _AIOHTTP,
        "mix",
        lambda w, v: (w.http(reply(409, {"state": "being merged"})), v.number),
    ),
    (
        "mix-title-key",
        Category.BUG,
        _AIOHTTP,
        "titles",
        lambda w, v: (w.http(reply(200, {"tracks": [{"name": v.title}]})), v.number),
    ),
    (
        "mix-expired",
        Category.NETWORK,
        _AIOHTTP,
        "mix",
        lambda w, v: (
            "https://{}:{}".format(*w.expired(answering(reply(200, {})), 1 + v.index)),
            v.number,
        ),
    ),
    (
        "cover-expired",
        Category.NETWORK,
        _URLLIB3,
        "cover",
        lambda w, v: (
            *w.expired(silent, 1 + v.index),
            v.number,
            str(w.authority.bundle),
        ),
    ),
    (
        "pool-wait",
        Category.TIMEOUT,
        _URLLIB3,
        "second_cover",
        lambda w, v: (*w.tcp(answering(reply(200, b"x" * 99))), v.number, v.seconds),
    ),
    (
        "thumbnail-refused",
        Category.NETWORK,
        _URLLIB3,
        "thumbnail",
        lambda w, v: (*w.refused(v.port), v.number),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
