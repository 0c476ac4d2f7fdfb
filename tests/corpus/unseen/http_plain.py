"""urllib, urllib3 and http.client: what the first part has not."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, closing, reply, silent

BOOK = Book("plain-http")

_PLAIN = App(
    "providers/plain.py",
    """
    import http.client
    import urllib.request

    import urllib3


    def charts(base, week):
        with urllib.request.urlopen(f"{base}/charts/{week}", timeout=1) as answer:
            return answer.read()


    def history(host, port, week):
        link = http.client.HTTPConnection(host, port, timeout=1)
        try:
            link.request("GET", f"/history/{week}")
            return link.getresponse().read()
        finally:
            link.close()


    def twice(host, port, week):
        link = http.client.HTTPConnection(host, port, timeout=1)
        try:
            link.request("GET", f"/history/{week}")
            link.request("GET", f"/history/{week}")
        finally:
            link.close()


    def by_path(host, port, path):
        link = http.client.HTTPConnection(host, port, timeout=1)
        try:
            link.request("GET", path)
        finally:
            link.close()


    def genres(base, week):
        retry = urllib3.Retry(1, backoff_factor=0, status_forcelist=[503])
        with urllib3.PoolManager(retries=retry) as pool:
            return pool.request("GET", f"{base}/genres/{week}", timeout=1).data


    def waveform(base, week):
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request("GET", f"{base}/waveform/{week}", timeout=1).data


    def slow_connect(base, week, seconds):
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request("GET", f"{base}/slow/{week}", timeout=seconds)


    def unknown_host(base, week):
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request("GET", f"{base}/x/{week}", timeout=1)


    def parse(base, week):
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request("GET", f"http://[{base}/x/{week}")
    """,
)


def _n(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.number)


def _told(status: int, body: object, **headers: str) -> Setting:
    answer = reply(status, body, **headers)  # type: ignore[arg-type]
    return _n(answering(answer))


def _host(plan: Plan) -> Setting:
    return lambda w, v: (*w.tcp(plan), v.number)


for _name, _category, _app, _function, _setting in (
    ("urllib-401", Category.AUTH, _PLAIN, "charts", _told(401, "Unauthorized")),
    ("urllib-429", Category.RATE_LIMIT, _PLAIN, "charts", _told(429, "Too Many Requests")),
    ("urllib-503", Category.SERVER_ERROR, _PLAIN, "charts", _told(503, "down for maintenance")),
    (
        "urllib-refused",
        Category.NETWORK,
        _PLAIN,
        "charts",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.number),
    ),
    ("client-closed", Category.NETWORK, _PLAIN, "history", _host(closing)),
    (
        "client-cut",
        Category.NETWORK,
        _PLAIN,
        "history",
        _host(answering(reply(200, "x" * 300)[:-77])),
    ),
    ("client-state", Category.BUG, _PLAIN, "twice", _host(silent)),
    (
        "client-path",
        Category.INVALID_DATA,
        _PLAIN,
        "by_path",
        lambda w, v: (*w.tcp(silent), f"/history/{v.number} of\n{v.number}"),
    ),
    ("urllib3-503s", Category.SERVER_ERROR, _PLAIN, "genres", _told(503, "Service Unavailable")),
    (
        "urllib3-cut",
        Category.NETWORK,
        _PLAIN,
        "waveform",
        _n(answering(reply(200, b"\0" * 400)[:-50])),
    ),
    (
        "urllib3-bad-zlib",
        Category.INVALID_DATA,
        _PLAIN,
        "waveform",
        _told(200, b"\x01\x02garbage", Content_Encoding="deflate"),
    ),
    (
        "urllib3-connect-timeout",
        Category.TIMEOUT,
        _PLAIN,
        "slow_connect",
        lambda w, v: ("http://{}:{}".format(*w.unanswered()), v.number, v.seconds),
    ),
    (
        "urllib3-dns",
        Category.NETWORK,
        _PLAIN,
        "unknown_host",
        lambda w, v: (f"http://genres{v.number}.invalid", v.number),
    ),
    (
        "urllib3-location",
        Category.INVALID_DATA,
        _PLAIN,
        "parse",
        lambda w, v: (f"::{v.number}zz", v.number),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
