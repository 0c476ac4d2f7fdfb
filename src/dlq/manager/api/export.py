"""Dead letters as one stream: JSON lines, CSV or Parquet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query

from dlq.errors import LedgerError
from dlq.export import Format, written
from dlq.ledger.base import Ledger
from dlq.manager.access import Viewer
from dlq.manager.api.context import TheManager, problems
from dlq.manager.api.messages import Where
from dlq.manager.api.schemas.letters import DeadLetterView
from dlq.manager.api.streaming import Streamed
from dlq.query import Filter

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/dlq", tags=["dead letters"])


@router.get("/export", summary="Stream dead letters as a file", responses=problems())
def export(
    manager: TheManager,
    _: Viewer,
    where: Where,
    as_format: Annotated[Format, Query(alias="format")] = Format.JSONL,
) -> Streamed:
    """JSONL (one object a line), CSV or Parquet, in order of arrival; docs/export.md has them.

    `X-Total-Count` is what there was when it began; a filter with free text or a part of the
    payload has none, since counting would be as much work as the export. Memory stays constant.
    A stream that fails on the way ends without its last chunk: clients see it as broken.
    """
    headers = {"Content-Disposition": f'attachment; filename="dead-letters.{as_format}"'}
    if not where.text_terms:
        headers["X-Total-Count"] = str(manager.ledger.count(where))
    pieces = written(as_format, DeadLetterView, _views(manager.ledger, where))
    return Streamed(pieces, media_type=as_format.media_type, headers=headers)


def _views(ledger: Ledger, where: Filter) -> Iterator[DeadLetterView]:
    try:
        for letter in ledger.iterate(where):
            yield DeadLetterView.of(letter)
    except LedgerError as error:
        logger.warning("An export broke off: %s", error)
        raise
