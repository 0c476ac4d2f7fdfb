"""What every router shares: the manager behind a request, and the audit trail of writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def audited(
    ledger: Ledger, principal: Principal, action: str, target: str, **detail: Any
) -> Iterator[None]:
    """Leave an audit row for a write, whatever becomes of it.

    A ledger that cannot take the row does not undo the write, which is committed: the entry
    goes to the log instead.
    """
    result = "ok"
    try:
        yield
    except DLQError as error:
        result = error.code
        raise
    except Exception:
        result = "error"
        raise
    finally:
        try:
            ledger.audit(AuditEntry(principal.name, action, target, result, detail=detail))
        except LedgerError:
            logger.exception(
                "No audit row for %s of %r by %r: %s", action, target, principal.name, result
            )


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's account of the errors an endpoint answers with."""
    return {code: {"model": Problem} for code in (401, 403, 422, 503, *codes)}
