"""Who may do what: bearer tokens, roles, and the checks that keep browsers' tricks out.

Without any token the manager serves loopback only and everyone there is admin; the checks
on `Host` and on cross-site writes keep web pages that the operator happens to visit from
using that.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from dlq.errors import DLQError, SettingsError
from dlq.manager.tokens import Role, TokenStore
from dlq.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessDenied(DLQError):
    """The caller is known, but its role does not allow this."""

    code = "forbidden"


class NotAuthenticated(DLQError):
    """There is no valid bearer token."""

    code = "unauthenticated"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling; `name` goes into history and audit."""

    name: str
    role: Role


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_binding(settings: Settings, tokens: TokenStore) -> None:
    """Refuse to serve the network without any token.

    Raises:
        SettingsError: says how to make a token.
    """
    if is_loopback(settings.host) or tokens.required:
        return
    if settings.insecure:
        logger.warning(
            "Serving %s:%d WITHOUT any access control (--insecure): everyone who can reach it "
            "may replay and delete",
            settings.host,
            settings.port,
        )
        return
    raise SettingsError(
        f"Without a token the manager serves loopback only, and {settings.host} is not loopback. "
        "Make a token first: dlq token create --name me --role admin; or listen on 127.0.0.1; "
        "or, knowing that everyone who reaches it may delete, pass --insecure."
    )


def principal_of(request: Request) -> Principal:
    """Who calls, by the Authorization header.

    Raises:
        NotAuthenticated: a token is required, and none or a wrong one came.
    """
    tokens: TokenStore = request.app.state.manager.tokens
    if not tokens.required:
        return Principal("local", Role.ADMIN)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    token = tokens.find(secret.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise NotAuthenticated(
            "Expected the header 'Authorization: Bearer <token>' with a valid token. "
            "Make one on the manager's machine: dlq token create --name me --role operator"
        )
    return Principal(token.name, token.role)


def needs(role: Role) -> Callable[[Request], Principal]:
    """A dependency that lets callers of at least `role` through."""

    def check(request: Request) -> Principal:
        principal = principal_of(request)
        if not principal.role.may_act_as(role):
            raise AccessDenied(
                f"This needs the role {role}; token '{principal.name}' has {principal.role}."
            )
        return principal

    return check


Viewer = Annotated[Principal, Depends(needs(Role.VIEWER))]
Operator = Annotated[Principal, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Principal, Depends(needs(Role.ADMIN))]


class BrowserGuard:
    """Middleware: answers only under its own names, and refuses cross-site writes.

    A page on another site can make the operator's browser send requests here. By DNS
    rebinding it could read the answers too, but then `Host` is that page's name: an IP
    literal cannot be rebound, so those are let through.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._any_host = "*" in settings.allowed_hosts
        self._names = {
            "localhost",
            socket.gethostname().lower(),
            settings.host.lower(),
            *(name.lower() for name in settings.allowed_hosts),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = _hostname(headers.get("host", ""))
        if not self._known(host):
            return _refuse(
                421,
                "unknown_host",
                f"This manager does not answer under the name {host!r}. "
                "If it should, add the name to DLQ_ALLOWED_HOSTS.",
            )
        if scope["method"] not in SAFE_METHODS and _is_cross_site(headers):
            return _refuse(
                403, "cross_site", "A write that comes from a page of another site is refused."
            )
        return None

    def _known(self, host: str) -> bool:
        return self._any_host or host in self._names or _is_ip(host)


def _is_cross_site(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    # Browsers too old for Sec-Fetch-Site still say where a write comes from.
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


def _hostname(host_header: str) -> str:
    try:
        return (urlsplit(f"//{host_header}").hostname or "").lower()
    except ValueError:
        return ""


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refuse(status: int, code: str, detail: str) -> JSONResponse:
    body: dict[str, Any] = {"detail": detail, "code": code}
    return JSONResponse(body, status_code=status)
