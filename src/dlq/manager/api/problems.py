"""Errors as HTTP answers: one table from the tree of exceptions to status codes."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dlq.errors import (
    DLQError,
    IllegalTransition,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    SettingsError,
    TransportError,
)
from dlq.manager import body_limit
from dlq.manager.access import AccessDenied, NotAuthenticated
from dlq.payload import clean_text
from dlq.policy import PolicyError

logger = logging.getLogger(__name__)

STATUS_OF: tuple[tuple[type[DLQError], int], ...] = (
    (NotFound, 404),
    (IllegalTransition, 409),
    (InvalidInput, 422),
    (NotAuthenticated, 401),
    (AccessDenied, 403),
    (LedgerUnavailable, 503),
    (TransportError, 503),
    (PolicyError, 422),  # policies that somebody wants rehearsed
    (SettingsError, 500),
)
CODE_OF_STATUS = {
    400: "invalid_input",
    404: "no_such_path",
    405: "method_not_allowed",
    413: body_limit.CODE,
}


def install(app: FastAPI) -> None:
    app.add_exception_handler(DLQError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def _known(request: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS_OF if isinstance(error, kind)), 500)
    code = error.code if isinstance(error, DLQError) else "error"
    if status >= 500:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _answer(status, code, str(error), headers)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Say where, what was expected and, shortened, what came."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = []
    for problem in found[:5]:
        where = ".".join(str(part) for part in problem["loc"])
        came = clean_text(repr(problem.get("input"))[:80])
        told.append(f"{where}: {problem['msg']} (got {came})")
    more = f" … and {len(found) - 5} more" if len(found) > 5 else ""
    return _answer(422, "invalid_input", "; ".join(told) + more)


def _http(_request: Request, error: Exception) -> JSONResponse:
    status, detail = 500, "error"
    headers = None
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, str(error.detail), error.headers
    return _answer(status, CODE_OF_STATUS.get(status, "error"), detail, dict(headers or {}))


def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    """The server logs the error itself; its words may hold anything and stay there."""
    detail = "The manager met an error that it did not foresee; its log has the details."
    return _answer(500, "internal_error", detail)


def _answer(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"detail": detail, "code": code}, status_code=status, headers=headers)
