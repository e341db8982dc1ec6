"""Orders that are made durable together: each caller gets their own outcome, and only then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from service_shop import COAT, Client, order_body

import personalize as pz
from service.commits import MAX_ORDERS, Commits


class SlowStore:
    """Stores when it may, and tells in which groups."""

    def __init__(self, *, is_embedded: bool = True) -> None:
        self.is_embedded = is_embedded
        self.gate = threading.Event()
        self.groups: list[list[str]] = []
        self.error: Exception | None = None

    def put_orders(self, snapshots: Sequence[pz.OrderSnapshot]) -> list[bool]:
        """Store all, or raise for a bad one."""
        self.groups.append([one.order_id for one in snapshots])
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        if any(one.order_id.startswith("bad") for one in snapshots):
            raise pz.InvalidOrdersError([])
        return [not one.order_id.startswith("stale") for one in snapshots]

    def put_order(self, snapshot: pz.OrderSnapshot) -> bool:
        """Store one."""
        return self.put_orders([snapshot])[0]


def snapshot(order_id: str) -> pz.OrderSnapshot:
    """Return an order."""
    return pz.OrderSnapshot(order_id, "c-1", 0, 0, lines=(pz.SnapshotLine(COAT, 1),))


def put(store: SlowStore, order_ids: Sequence[str], leaves: Sequence[str] = ()) -> list[Any]:
    """Put orders at once, the first a moment earlier; return every outcome."""

    async def run() -> list[Any]:
        commits = Commits(store)  # type: ignore[arg-type]
        tasks = {order_ids[0]: asyncio.create_task(commits.put(snapshot(order_ids[0])))}
        while not store.groups:
            await asyncio.sleep(0.001)
        for order_id in order_ids[1:]:
            tasks[order_id] = asyncio.create_task(commits.put(snapshot(order_id)))
        await asyncio.sleep(0.05)
        for order_id in leaves:
            tasks[order_id].cancel()
        assert not any(task.done() for name, task in tasks.items() if name not in leaves)
        store.gate.set()
        return list(await asyncio.gather(*tasks.values(), return_exceptions=True))

    return asyncio.run(run())


def test_orders_that_wait_share_a_commit() -> None:
    """What comes while a group is being written is the next group; outcomes are each one's own."""
    store = SlowStore()
    assert put(store, ["a", "b", "stale-c", "d"]) == [True, True, False, True]
    assert store.groups == [["a"], ["b", "stale-c", "d"]]


def test_whoever_asks_again_at_once_is_served() -> None:
    """An order put in the very turn in which the last group ended does not wait for another."""
    store = SlowStore()
    store.gate.set()

    async def run() -> list[bool]:
        commits = Commits(store)  # type: ignore[arg-type]
        return [await asyncio.wait_for(commits.put(snapshot(str(n))), 10) for n in range(20)]

    async def plainly() -> list[bool]:
        commits = Commits(store)  # type: ignore[arg-type]
        return [await commits.put(snapshot(str(n))) for n in range(20)]

    assert asyncio.run(run()) == [True] * 20
    assert asyncio.run(asyncio.wait_for(plainly(), 10)) == [True] * 20


def test_a_bad_order_harms_nobody_else() -> None:
    """One that is not allowed is told so; the others of its group are stored."""
    outcomes = put(SlowStore(), ["a", "b", "bad-c", "d"])
    assert outcomes[:2] + outcomes[3:] == [True, True, True]
    assert isinstance(outcomes[2], pz.InvalidOrdersError)


def test_a_failure_is_everybodys() -> None:
    """Nothing of a group is stored if the store is gone, and everyone is told."""
    store = SlowStore()
    store.error = pz.StoreError("gone")
    assert all(isinstance(one, pz.StoreError) for one in put(store, ["a", "b"]))


def test_a_caller_that_leaves_changes_nothing() -> None:
    """The order of a caller who has gone is stored with the others."""
    store = SlowStore()
    outcomes = put(store, ["a", "b", "c"], leaves=["a", "b"])
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [True, True, False]
    assert store.groups == [["a"], ["b", "c"]]


def test_groups_are_bounded_and_may_overlap_on_a_server() -> None:
    """No group is larger than allowed; a database with many writers has several at once."""
    many = [str(n) for n in range(MAX_ORDERS + 11)]
    store = SlowStore()
    assert put(store, many) == [True] * len(many)
    assert [len(group) for group in store.groups] == [1, MAX_ORDERS, 10]
    server = SlowStore(is_embedded=False)
    assert put(server, ["a", "b", "c"]) == [True] * 3
    assert sorted(each for group in server.groups for each in group) == ["a", "b", "c"]


def test_orders_over_http_keep_their_own_outcome(client: Client) -> None:
    """A stale order among new ones is the only one that is not applied."""
    client.order("o-1", "c-1", COAT, updated_at="2026-11-21T12:00:00Z")
    stale = client.put("/v1/orders/o-1", order_body("c-1", COAT))
    assert stale.json() == {"applied": False}
    assert client.put("/v1/orders/o-2", order_body("c-1", COAT)).json() == {"applied": True}


@pytest.mark.parametrize("quantity", [0, -1])
def test_refused_orders_do_not_reach_a_group(client: Client, quantity: int) -> None:
    """What the body does not allow is a 422 before anything waits."""
    body = order_body("c-1", lines=[{"product_id": COAT, "quantity": quantity}])
    assert client.put("/v1/orders/o-1", body).status_code == 422
