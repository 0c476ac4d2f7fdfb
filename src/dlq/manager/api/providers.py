"""Providers: how fast they are asked, whether their circuit is open, what waits for them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path

from dlq.errors import NotFound
from dlq.manager.access import Operator, Viewer
from dlq.manager.api.context import TheManager, audited, problems
from dlq.manager.api.schemas.providers import ProviderView
from dlq.manager.service import Manager

router = APIRouter(prefix="/dlq/providers", tags=["providers"])

MOST_NAMES = 20

Name = Annotated[str, Path(min_length=1, max_length=64, description="An error_type.")]


@router.get("", summary="Pace and circuit of each provider", responses=problems())
def list_providers(manager: TheManager, _: Viewer) -> list[ProviderView]:
    """Those that anything is known of, by name."""
    outcomes = manager.ledger.outcomes_by_error_type()
    limits = manager.settings.limits
    known = manager.ledger.providers.all(dt.datetime.now(dt.UTC))
    return [ProviderView.of(each, limits, outcomes.get(each.name)) for each in known]


@router.get("/{name}", summary="Pace and circuit of one", responses=problems())
def get_provider(manager: TheManager, _: Viewer, name: Name) -> ProviderView:
    """Also of one that nothing is known of yet."""
    provider = manager.ledger.providers.get(name, dt.datetime.now(dt.UTC))
    outcomes = manager.ledger.outcomes_by_error_type().get(provider.name)
    return ProviderView.of(provider, manager.settings.limits, outcomes)


@router.post("/{name}/mended", summary="Its credentials are mended", responses=problems(404))
def mended(manager: TheManager, principal: Operator, name: Name) -> ProviderView:
    """What waited for them flows, its circuit closes, and a pause it asked for ends."""
    with audited(manager.ledger, principal, "provider_mended", name):
        _must_be_known(manager, name)
        provider = manager.ledger.providers.mend(
            name, actor=principal.name, now=dt.datetime.now(dt.UTC)
        )
        manager.runner.nudge()
    outcomes = manager.ledger.outcomes_by_error_type().get(provider.name)
    return ProviderView.of(provider, manager.settings.limits, outcomes)


def _must_be_known(manager: Manager, name: str) -> None:
    """A slip of the pen must not answer "mended" while everything goes on waiting.

    Raises: NotFound: nothing has come from it yet.
    """
    known = {each.name for each in manager.ledger.providers.all(dt.datetime.now(dt.UTC))}
    known |= set(manager.ledger.stats().by_error_type)
    if name not in known:
        raise NotFound(
            f"Nothing is known of the provider {name!r}. "
            f"Known are: {', '.join(sorted(known)[:MOST_NAMES]) or 'none yet'}."
        )
