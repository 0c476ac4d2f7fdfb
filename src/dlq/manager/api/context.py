"""What every router shares: the manager behind a request, and the audit trail of writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from dlq.errors import DLQError, LedgerError
from dlq.ledger.base import AuditEntry, Ledger
from dlq.manager.access import Principal
from dlq.manager.api.schemas.answers import Problem
from dlq.manager.service import Manager

logger = logging.getLogger(__name__)


def manager_of(request: Request) -> Manager:
    manager: Manager = request.app.state.manager
    return manager


TheManager = Annotated[Manager, Depends(manager_of)]


@dataclass(slots=True)
class Audited:
    """What the audit row will say; the write may add to it."""

    result: str = "ok"
    detail: dict[str, Any] = field(default_factory=dict)


@contextmanager
def audited(ledger: Ledger, principal: Principal, action: str, target: str) -> Iterator[Audited]:
    """Leave an audit row for a write, whatever becomes of it.

    A ledger that cannot take the row does not undo the write, which is committed: the entry
    goes to the log instead.
    """
    row = Audited()
    try:
        yield row
    except DLQError as error:
        row.result = error.code
        raise
    except Exception:
        row.result = "error"
        raise
    finally:
        try:
            ledger.audit(AuditEntry(principal.name, action, target, row.result, detail=row.detail))
        except LedgerError:
            logger.exception(
                "No audit row for %s of %r by %r: %s", action, target, principal.name, row.result
            )


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's account of the errors an endpoint answers with."""
    return {code: {"model": Problem} for code in (401, 403, 422, 503, *codes)}
