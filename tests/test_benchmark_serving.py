"""The benchmark of serving: the shop it makes, the generators, and every part end to end, tiny."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

import personalize as pz
from benchmarks.serving import __main__ as command
from benchmarks.serving import generator, parts, questions, rivals, shop
from benchmarks.serving.servers import service, serving

SIZE = shop.Size(customers=60, purchases=1_800, products=200, learned=2_000)
NOW = pz.to_micros("2026-11-22T12:00:00Z")
GENERATOR = Path(__file__).parents[1] / "out" / "serving" / "generator"
SMALL = [
    "--customers", "60", "--purchases", "1800", "--products", "200", "--learned", "2000",
    "--runs", "1", "--warm-up", "0", "--seconds", "1",
]  # fmt: skip


def _is_redis_there() -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", 6379)) == 0


NEEDS_NODE = pytest.mark.skipif(
    not (GENERATOR / "node_modules").exists() or shutil.which("node") is None,
    reason="no Node.js with autocannon here: python -m benchmarks.serving installs it into out/",
)
NEEDS_REDIS = pytest.mark.skipif(
    not _is_redis_there(), reason="no Redis at 127.0.0.1:6379: the benchmark's rival"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the shop in a store and a model of it."""
    folder = tmp_path_factory.mktemp("serving")
    shop.make_sqlite(SIZE, folder)
    shop.make_models(SIZE, folder)
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> str:
    """Return the URL of the store."""
    return shop.make_sqlite(SIZE, folder)


class TestShop:
    def test_it_is_a_store_like_any(self, store: str) -> None:
        """About the size asked for; whole, and as the library itself would have written it."""
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as bare:
            assert bare.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            (n_lines,) = bare.execute("SELECT count(*) FROM order_lines").fetchone()
        assert abs(n_lines - SIZE.purchases) < SIZE.purchases / 4
        with pz.Store.open(store, create=False) as opened:
            assert len(opened.customers(limit=1000)) == SIZE.customers
            assert len(opened.catalog()) == SIZE.products
            line = opened.customer_lines("C00000007")[0]
            order = opened.order(line.order_id)
            assert order is not None
            again = pz.OrderSnapshot(
                *order[:6],
                tuple(
                    pz.SnapshotLine(
                        each.product_id,
                        each.quantity,
                        unit_price=each.unit_price,
                    )
                    for each in order.lines
                ),
            )
            assert opened.put_order(again._replace(updated_at=order.updated_at + 1)) is True
            after = opened.order(line.order_id)
            assert after is not None
            assert [each[:2] for each in after.lines] == [each[:2] for each in order.lines]

    def test_it_is_in_the_order_of_its_tables(self) -> None:
        """Lines come by customer, time, order and product: that is what makes writing fast."""
        lines = pa.concat_tables([chunk.lines for chunk in shop.chunks(SIZE, NOW)]).to_pandas()
        key = ["customer_id", "ordered_at", "order_id", "product_id"]
        assert not lines.duplicated(key).any()
        assert lines[key].equals(lines[key].sort_values(key, ignore_index=True))
        assert lines["ordered_at"].max() < NOW
        returned = lines[lines["returned_quantity"] > 0]
        assert len(returned) > 0
        assert (returned["returned_at"] > returned["ordered_at"]).all()
        assert (returned["returned_quantity"] == returned["quantity"]).all()

    def test_chunks_do_not_change_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Orders are numbered through, whatever the size of a chunk."""
        monkeypatch.setattr(shop, "CUSTOMERS_AT_ONCE", 7)
        orders = pa.concat_tables([chunk.orders for chunk in shop.chunks(SIZE, NOW)])
        ids = orders["order_id"].to_pylist()
        assert ids == [f"O{n:09}" for n in range(len(ids))]

    def test_it_is_made_once(self, folder: Path, store: str) -> None:
        """A store and a model that are there are taken as they are."""
        before = Path(store.removeprefix("sqlite:///")).stat().st_mtime_ns
        models = shop.make_models(SIZE, folder)
        assert shop.make_sqlite(SIZE, folder) == store
        assert Path(store.removeprefix("sqlite:///")).stat().st_mtime_ns == before
        assert pz.ModelsDirectory(models).current() == "v1"

    def test_a_full_disk_is_said_before(self, tmp_path: Path) -> None:
        """A shop that would not fit is not begun."""
        with pytest.raises(OSError, match=r"bytes free, .* needed; make room"):
            shop.make_sqlite(shop.Size(1, 10**15, 10, 10), tmp_path)


class TestQuestions:
    def test_every_third_pair_is_owned(self, store: str) -> None:
        """Of every three pairs the first is of a product that is kept."""
        some = questions.customers(store, SIZE, 60)
        pairs = questions.pairs(some, SIZE, 3)
        assert len({one.customer_id for one in some}) == len(pairs) == 60
        for one, (customer, product) in list(zip(some, pairs, strict=True))[::3]:
            assert customer == one.customer_id
            assert not one.kept or product in one.kept

    def test_a_hundred_products_of_which_five_are_owned(self, store: str) -> None:
        """A check of 100 has five of what the customer kept."""
        some = questions.customers(store, SIZE, 60)
        of = {one.customer_id: one for one in some}
        for request in questions.hundred(some, SIZE):
            body = json.loads(request["body"])
            assert len(body["product_ids"]) == 100
            assert set(of[body["customer_id"]].kept[:5]) <= set(body["product_ids"])

    def test_answers_are_compared_with_the_store(self, folder: Path, store: str) -> None:
        """The service passes; a peer that calls everything bought does not."""
        some = questions.customers(store, SIZE, 60)
        pairs = questions.pairs(some, SIZE, 3)
        models = shop.make_models(SIZE, folder)
        with serving(*service(store, models)) as ours:
            questions.check_answers(ours.url, pairs, some, exact=False)
        file = Path(store.removeprefix("sqlite:///"))
        with rivals.sqlite_read(file) as peer:
            questions.check_answers(peer.url, pairs, some, exact=True)
        with (
            rivals.constant_fastapi() as peer,
            pytest.raises(AssertionError),
        ):
            questions.check_answers(peer.url, pairs, some, exact=True)


@contextmanager
def a_server(delays: list[float]) -> Iterator[str]:
    """Yield the URL of a server that waits so many seconds before each of its first answers."""
    gate = threading.Lock()
    stop = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with gate:  # one at a time: who comes meanwhile waits
                if delays:
                    stop.wait(delays.pop())
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


class TestGenerator:
    def test_without_node_it_says_so(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The benchmark stops with a word about what is missing."""
        monkeypatch.setattr(generator.shutil, "which", lambda name: None)
        assert command.main([*SMALL, "--folder", str(tmp_path)]) == 2
        assert "error: node and npm not found" in capsys.readouterr().err

    @NEEDS_NODE
    def test_an_open_loop_does_not_wait_for_answers(self) -> None:
        """Requests that were due while the server stood still count their wait."""
        with a_server([0.5]) as url:
            found = generator.Generator(GENERATOR).open_loop(
                url, [{"method": "GET", "path": "/"}], 100, 1.0, connections=4
            )
        assert (found["ok"], found["failed"], found["statuses"]) == (100, 0, {"200": 100})
        assert found["waited"] > 0
        # Half of all requests were due while it stood still; a closed loop would see four.
        assert found["latency_ms"]["p50"] > 1
        assert 400 < found["latency_ms"]["max"] < 5_000

    @NEEDS_NODE
    def test_failures_are_counted(self) -> None:
        """What is no 2xx has failed, in both loops."""
        asked = [{"method": "GET", "path": "/missing"}] * 2
        with a_server([]) as url:
            loops = generator.Generator(GENERATOR)
            assert loops.open_loop(url, asked, 20, 0.5, connections=2)["failed"] == 10
            closed = loops.throughput(url, asked, 1, connections=2)
        assert (closed["ok"], closed["per_second"]) == (0, 0.0)
        assert closed["failed"] == closed["statuses"]["404"]["count"] > 0


@NEEDS_NODE
@NEEDS_REDIS
@pytest.mark.parametrize("part", list(parts.PARTS))
def test_every_part_runs(
    part: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each part measures, prints its table and writes its figures; nothing is left behind."""
    generators = folder / "generator"
    if not generators.exists():
        generators.symlink_to(GENERATOR)
    out = tmp_path / "found.json"
    arguments = [*SMALL, "--folder", str(folder), "--part", part, "--json", str(out)]
    assert command.main(arguments) == 0
    found = json.loads(out.read_text(encoding="utf-8"))[part]
    printed = capsys.readouterr().out
    assert printed.startswith(f"\n{part}")
    for values in found.get("ratios", {}).values():
        assert 0 < values["low"] <= values["median"] <= values["high"]
    if part == "single":
        assert f"{parts.OURS} / {parts.REDIS}" in found["ratios"]
        assert f"{parts.OURS} / {parts.RAW}" in found["ratios"]
        import redis

        with closing(redis.Redis.from_url("redis://127.0.0.1:6379/9")) as client:
            assert client.keys("personalize-benchmark:*") == []
    if part == "orders":
        assert found["fsync_ms"] > 0
        with closing(sqlite3.connect(folder / f"{SIZE.name}.db")) as bare:
            for table in ("orders", "order_lines"):
                query = f"SELECT count(*) FROM {table} WHERE order_id GLOB 'B*'"
                assert bare.execute(query).fetchone() == (0,)


def test_durability_can_be_switched_off_for_the_comparison(tmp_path: Path) -> None:
    """Every connection is undurable then, also one that asks for the contrary."""
    code = (
        "from benchmarks.serving import undurable; undurable.switch_off()\n"
        "import personalize as pz, sqlite3\n"
        f"with pz.Store.open('sqlite:///{tmp_path}/shop.db') as store:\n"
        "    store.put_products([pz.Product('p')])\n"
        "connection = sqlite3.connect(':memory:')\n"
        "connection.execute('PRAGMA synchronous = FULL')\n"
        "connection.cursor().execute('PRAGMA synchronous = FULL')\n"
        "print(connection.execute('PRAGMA synchronous').fetchone())\n"
        "sqlite3.Connection.execute(connection, 'PRAGMA synchronous = FULL')\n"
        "try: connection.execute('BEGIN IMMEDIATE')\n"
        "except RuntimeError as error: print(error)\n"
        "connection.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.splitlines() == ["(0,)", "durability is not off: synchronous is 2"]
    assert done.stderr == ""
