"""What is asked: pairs of the shop's own customers, some of them owned; orders; answers checked.

Everything is drawn from the store that is asked, by a seed.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from benchmarks.serving.generator import Request
from benchmarks.serving.postgres import connect
from benchmarks.serving.shop import Size

N_PAIRS: Final = 4_096
_SAMPLE: Final = 200
"""Answers that are compared with what the store holds."""
_JSON: Final = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Customer:
    """What one customer has.

    Parameters
    ----------
    customer_id : str
    kept : tuple of str
        Products that they bought and did not send back, distinct.
    seen : frozenset of str
        Products that they ever bought.
    order_id : str
        One of their orders.
    """

    customer_id: str
    kept: tuple[str, ...]
    seen: frozenset[str]
    order_id: str


@contextmanager
def _rows(store: str) -> Iterator[Any]:
    """Yield a function from a customer's id to rows of product, order and whether it is kept."""
    columns = "product_id, order_id, returned_quantity < quantity"
    sql = f"SELECT {columns} FROM order_lines WHERE customer_id = {{}} ORDER BY ordered_at"
    if store.startswith("sqlite"):
        file = store.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            yield lambda name: connection.execute(sql.format("?"), (name,)).fetchall()
    else:
        with connect(store) as bare:
            yield lambda name: bare.execute(sql.format("%s"), (name,)).fetchall()


def customers(store: str, size: Size, n: int, seed: int = 0) -> list[Customer]:
    """Return `n` customers drawn at random, with what they bought."""
    rng = np.random.default_rng([seed, 10])
    numbers = rng.choice(size.customers, size=min(n, size.customers), replace=False)
    found = []
    with _rows(store) as rows:
        for number in numbers:
            name = f"C{number:08}"
            bought = rows(name)
            kept = dict.fromkeys(product for product, _, is_kept in bought if is_kept)
            seen = frozenset(product for product, _, _ in bought)
            found.append(Customer(name, tuple(kept), seen, bought[-1][1]))
    return found


def pairs(
    some: Sequence[Customer], size: Size, owned_every: int, seed: int = 0
) -> list[tuple[str, str]]:
    """Return one pair of each customer; in every so many the product is one that they own."""
    rng = np.random.default_rng([seed, 11])
    drawn = rng.integers(size.products, size=len(some))
    return [
        (one.customer_id, one.kept[number % len(one.kept)])
        if place % owned_every == 0 and one.kept
        else (one.customer_id, f"P{number:07}")
        for place, (one, number) in enumerate(zip(some, drawn.tolist(), strict=True))
    ]


def single(asked: Sequence[tuple[str, str]]) -> list[Request]:
    """Return the single check of each pair."""
    return [
        {"method": "GET", "path": f"/v1/customers/{customer}/suppressions/{product}"}
        for customer, product in asked
    ]


def hundred(some: Sequence[Customer], size: Size, seed: int = 0) -> list[Request]:
    """Return a check of 100 products per customer who owns 5: those 5 and 95 others."""
    rng = np.random.default_rng([seed, 12])
    out = []
    for one in some:
        if len(one.kept) < 5:
            continue
        others = (f"P{number:07}" for number in rng.integers(size.products, size=95).tolist())
        asked = [*one.kept[:5], *others]
        rng.shuffle(asked)
        out.append(post("/v1/suppressions/check", customer_id=one.customer_id, product_ids=asked))
    return out


def recommendations(some: Sequence[Customer], size: Size, seed: int = 0) -> list[Request]:
    """Return a question per customer: what goes with an order of 5 lines, for its confirmation."""
    rng = np.random.default_rng([seed, 13])
    out = []
    for one in some:
        rest = (f"P{number:07}" for number in rng.integers(size.products, size=5).tolist())
        lines = list(dict.fromkeys([*one.kept[-5:], *rest]))[:5]
        out.append(
            post(
                "/v1/recommendations",
                customer_id=one.customer_id,
                product_ids=lines,
                moment="order_confirmation",
            )
        )
    return out


def new_orders(asked: Sequence[tuple[str, str]], at: str) -> list[Request]:
    """Return orders of two lines; their ids hold ``{n}``, to be made new each time."""
    return [
        {
            "method": "PUT",
            "path": "/v1/orders/B{n}",
            "headers": _JSON,
            "body": json.dumps(
                {
                    "customer_id": customer,
                    "ordered_at": at,
                    "updated_at": at,
                    "lines": [
                        {"product_id": product, "quantity": 1, "unit_price": 9.5},
                        {"product_id": f"P{place % 1000:07}", "quantity": 2, "unit_price": 3.0},
                    ],
                }
            ),
        }
        for place, (customer, product) in enumerate(asked)
    ]


def post(path: str, **body: Any) -> Request:
    """Return a POST of a JSON object."""
    return {"method": "POST", "path": path, "headers": _JSON, "body": json.dumps(body)}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Parameters
    ----------
    status : int
    headers : list of (name, value)
        As they were sent, without the date, which the server adds.
    body : str
    """

    status: int
    headers: list[tuple[str, str]]
    body: str


def answers(url: str, requests: Sequence[Request]) -> list[Answer]:
    """Return the answer to each request, over one connection."""
    parts = urlsplit(url)
    out = []
    with closing(http.client.HTTPConnection(parts.netloc, timeout=30)) as connection:
        for request in requests:
            connection.request(
                request["method"], request["path"], request.get("body"), request.get("headers", {})
            )
            answer = connection.getresponse()
            headers = [(k.lower(), v) for k, v in answer.getheaders() if k.lower() != "date"]
            out.append(Answer(answer.status, headers, answer.read().decode()))
    return out


def check_answers(
    url: str, asked: Sequence[tuple[str, str]], some: Sequence[Customer], *, exact: bool
) -> None:
    """Compare a sample of single checks with what the store holds.

    What is kept must be suppressed for as long as it is (a due date may have come since), and
    what was never bought is never `purchased`; a peer that only looks it up (`exact`) says whether
    it was ever bought.

    Raises
    ------
    AssertionError
        If an answer is wrong.
    """
    of = {one.customer_id: one for one in some}
    sample = asked[:_SAMPLE]
    n_owned = 0
    for (customer, product), answer in zip(sample, answers(url, single(sample)), strict=True):
        assert answer.status == 200, (answer.status, answer.body)
        told = json.loads(answer.body)
        assert (told["customer_id"], told["product_id"]) == (customer, product)
        if exact:
            assert told["suppress"] is (product in of[customer].seen)
        else:
            assert told["reason"] != "purchased" or product in of[customer].kept
            if told["suppress"]:
                assert told["reason"] != "not_suppressed"
        n_owned += product in of[customer].kept
    assert 0 < n_owned < len(sample) / 2, f"{n_owned} of {len(sample)} are owned"
