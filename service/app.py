"""The application as a value: `create_app(settings)` reads nothing but its argument."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

import personalize as pz
from service import cors, logs, problems, schemas
from service.commits import Commits
from service.connections import Connections, Limits
from service.demand import DemandRefresh
from service.draining import draining
from service.edge import Edge
from service.lean import Lean
from service.metrics import Metrics
from service.openapi import described
from service.routes import health, models, orders, policy, products, recommendations, suppressions
from service.security import Gate
from service.settings import PATIENCE, Settings
from service.shop import Shop
from service.vitals import Vitals, has_other_workers
from service.watch import ModelWatch

_SUBJECTS = (orders, products, policy, models, suppressions, recommendations, health)
_WRITERS = 8
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
log = logging.getLogger("personalize.service")
_DESCRIPTION = """\
Orders come in, and every question is answered with them: what a customer must not be shown any
more, and what goes with what they bought. See docs/http-api.md.
"""


def create_app(settings: Settings | None = None, *, clock: pz.Clock = pz.system_clock) -> FastAPI:
    """Return the application; its store is open, and the current model loaded if there is one.

    Parameters
    ----------
    settings : Settings, optional
        Default: those of the environment, read now.
    clock : callable, optional
        Returns the present; default: the machine's clock.

    Raises
    ------
    StoreError
        If the store cannot be opened.
    """
    settings = settings or Settings()
    shop = _open(settings, clock)
    refresh = DemandRefresh(settings, shop.watch.directory, shop.live, shop.metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        shop.watch.start()
        refresh.start()
        try:
            with draining(shop.connections, settings.drain_seconds):
                async with sampling(shop):
                    yield {"connections": shop.connections, "at_once": app.lean.at_once}
        finally:
            refresh.stop()
            shop.watch.stop()
            shop.store.close()

    app = Application(
        title="personalize",
        version=pz.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.shop = shop
    for subject in _SUBJECTS:
        app.include_router(subject.router)
    problems.install(app, calls())
    if settings.origins:
        cors.allow(app, settings.origins)
    app.add_middleware(Edge, metrics=shop.metrics, access_log=settings.access_log)

    def openapi() -> dict[str, Any]:
        return described(app, calls(), schemas.MODELS)

    app.openapi = openapi  # type: ignore[method-assign]
    app.lean = Lean(partial(FastAPI.__call__, app), shop)
    return app


class Application(FastAPI):
    """The documented routes, with the lean path before them."""

    lean: Lean

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.lean(scope, receive, send)


@asynccontextmanager
async def sampling(shop: Shop) -> AsyncIterator[None]:
    """Keep the gauges that other workers' scrapes show up to date, if there are others."""
    if not has_other_workers():
        yield
        return
    task = asyncio.create_task(shop.vitals.keep_sampling(shop))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def calls() -> list[APIRoute]:
    """Return every call that there is."""
    return [
        route
        for subject in _SUBJECTS
        for route in subject.router.routes
        if isinstance(route, APIRoute)
    ]


def from_environment() -> FastAPI:
    """Return the application with the settings of the environment, and log as they say.

    For servers that make their own application: ``--factory service.app:from_environment``.
    """
    settings = Settings()
    log_as(settings)
    return create_app(settings)


def settle() -> None:
    """Leave all that is there by now, modules and model, out of later garbage collections.

    A collection holds up every request: a full one takes as long as there are objects to visit, and
    loading a model sets several off. A request makes hundreds of objects and hardly ever a circle
    of them: what is new is looked at every so many, not every 700.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def log_as(settings: Settings) -> None:
    """Log to stderr, as `service.logs` has it."""
    logs.install(settings)


def _open(settings: Settings, clock: pz.Clock) -> Shop:
    store = pz.Store.open(settings.store, patience=PATIENCE)
    live = pz.Personalizer(store, None, clock=clock, refresh_seconds=None)
    watch = ModelWatch(pz.ModelsDirectory(settings.models), live, settings.watch_seconds)
    if not settings.models.is_dir():
        log.warning("models %s: there is no such folder yet", settings.models)
    watch.tick()
    vitals = Vitals()
    return Shop(
        settings=settings,
        store=store,
        live=live,
        watch=watch,
        gate=Gate(store, settings, vitals),
        metrics=Metrics(live),
        vitals=vitals,
        connections=Connections(Limits.of(settings), vitals.refused),
        writers=CapacityLimiter(_WRITERS),
        commits=Commits(store),
    )
