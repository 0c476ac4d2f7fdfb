"""The web application: middleware, routers and the manager's life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from dlq.manager.access import BrowserGuard
from dlq.manager.api import (
    edits,
    export,
    groups,
    health,
    jobs,
    leases,
    messages,
    policies,
    problems,
    providers,
    purge,
    regroup,
    replay,
    stats,
)
from dlq.manager.body_limit import BodyLimit
from dlq.manager.service import Manager

DESCRIPTION = """Captures failed enrichment operations, keeps them safe, shows what broke, and
replays them, once, at a pace the provider allows."""


def create_app(manager: Manager) -> FastAPI:
    """The API over one manager, which starts and stops with the application."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        manager.start()
        yield
        await run_in_threadpool(manager.stop)

    app = FastAPI(
        title="DLQ Manager",
        version=health.VERSION,
        description=DESCRIPTION,
        lifespan=life,
    )
    app.state.manager = manager
    # Room for a batch of ordinary messages, or one of the largest that the broker would take.
    app.add_middleware(BodyLimit, max_bytes=2 * manager.settings.max_body_bytes)
    app.add_middleware(BrowserGuard, settings=manager.settings)
    problems.install(app)
    for router in (
        health.router,
        edits.router,
        export.router,
        purge.router,
        messages.router,
        groups.router,
        regroup.router,
        stats.router,
        replay.router,
        jobs.router,
        providers.router,
        policies.router,
        leases.router,
    ):
        app.include_router(router)
    return app
