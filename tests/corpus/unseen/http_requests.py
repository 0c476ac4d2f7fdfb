"""requests: what the first part has not."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book, Setting
from tests.corpus.plans import Plan, answering, reply

BOOK = Book("requests2")

_REQUESTS = App(
    "providers/discogs.py",
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry


    class QuotaSpent(Exception):
        pass


    def master(base, number):
        answer = requests.get(f"{base}/masters/{number}", timeout=1)
        answer.raise_for_status()
        return answer.json()


    def update_collection(base, number):
        answer = requests.put(f"{base}/users/songs/collection/{number}", json={}, timeout=1)
        answer.raise_for_status()


    def image(base, number):
        return requests.get(f"{base}/images/{number}.jpg", timeout=1).content


    def inventory(base, number):
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=Retry(
                total=1, backoff_factor=0, status_forcelist=[500, 503], raise_on_status=True
            )))
            return session.get(f"{base}/inventory/{number}", timeout=1).json()


    def by_proxy(proxy, number):
        return requests.get(
            f"http://api.discogs.invalid/releases/{number}", proxies={"http": proxy}, timeout=1
        )


    def connect_slowly(base, number, seconds):
        return requests.get(f"{base}/labels/{number}", timeout=(seconds, 5))


    def want_list(base, number):
        answer = requests.get(f"{base}/users/{number}/wants", timeout=1)
        body = answer.json()
        if body.get("error"):
            raise QuotaSpent(f"{body['error']['message']} ({body['error']['code']})")


    def stream(base, number):
        with requests.get(f"{base}/dump/{number}", stream=True, timeout=1) as answer:
            return sum(len(piece) for piece in answer.iter_content(4096))
    """,
)


def _n(plan: Plan) -> Setting:
    return lambda w, v: (w.url(plan), v.number)


def _told(status: int, body: object, **headers: str) -> Setting:
    answer = reply(status, body, **headers)  # type: ignore[arg-type]
    return _n(answering(answer))


for _name, _category, _app, _function, _setting in (
    (
        "discogs-429",
        Category.RATE_LIMIT,
        _REQUESTS,
        "master",
        _told(429, {"message": "You are making requests too quickly."}),
    ),
    (
        "discogs-401",
        Category.AUTH,
        _REQUESTS,
        "master",
        _told(401, {"message": "You must authenticate to access this resource."}),
    ),
    ("discogs-410", Category.NOT_FOUND, _REQUESTS, "master", _told(410, {"message": "Gone"})),
    ("discogs-408", Category.TIMEOUT, _REQUESTS, "master", _told(408, "Request Timeout")),
    (
        "discogs-520",
        Category.SERVER_ERROR,
        _REQUESTS,
        "master",
        _told(520, "Web server is returning an unknown error"),
    ),
    (
        "put-409",
        Category.INVALID_DATA,
        _REQUESTS,
        "update_collection",
        _told(409, {"message": "Version conflict"}),
    ),
    (
        "put-415",
        Category.INVALID_DATA,
        _REQUESTS,
        "update_collection",
        _told(415, {"message": "Use JSON"}),
    ),
    (
        "put-413",
        Category.INVALID_DATA,
        _REQUESTS,
        "update_collection",
        _told(413, "Payload Too Large"),
    ),
    (
        "put-507",
        Category.SERVER_ERROR,
        _REQUESTS,
        "update_collection",
        _told(507, "Insufficient Storage"),
    ),
    (
        "bad-gzip",
        Category.INVALID_DATA,
        _REQUESTS,
        "image",
        _told(200, b"no gzip at all", Content_Encoding="gzip"),
    ),
    (
        "retry-error",
        Category.SERVER_ERROR,
        _REQUESTS,
        "inventory",
        _told(503, "Service Unavailable"),
    ),
    (
        "quota-json",
        Category.RATE_LIMIT,
        _REQUESTS,
        "want_list",
        _told(200, {"error": {"type": "Exception", "message": "Quota limit exceeded", "code": 4}}),
    ),
    (
        "chunks-cut",
        Category.NETWORK,
        _REQUESTS,
        "stream",
        _n(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc")),
    ),
    (
        "proxy",
        Category.NETWORK,
        _REQUESTS,
        "by_proxy",
        lambda w, v: ("http://{}:{}".format(*w.refused(v.port)), v.number),
    ),
    (
        "connect-timeout",
        Category.TIMEOUT,
        _REQUESTS,
        "connect_slowly",
        lambda w, v: ("http://{}:{}".format(*w.unanswered()), v.number, v.seconds),
    ),
    (
        "dns",
        Category.NETWORK,
        _REQUESTS,
        "image",
        lambda w, v: (f"http://img{v.number}.discogs.invalid", v.number),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
