"""Several stores, threads and processes on one database at once, of each kind."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from personalize.catalog import Product
from personalize.policy import Policy
from personalize.store import Adjustment, OrderSnapshot, SnapshotLine, Store
from personalize.store.driver import Access
from personalize.store.layout import order_lines, orders

Work = Callable[[Store], Any]


def at_once(store: Store, works: Sequence[Work]) -> list[Any]:
    """Return what each work returns, all started together, each with a store of its own."""
    found: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(number: int, work: Work) -> None:
        try:
            with Store.open(store.url, create=False) as own:
                start.wait(30)
                found[number] = work(own)
        except Exception as error:  # noqa: BLE001 - a thread's error would be lost
            start.abort()
            found[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [each for each in found if isinstance(each, Exception)] == []
    return found


def snapshot(order_id: str, at: int, product: str = "p", customer: str = "c") -> OrderSnapshot:
    """Return an order as known at a time."""
    return OrderSnapshot(order_id, customer, 1, at, lines=(SnapshotLine(product, 5),))


def stored(store: Store) -> list[tuple[str, str, int]]:
    """Return order, product and what was returned of every line there is."""
    columns = order_lines.c
    with store._database.transaction(Access.READ) as connection:
        rows = connection.execute(
            sa.select(columns.order_id, columns.product_id, columns.returned_quantity)
        )
        return sorted(map(tuple, rows))


def test_snapshots_of_one_order_at_once(store: Store) -> None:
    """Of versions that arrive together the newest stays, once, and its lines alone."""
    for round_ in range(5):
        versions = [snapshot(f"o{round_}", at, f"p{at}", f"c{at % 2}") for at in range(8)]
        random.Random(round_).shuffle(versions)
        at_once(store, [lambda own, v=each: own.put_order(v) for each in versions])
    assert stored(store) == [(f"o{round_}", "p7", 0) for round_ in range(5)]


def test_adjustments_and_snapshots_at_once(store: Store) -> None:
    """No adjustment is lost, whether it arrives before, with or after its order."""
    for round_ in range(5):
        name = f"o{round_}"
        works: list[Work] = [lambda own, n=name: own.put_order(snapshot(n, 9))]
        works += [
            lambda own, n=name, i=i: own.adjust(Adjustment(n, f"a{i}", 5 + i, (("p", -1),)))
            for i in range(4)
        ]
        random.Random(round_).shuffle(works)
        assert all(at_once(store, works))
    assert stored(store) == [(f"o{round_}", "p", 4) for round_ in range(5)]


def test_batches_that_meet_do_not_block_each_other(store: Store) -> None:
    """Batches of the same orders, each in another sequence, all pass; nothing is there twice."""
    names = [f"o{n:02}" for n in range(40)]

    def batch(seed: int) -> Work:
        mixed = random.Random(seed).sample(names, 30)
        return lambda own: [
            own.put_orders([snapshot(name, seed * 10 + turn) for name in mixed])
            for turn in range(5)
        ]

    at_once(store, [batch(seed) for seed in range(6)])
    assert [order_id for order_id, *_ in stored(store)] == names


def test_every_change_of_the_catalogue_has_a_revision(store: Store) -> None:
    """Writers at once get revisions of their own; who asks for changes misses none."""
    changes = [Product(f"p{n}", price=float(n)) for n in range(24)]
    stop = threading.Event()
    seen: dict[str, Product] = {}
    steps: list[int] = [0]

    def look() -> None:
        revision, products = store.products_changed_since(steps[-1])
        steps.append(revision)
        seen.update({each.product_id: each for each in products})

    def follow() -> None:
        while not stop.is_set():
            look()

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        revisions = at_once(
            store,
            [
                lambda own, some=changes[n::6]: [own.put_products([each]) for each in some]
                for n in range(6)
            ],
        )
    finally:
        stop.set()
        reader.join()
    look()
    assert sorted(itertools.chain(*revisions)) == list(range(1, 25))
    assert sorted(seen.values()) == sorted(changes)
    assert steps == sorted(steps)


def test_every_policy_has_a_version(store: Store) -> None:
    """Policies put at once get versions of their own."""
    policies = [Policy.from_dict({"types": {f"T{n}": {"suppress": False}}}) for n in range(6)]
    versions = at_once(store, [lambda own, p=each: own.put_policy(p) for each in policies])
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]


def test_order_waits_for_its_other_writer_only(schema_store: Store) -> None:
    """In PostgreSQL a writer keeps others from its own orders, and from no others."""
    database = schema_store._database
    schema_store.put_order(snapshot("mine", 1))
    with database.transaction(Access.WRITE) as connection:
        connection.execute(sa.select(orders).with_for_update())
        assert schema_store.put_order(snapshot("other", 1))
        thread = threading.Thread(target=schema_store.put_order, args=(snapshot("mine", 2, "q"),))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(30)
    assert stored(schema_store) == [("mine", "q", 0), ("other", "p", 0)]


def test_adjustment_of_an_unseen_order_leaves_no_order(store: Store) -> None:
    """What is kept to wait for an order is no order: not one that was deleted either."""
    store.adjust(Adjustment("o", "a", 5, (("p", -1),)))
    assert store.order("o") is None
    assert store.orders().n_orders == 0
    assert store.put_order(snapshot("o", -(10**15)))


OPENER = """
import sys
from personalize.store import OrderSnapshot, SnapshotLine, Store

print("ready", flush=True)
sys.stdin.readline()
with Store.open(sys.argv[1]) as store:
    for n in range(5):
        order = f"{sys.argv[2]}{n}"
        store.put_order(OrderSnapshot(order, "c", 1, 1, lines=(SnapshotLine("p", 1),)))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_open_an_empty_database_at_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Several processes may make the same store, and fill it, at the same moment."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("new_schema")()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")
    with Store.open(url, create=False) as store:
        assert len(store.customer_lines("c")) == 15
