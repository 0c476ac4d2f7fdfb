"""Requests to the manager's API, with its answers turned into our errors.

Used by the worker's HTTP source and by the CLI.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dlq.errors import (
    BrokerUnavailable,
    DLQError,
    IllegalTransition,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    PublishRejected,
    SettingsError,
)
from dlq.settings import Settings, without_password

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0


class ManagerHttp:
    """One manager, by its URL and token; thread-safe.

    Every method raises:
        BrokerUnavailable: nothing answers there, or the manager's broker is away.
        LedgerUnavailable: the manager's database is away.
        PublishRejected: the token is missing, unknown, or its role does not suffice.
        NotFound, IllegalTransition, InvalidInput: as the manager says.
        DLQError: anything else, with what came.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = without_password(settings.url)
        headers = {"Accept": "application/json"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        self._client = httpx2.Client(
            base_url=settings.url,
            headers=headers,
            timeout=httpx2.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            # A proxy of the environment cannot reach this machine's loopback.
            trust_env=not is_loopback(settings.url),
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Any = None,
        json: Any = None,
        timeout_s: float | None = None,
        also_fine: int | None = None,
    ) -> httpx2.Response:
        """One request, answered 2xx.

        Args:
            path: from the root, its parts already percent-encoded.
            timeout_s: for the answer; default ANSWER_TIMEOUT_S.
            also_fine: a status beyond 2xx that is no error here.
        """
        if self._client.is_closed:  # a handler that came back after its worker was closed
            raise BrokerUnavailable(f"The connection to {self.url} was closed.")
        with self._translated():
            response = self._client.request(
                method, path, params=params, json=json, timeout=self._timeout(timeout_s)
            )
        if response.status_code != also_fine:
            raise_for_answer(response, self.url)
        return response

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        method: str = "GET",
        params: Any = None,
        json: Any = None,
        timeout_s: float | None = None,
    ) -> Iterator[httpx2.Response]:
        """A request whose answer is read as it comes. `timeout_s`: between two pieces of it."""
        timeout = self._timeout(timeout_s)
        with (
            self._translated(),
            self._client.stream(
                method, path, params=params, json=json, timeout=timeout
            ) as response,
        ):
            if response.is_error:
                response.read()
            raise_for_answer(response, self.url)
            yield response

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _timeout(timeout_s: float | None) -> httpx2.Timeout:
        return httpx2.Timeout(timeout_s or ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException as error:
            raise BrokerUnavailable(
                f"The manager at {self.url} took too long to answer. Try again; if it goes on, "
                "look at its log and at GET /health."
            ) from error
        except httpx2.HTTPError as error:
            raise BrokerUnavailable(
                f"The manager at {self.url} does not answer ({type(error).__name__}). "
                "Is it running? Start it with `dlq serve`, or set DLQ_URL."
            ) from error


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def raise_for_answer(response: httpx2.Response, url: str) -> None:
    """Do nothing for 2xx; else raise what the answer means."""
    if response.is_success:
        return
    code, detail = _problem(response)
    if response.status_code == 401:
        raise PublishRejected(f"The manager at {url} refuses: {detail} Then set DLQ_TOKEN to it.")
    if response.status_code == 403:
        raise PublishRejected(f"The manager at {url} refuses: {detail}")
    raise _error_class(response.status_code, code)(detail)


def _error_class(status: int, code: str) -> type[DLQError]:
    by_code: dict[str, type[DLQError]] = {
        "ledger_unavailable": LedgerUnavailable,
        "broker_unavailable": BrokerUnavailable,
        "not_found": NotFound,
    }
    if code in by_code:
        return by_code[code]
    if status == 404:
        return SettingsError  # no dead letter lacks: the path is not the manager's
    if status >= 500:
        return BrokerUnavailable
    by_status: dict[int, type[DLQError]] = {
        409: IllegalTransition,
        422: InvalidInput,
    }
    return by_status.get(status, DLQError)


def _problem(response: httpx2.Response) -> tuple[str, str]:
    """The answer's code and text, as far as it has any."""
    try:
        document = response.json()
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and isinstance(document.get("detail"), str):
        code = str(document.get("code", ""))
        if code == "no_such_path":
            return code, f"No such path: {response.request.url.path}. Check DLQ_URL."
        return code, document["detail"]
    return "", (
        f"{response.request.url.path} answered {response.status_code} {response.reason_phrase}, "
        "not as a DLQ manager does. Check DLQ_URL."
    )
