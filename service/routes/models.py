"""The versions of the model: which there are, and which one is served."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

import personalize as pz
from service import answers
from service.inputs import takes
from service.openapi import answers as documented
from service.problems import Invalid, NotFound, NotReady
from service.schemas import ModelApplied, ModelBody, ModelCurrent, ModelsOut
from service.security import Admin
from service.shop import Shop

log = logging.getLogger("personalize.service")

router = APIRouter(tags=["models"])


@router.get(
    "/v1/models", operation_id="list_models", responses=documented(ModelsOut, 401, 403, 422, 503)
)
async def list_models(shop: Admin) -> Response:
    """Return the versions there are, and which one is current."""
    return answers.reply(await run_sync(_versions, shop.watch.directory))


@router.get(
    "/v1/models/current",
    operation_id="read_current_model",
    responses=documented(ModelCurrent, 401, 403, 404, 422, 503),
)
async def read_current_model(shop: Admin) -> Response:
    """Return the version that is current, and what the answering process serves."""
    version = await run_sync(shop.watch.directory.current)
    if version is None:
        raise NotFound("no model is current; run `personalize train`, or PUT one of /v1/models")
    return answers.reply(_current(shop, version))


@router.put(
    "/v1/models/current",
    operation_id="put_current_model",
    responses=documented(ModelApplied, 400, 401, 403, 404, 413, 415, 422, 503),
)
async def put_current_model(shop: Admin, body: Annotated[ModelBody, takes(ModelBody)]) -> Response:
    """Serve a version from now on, also to roll back; every worker does so in 5 seconds.

    It is loaded before it is made current: one that is damaged is refused, and nothing changes.
    """
    await shop.write(lambda: _switch(shop, body.version))
    return answers.reply({"applied": True, **_current(shop, body.version)})


def _versions(directory: pz.ModelsDirectory) -> dict[str, Any]:
    current = directory.current()
    rows = [_described(directory, version, current) for version in directory.versions()]
    return {"current": current, "models": rows}


def _described(directory: pz.ModelsDirectory, version: str, current: str | None) -> dict[str, Any]:
    manifest: Mapping[str, Any] = {}
    problem = None
    try:
        manifest = directory.manifest(version)
    except pz.ArtifactError as error:
        problem = _seen(error)
    counts = manifest.get("counts", {})
    return {
        "version": version,
        "current": version == current,
        "as_of": manifest.get("as_of"),
        **{name: counts.get(name) for name in ("orders", "customers", "products")},
        "problem": problem,
    }


def _current(shop: Shop, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "model_version": shop.live.model_version,
        "as_of": answers.moment(shop.live.model_as_of),
    }


def _switch(shop: Shop, version: str) -> None:
    directory = shop.watch.directory
    if version not in directory.versions():
        raise NotFound(f"there is no version {version!r}; GET /v1/models has those there are")
    try:
        shop.watch.switch(version)
    except pz.ArtifactError as error:
        log.error("model %s is not made current: %s", version, error)
        if error.path == directory.folder:
            raise NotReady(
                "the models folder cannot be written, so nothing was changed; the log says why"
            ) from error
        detail = f"{_seen(error)}; nothing was changed: train again, or choose another version"
        raise Invalid(f"#/version: {detail}", [("#/version", detail)]) from error


def _seen(error: pz.ArtifactError) -> str:
    """Return what is wrong with a version, without the folders of this machine."""
    name = getattr(error.path, "name", "the artifact")
    return f"{name} is missing, damaged, or of another format; the log says more"
