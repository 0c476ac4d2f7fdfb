"""Mail and FTP."""

from __future__ import annotations

from dlq.classify import Category
from tests.corpus.book import App, Book
from tests.corpus.plans import answering_lines, closing_at_once, greeting

BOOK = Book("mail", error_type="general")

_MAIL = App(
    "notify/mail.py",
    """
    import ftplib
    import smtplib


    def send(host, port, key):
        with smtplib.SMTP(host, port, timeout=1) as server:
            server.login("songs", key)


    def fetch_report(host, port, name):
        with ftplib.FTP(timeout=1) as server:
            server.connect(host, port)
            server.login("songs", "x")
            server.size(f"{name}.csv")
    """,
)


for _name, _category, _app, _function, _setting in (
    (
        "smtp-login",
        Category.AUTH,
        _MAIL,
        "send",
        lambda w, v: (
            *w.tcp(
                greeting(
                    b"220 mail\r\n",
                    answering_lines(
                        {
                            b"EHLO": b"250-mail\r\n250 AUTH PLAIN\r\n",
                            b"AUTH": b"535 5.7.8 Authentication failed\r\n",
                        }
                    ),
                )
            ),
            v.id,
        ),
    ),
    ("smtp-gone", Category.NETWORK, _MAIL, "send", lambda w, v: (*w.tcp(closing_at_once), v.id)),
    (
        "ftp-no-file",
        Category.NOT_FOUND,
        _MAIL,
        "fetch_report",
        lambda w, v: (
            *w.tcp(
                greeting(
                    b"220 ftp\r\n",
                    answering_lines(
                        {
                            b"USER": b"331 password\r\n",
                            b"PASS": b"230 in\r\n",
                            b"SIZE": b"550 No such file\r\n",
                        }
                    ),
                )
            ),
            v.id,
        ),
    ),
    (
        "ftp-login",
        Category.AUTH,
        _MAIL,
        "fetch_report",
        lambda w, v: (
            *w.tcp(
                greeting(
                    b"220 ftp\r\n",
                    answering_lines(
                        {b"USER": b"331 password\r\n", b"PASS": b"530 Login incorrect\r\n"}
                    ),
                )
            ),
            v.id,
        ),
    ),
):
    BOOK.cause(_name, _category, _app, _function, _setting)
