"""What the shop decides: read, and put in force."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from starlette.responses import Response

import personalize as pz
from service import answers
from service.inputs import policy_of, takes
from service.openapi import answers as documented
from service.problems import Conflict
from service.schemas import PolicyApplied, PolicyBody, PolicyOut
from service.security import Admin
from service.shop import Shop

router = APIRouter(tags=["policy"])


@router.get(
    "/v1/policy", operation_id="read_policy", responses=documented(PolicyOut, 401, 403, 422, 503)
)
async def read_policy(shop: Admin) -> Response:
    """Return the policy in force and its version; version 0 is the empty one."""
    version, policy = await run_sync(shop.store.policy)
    return answers.reply({"version": version, **policy.to_dict()})


@router.put(
    "/v1/policy",
    operation_id="put_policy",
    responses=documented(PolicyApplied, 400, 401, 403, 409, 413, 415, 422, 503),
)
async def put_policy(shop: Admin, body: Annotated[PolicyBody, takes(PolicyBody)]) -> Response:
    """Put a policy in force, as a whole, without retraining; every worker has it in 5 seconds."""
    policy = policy_of(body)
    return answers.reply(await shop.write(lambda: _put(shop, policy, body.version)))


def _put(shop: Shop, policy: pz.Policy, expected: int | None) -> dict[str, Any]:
    newest, _ = shop.store.policy()
    if expected not in (None, newest):
        raise Conflict(f"the policy is at version {newest} by now, not {expected}; read it again")
    version = shop.store.put_policy(policy, created_at=shop.live.now())
    shop.live.refresh()
    return {"applied": True, "version": version, **policy.to_dict()}
