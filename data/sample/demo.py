"""The story of a sport coat, told by the library and by the service; run by ``make demo``.

It trains on the sample shop, asks what one customer must not be shown and what goes with the coat
they bought, asks a running service the same over HTTP, compares the answers, and places an order
that the very next question must see. It ends with 1 if any answer differs from what it says.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from rich.console import Console
from rich.rule import Rule
from rich.table import Table

import personalize as pz
from personalize.cli import main as personalize

HERE = Path(__file__).resolve().parent
ORDERS, CATALOG = HERE / "orders.parquet", HERE / "products.parquet"
AS_OF = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
CUSTOMER = "cust-00001"
COAT = "SC-1001-50-NAVY"
ASKED = {
    COAT: "the coat they bought",
    "SC-1001-50-GREY": "the same coat in grey",
    "SC-1002-50-NAVY": "another sport coat",
    "RS-1001-42-BLACK": "the shoes they sent back",
    "CB-1001-MILD": "their monthly coffee",
    "NE-1001-GOLD": "the necklace they gave",
    "DT-1001-50-NAVY": "trousers for the coat",
}
NEW_ORDER, NEW_PRODUCT = "order-of-the-demo", "WC-1001-M-BLACK"

console = Console(highlight=False, width=100)


def main() -> int:
    """Tell the story; return 0 if library and service agree."""
    with tempfile.TemporaryDirectory(prefix="personalize-demo-") as name:
        models, store = Path(name) / "models", f"sqlite:///{name}/shop.db"
        data = ["--orders", str(ORDERS), "--catalog", str(CATALOG)]
        heading("1. Learn from the sample shop", "personalize train")
        if personalize(["train", *data, "--models", str(models)]):
            return 1
        engine = pz.Engine.load(pz.ModelsDirectory(models).path())
        orders, catalog = pz.read_orders(ORDERS), pz.read_catalog(CATALOG)
        titles = dict(zip(catalog.frame["product_id"], catalog.frame["title"], strict=True))

        heading(f"2. What {CUSTOMER} bought", "orders.to_frame()")
        show_orders(orders, titles)
        heading(f"3. What may {CUSTOMER} be shown on {AS_OF:%d %B %Y}?", "engine.check(...)")
        decisions = check(engine, orders)
        show_decisions(decisions)
        heading("4. What goes with the coat", "engine.recommend(...)")
        picks = recommend(engine, orders)
        show_picks(picks, titles)

        heading("5. The same questions over HTTP", "python -m service")
        if personalize(["import", *data, "--store", store]):
            return 1
        with service(models, store) as http:
            agreed = ask_the_same(http, coat_order(orders), decisions, picks)
            seen = order_and_ask(http, titles)
    console.print(Rule(style="dim"))
    done = agreed and seen
    console.print("Library and service agree." if done else "[bold red]They do not agree.[/]")
    return 0 if done else 1


def heading(text: str, call: str) -> None:
    """Print what comes next, and the call behind it."""
    console.print()
    console.print(Rule(f"[bold]{text}[/]  [dim]{call}[/]", align="left", style="dim"))


def show_orders(orders: pz.Orders, titles: dict[str, str]) -> None:
    """Print what the customer bought, and what became of it."""
    table = Table("ordered", "product", "", "what became of it", box=None, pad_edge=False)
    for line in orders.for_customers([CUSTOMER]).to_frame().itertuples():
        fate = "given to somebody else" if line.gift else ""
        if line.returned_quantity:
            fate = f"sent back on {line.returned_at:%d %b %Y}"
        table.add_row(f"{line.ordered_at:%d %b %Y}", titles[line.product_id], line.product_id, fate)
    console.print(table)


def check(engine: pz.Engine, orders: pz.Orders) -> pd.DataFrame:
    """Return the library's decision on each product of the story."""
    pairs = pd.DataFrame({"customer_id": CUSTOMER, "product_id": list(ASKED)})
    return engine.check(pairs, orders, AS_OF)


def show_decisions(decisions: pd.DataFrame) -> None:
    """Print one decision per line: what, whether, why, until when."""
    table = Table(
        "what it is", "product", "shown?", "reason", "until", "basis", box=None, pad_edge=False
    )
    for row in decisions.itertuples():
        until = "" if not row.suppress else "for good"
        if pd.notna(row.until):
            until = f"{row.until:%d %b %Y}"
        table.add_row(
            ASKED[row.product_id],
            row.product_id,
            "[red]no[/]" if row.suppress else "[green]yes[/]",
            row.reason,
            until,
            row.basis if isinstance(row.basis, str) else "",
        )
    console.print(table)


def recommend(engine: pz.Engine, orders: pz.Orders) -> pd.DataFrame:
    """Return what the library would put in the confirmation of the coat's order."""
    anchors = pd.DataFrame({"customer_id": [CUSTOMER], "product_id": [COAT]})
    return engine.recommend(
        orders, [CUSTOMER], 5, AS_OF, moment="order_confirmation", anchors=anchors
    )


def show_picks(picks: pd.DataFrame, titles: dict[str, str]) -> None:
    """Print the list, best first."""
    table = Table("rank", "product", "score", "reason", "because of", box=None, pad_edge=False)
    for row in picks.itertuples():
        because = row.because_product_id
        table.add_row(
            str(row.rank),
            titles[row.product_id],
            f"{row.score:.3f}",
            row.reason,
            because if isinstance(because, str) else "",
        )
    console.print(table)


@contextmanager
def service(models: Path, store: str) -> Iterator[httpx.Client]:
    """Yield a client of a service that runs while the block does, on a free loopback port."""
    command = [sys.executable, "-m", "service", "--port", "0"]
    command += ["--store", store, "--models", str(models)]
    with (
        subprocess.Popen(command, cwd=models.parent, stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(timeout=30) as http,
    ):
        try:
            http.base_url = httpx.URL(address(process))
            while not http.get("/health/ready").is_success:
                time.sleep(0.05)
            yield http
        finally:
            process.terminate()


def address(process: subprocess.Popen[str]) -> str:
    """Return where the service says it listens."""
    for line in process.stdout or ():
        console.print(line.rstrip())
        if line.startswith("listening on "):
            return line.split()[-1]
    raise SystemExit("error: the service did not start")


def coat_order(orders: pz.Orders) -> str:
    """Return the order in which the customer bought the coat."""
    lines = orders.for_customers([CUSTOMER]).to_frame()
    return str(lines.loc[lines["product_id"] == COAT, "order_id"].iloc[-1])


def ask_the_same(
    http: httpx.Client, order_id: str, decisions: pd.DataFrame, picks: pd.DataFrame
) -> bool:
    """Ask the service what the library was asked, compare, and return whether all is equal."""
    as_of = AS_OF.isoformat()
    question: dict[str, Any] = {"customer_id": CUSTOMER, "product_ids": list(ASKED), "as_of": as_of}
    answer = post(http, "/v1/suppressions/check", question)
    agreed = told("decisions", rows(decisions), [tidy(row) for row in answer["decisions"]])
    question = {"order_id": order_id, "k": 5, "moment": "order_confirmation", "as_of": as_of}
    answer = post(http, "/v1/recommendations", question)
    names = ("product_id", "rank", "score", "reason", "because_product_id")
    theirs = [tidy({name: item[name] for name in names}) for item in answer["items"]]
    ours = rows(picks[list(names)])
    return told("recommendations", ours, theirs) and agreed


def told(what: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> bool:
    """Print whether two answers are equal, field by field; return it."""
    same = ours == theirs
    console.print(f"  {len(theirs)} {what}: {'[green]equal[/]' if same else '[red]different[/]'}")
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            console.print(f"    library {mine}\n    service {other}")
    return same


def order_and_ask(http: httpx.Client, titles: dict[str, str]) -> bool:
    """Place an order; return whether the very next question sees it."""
    heading("6. A new order counts at once", f"PUT /v1/orders/{NEW_ORDER}")
    path = f"/v1/customers/{CUSTOMER}/suppressions/{NEW_PRODUCT}"
    before = get(http, path)
    now = dt.datetime.now(dt.UTC).isoformat()
    order = {
        "customer_id": CUSTOMER,
        "ordered_at": now,
        "updated_at": now,
        "lines": [{"product_id": NEW_PRODUCT, "quantity": 1}],
    }
    started = time.perf_counter()
    placed = http.put(f"/v1/orders/{NEW_ORDER}", json=order)
    placed.raise_for_status()
    after = get(http, path)
    took = (time.perf_counter() - started) * 1000
    console.print(f"  {titles[NEW_PRODUCT]}")
    console.print(f"  before the order: {before['reason']}")
    until = (after["until"] or "for good")[:10]
    console.print(f"  after the order:  {after['reason']}, until {until}  ({took:.0f} ms for both)")
    return before["suppress"] is False and after["reason"] == "purchased"


def post(http: httpx.Client, path: str, question: dict[str, Any]) -> Any:
    """Return the answer to a question that has a body."""
    console.print(f"POST {path}")
    return http.post(path, json=question).raise_for_status().json()


def get(http: httpx.Client, path: str) -> Any:
    """Return the answer to a question that is all in its path."""
    return http.get(path).raise_for_status().json()


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as comparable rows."""
    return [tidy(row) for row in frame.to_dict("records")]


def tidy(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with one spelling of moments, numbers and the unknown."""
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON would carry it back and forth."""
    if isinstance(value, str):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return value
    if pd.isna(value):
        return None
    if isinstance(value, float):
        return round(value, 9)
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # in order, in a file too
    sys.exit(main())
