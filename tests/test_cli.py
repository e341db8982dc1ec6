"""The command line: what each command writes, says and returns."""

from __future__ import annotations

import datetime as dt
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import personalize as pz
from personalize.cli import asking, console, keys, main, training
from personalize.cli.options import column_map, moment, spread
from personalize.cli.wording import in_options

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Told:
    """What a command returned and printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Told]


def _orders() -> pd.DataFrame:
    """Return 30 customers: a coat, half with a scarf, then beans every 30 days; 195 lines."""
    rows = []
    for c in range(30):
        day = dt.datetime(2025, 6, 1 + c % 20, tzinfo=dt.UTC)
        coat = ["coat-navy", "tie", "scarf"] if c % 2 else ["coat-navy", "tie"]
        for n, products in enumerate((coat, ["beans"], ["beans"], ["beans", "tie"])):
            for product in products:
                ordered_at = day + dt.timedelta(days=30 * n)
                rows.append((f"o-{c:02}-{n}", f"c-{c:02}", product, ordered_at, 1))
    return pd.DataFrame(
        rows, columns=["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    )


CATALOG = """product_id,item_group_id,title,product_type
coat-navy,coat,Coat in navy,Apparel > Coats
coat-grey,coat,Coat in grey,Apparel > Coats
tie,tie,Tie,Apparel > Ties
scarf,scarf,Scarf,Apparel > Scarves
beans,beans,Beans,Food > Coffee
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of orders, a catalogue, a store and a trained model."""
    folder = tmp_path_factory.mktemp("shop")
    orders = _orders()
    orders.to_parquet(folder / "orders.parquet")
    orders.iloc[:60].to_csv(folder / "first.csv", index=False)
    orders.iloc[60:].to_csv(folder / "second.csv", index=False)
    (folder / "products.csv").write_text(CATALOG, encoding="utf-8")
    data = ["--orders", str(folder / "orders.parquet"), "--catalog", str(folder / "products.csv")]
    assert main(["train", *data, "--models", str(folder / "models")]) == 0
    assert main(["import", *data, "--store", f"sqlite:///{folder}/shop.db"]) == 0
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return what runs a command in an empty folder, at a fixed present."""
    for module in (training, asking, keys):
        monkeypatch.setattr(module, "now", lambda: NOW)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Told:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Told(code, printed.out, printed.err)

    return call


def _asked(shop: Path, *more: object) -> list[object]:
    return ["--orders", shop / "orders.parquet", "--models", shop / "models", *more]


def _stored(shop: Path, *more: object) -> list[object]:
    return ["--store", f"sqlite:///{shop}/shop.db", "--models", shop / "models", *more]


# --- train ---------------------------------------------------------------------------------------


def test_train_writes_a_version_and_makes_it_current(shop: Path, run: Run) -> None:
    """`train` names the version after the present and makes it the current one."""
    told = run("train", "--orders", shop / "orders.parquet", "--models", "m")
    assert (told.code, told.out) == (0, "m/2026-03-01T00-00-00Z is current\n")
    assert pz.ModelsDirectory("m").current() == "2026-03-01T00-00-00Z"
    assert "orders: 195 lines in 120 orders of 30 customers, 4 products" in told.err


def test_train_can_hold_a_version_back(shop: Path, run: Run) -> None:
    """With `--no-use` a version is written, and the current one stays."""
    told = run("train", "--orders", shop / "orders.parquet", "--models", "m", "--no-use")
    assert told.out == "m/2026-03-01T00-00-00Z is written, and not current\n"
    assert pz.ModelsDirectory("m").current() is None


def test_train_reads_several_files_as_one_table(shop: Path, run: Run) -> None:
    """`--orders A B` learns the same as one file with the rows of both."""
    files = ["--orders", shop / "first.csv", shop / "second.csv"]
    assert run("train", *files, "--models", "m").code == 0
    assert run("train", "--orders", shop / "orders.parquet", "--models", "n").code == 0
    (one,), (other,) = (sorted(Path(name).glob("2026*")) for name in ("m", "n"))
    told = [json.loads((path / "manifest.json").read_text())["files"] for path in (one, other)]
    assert told[0] == told[1]


def test_train_takes_its_configuration_from_a_file(shop: Path, run: Run) -> None:
    """`--config` sets parameters; those it does not name keep their defaults."""
    Path("engine.toml").write_text("min_customers = 5\n", encoding="utf-8")
    told = run(
        *("train", "--orders", shop / "orders.parquet", "--models", "m"),
        *("--config", "engine.toml"),
    )
    assert told.code == 0
    assert pz.Engine.load(pz.ModelsDirectory("m").path()).config == pz.EngineConfig(min_customers=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_customer = 5", "error: engine.toml: config: unknown key 'min_customer'; did you"),
        ("min_customers = -1", "error: engine.toml: min_customers: "),
        ("min_customers = [", "error: config engine.toml: "),
        (None, "error: config engine.toml: no such file; check the path\n"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    shop: Path, run: Run, text: str | None, message: str
) -> None:
    """A missing file, broken TOML or a wrong parameter ends with 1 and one line naming the file."""
    if text is not None:
        Path("engine.toml").write_text(text, encoding="utf-8")
    told = run("train", "--orders", shop / "first.csv", "--models", "m", "--config", "engine.toml")
    assert told.code == 1
    assert told.err.startswith(message)
    assert told.err.count("\n") == 1


def test_train_from_a_store_learns_up_to_now(shop: Path, run: Run) -> None:
    """From a store the default moment is the present, and the catalogue is the store's."""
    assert run("train", "--store", f"sqlite:///{shop}/shop.db", "--models", "m").code == 0
    engine = pz.Engine.load(pz.ModelsDirectory("m").path())
    assert engine.as_of == pz.to_micros(NOW)
    assert "coat-grey" in engine.catalog


def test_training_on_an_old_store_says_so(shop: Path, run: Run) -> None:
    """From a store the orders are told as from files; days without orders name the `--as-of`."""
    train = ("train", "--store", f"sqlite:///{shop}/shop.db", "--models", "m")
    told = run(*train)
    assert "orders: 195 lines in 120 orders of 30 customers, 4 products, 2025-06-01" in told.err
    assert "warning: the newest order is 164 days old, and the days since count" in told.err
    moment = "2025-09-18T00:00:01Z"
    assert f"give --as-of {moment}\n" in told.err
    assert "warning" not in run(*train, "--as-of", moment).err


def test_training_on_a_fresh_store_warns_of_nothing(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days without an order are no reason to warn."""
    monkeypatch.setattr(training, "now", lambda: dt.datetime(2025, 9, 20, tzinfo=dt.UTC))
    told = run("train", "--store", f"sqlite:///{shop}/shop.db", "--models", "m")
    assert (told.code, "warning" in told.err) == (0, False)


def test_a_catalogue_file_is_laid_over_the_store_s(shop: Path, run: Run) -> None:
    """`--store` with `--catalog` trains with the store's products, the file's in front."""
    Path("new.csv").write_text("product_id,title\ntie,Silk tie\n", encoding="utf-8")
    store = f"sqlite:///{shop}/shop.db"
    assert run("train", "--store", store, "--models", "m", "--catalog", "new.csv").code == 0
    catalog = pz.Engine.load(pz.ModelsDirectory("m").path()).catalog
    tie, coat = catalog.product("tie"), catalog.product("coat-grey")
    assert tie is not None
    assert coat is not None
    assert (tie.title, coat.title) == ("Silk tie", "Coat in grey")


def test_train_learns_nothing_after_as_of(shop: Path, run: Run) -> None:
    """`--as-of` is exclusive and taken in `--timezone` where it names no zone."""
    told = run(
        *("train", "--orders", shop / "orders.parquet", "--models", "m"),
        *("--as-of", "2025-08-01", "--timezone", "Europe/Paris"),
    )
    assert told.code == 0
    engine = pz.Engine.load(pz.ModelsDirectory("m").path())
    assert pz.to_rfc3339(engine.as_of) == "2025-07-31T22:00:00Z"


# --- reading -------------------------------------------------------------------------------------


def test_foreign_columns_are_mapped(shop: Path, run: Run) -> None:
    """`--map` and `--map-catalog` give our names to foreign columns."""
    names = {"order_id": "Invoice", "product_id": "StockCode"}
    _orders().rename(columns=names).to_csv("orders.csv", index=False)
    Path("products.csv").write_text(CATALOG.replace("product_type", "Category"), encoding="utf-8")
    told = run(
        *("train", "--models", "m", "--orders", "orders.csv", "--catalog", "products.csv"),
        *("--map", "Invoice=order_id", "StockCode=product_id"),
        *("--map-catalog", "Category=product_type"),
    )
    assert told.code == 0
    assert "195 lines in 120 orders" in told.err
    assert "catalogue: 5 products, 4 groups, 4 types" in told.err


def test_rejected_rows_are_put_aside_with_their_reason(run: Run) -> None:
    """Bad rows are left out, reported, and written beside what the command writes."""
    orders = _orders()
    orders.loc[3, "quantity"] = 0
    orders.to_csv("orders.csv", index=False)
    told = run("train", "--orders", "orders.csv", "--models", "m")
    assert told.code == 0
    assert "warning: orders.quantity: 1 of 195 rows" in told.err
    assert "1 rejected rows, each with its reason, are in m.rejected-orders.csv" in told.err
    rejected = pd.read_csv("m.rejected-orders.csv")
    assert rejected[["row", "order_id"]].to_numpy().tolist() == [[3, "o-00-2"]]
    assert rejected["reason"].notna().all()


def test_the_file_of_rejected_rows_can_be_named(run: Run) -> None:
    """`--rejects` names the file of the orders; the catalogue's stands beside it."""
    orders = _orders()
    orders.loc[3, "quantity"] = 0
    orders.to_csv("orders.csv", index=False)
    Path("products.csv").write_text("product_id,price\n,1\nbeans,5\n", encoding="utf-8")
    told = run(
        *("train", "--orders", "orders.csv", "--catalog", "products.csv"),
        *("--models", "m", "--rejects", "bad/rows.jsonl"),
    )
    assert told.code == 0
    assert sorted(path.name for path in Path("bad").iterdir()) == [
        "products-rows.jsonl",
        "rows.jsonl",
    ]


def test_nothing_is_put_aside_when_all_is_well(shop: Path, run: Run) -> None:
    """Without a bad row no file of rejected rows appears."""
    run("train", "--orders", shop / "orders.parquet", "--models", "m")
    assert [path.name for path in Path().iterdir()] == ["m"]


def test_rejected_rows_of_an_earlier_run_are_removed(shop: Path, run: Run) -> None:
    """A file of rejected rows is of this run: it goes when nothing is rejected any more."""
    Path("m.rejected-orders.csv").write_text("row,reason\n", encoding="utf-8")
    Path("m.rejected-products.csv").write_text("row,reason\n", encoding="utf-8")
    run("train", "--orders", shop / "orders.parquet", "--models", "m")
    assert not Path("m.rejected-orders.csv").exists()
    assert Path("m.rejected-products.csv").exists()  # no catalogue was read
    catalog = ("--catalog", shop / "products.csv")
    run("train", "--orders", shop / "orders.parquet", *catalog, "--models", "m")
    assert not Path("m.rejected-products.csv").exists()


def test_a_named_file_of_rejected_rows_is_left_alone(shop: Path, run: Run) -> None:
    """What `--rejects` names is written when rows are rejected, and never removed."""
    Path("mine.csv").write_text("row,reason\n", encoding="utf-8")
    run(*("train", "--orders", shop / "orders.parquet", "--models", "m", "--rejects", "mine.csv"))
    assert Path("mine.csv").exists()


def test_strict_stops_at_bad_rows(run: Run) -> None:
    """With `--strict` a bad row ends the command with 1 and one line that says what and where."""
    orders = _orders()
    orders.loc[3, "quantity"] = 0
    orders.to_csv("orders.csv", index=False)
    told = run("train", "--orders", "orders.csv", "--models", "m", "--strict")
    assert told.code == 1
    assert told.err.startswith("error: orders")
    assert told.err.count("\n") == 1
    assert not Path("m").exists()


def test_csv_files_may_be_in_another_encoding(run: Run) -> None:
    """`--encoding` holds for orders and catalogue; without it the error names the option."""
    _orders().replace("tie", "crêpe").to_csv("orders.csv", index=False, encoding="latin-1")
    Path("products.csv").write_bytes(CATALOG.replace("tie,", "crêpe,").encode("latin-1"))
    train = ("train", "--models", "m", "--orders", "orders.csv", "--catalog", "products.csv")
    assert run(*train, "--encoding", "latin-1").code == 0
    assert "crêpe" in pz.Engine.load(pz.ModelsDirectory("m").path()).catalog
    told = run(*train)
    assert (told.code, "orders.csv is not utf-8" in told.err) == (1, True)
    assert "give its --encoding" in told.err


@pytest.mark.parametrize("word", ["negative-rows", "negative_rows"])
def test_returns_as_negative_rows_are_matched_and_counted(run: Run, word: str) -> None:
    """`--returns negative-rows` matches them to purchases and says how many found theirs."""
    orders = _orders()
    late = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    back = [("r-1", "c-00", "tie", late, -1), ("r-2", "c-00", "sofa", late, -1)]
    orders = pd.concat([orders, pd.DataFrame(back, columns=orders.columns)])
    orders.to_csv("orders.csv", index=False)
    told = run("train", "--orders", "orders.csv", "--models", "m", "--returns", word)
    assert told.code == 0
    assert "of the return rows, 1 found their purchase, 1 did not" in told.err


def test_lines_that_are_no_products_are_left_out(shop: Path, run: Run) -> None:
    """`--not-products` leaves out lines whose whole product id matches."""
    told = run(
        *("train", "--orders", shop / "orders.parquet", "--models", "m"),
        *("--not-products", "bea.*"),
    )
    assert "of 30 customers, 3 products" in told.err


# --- suppress, recommend -------------------------------------------------------------------------


def test_suppress_writes_the_list_of_the_library(shop: Path, run: Run) -> None:
    """The file of `suppress` holds what `Engine.suppress` returns."""
    told = run("suppress", *_asked(shop, "--out", "list.parquet"))
    orders = pz.read_orders(shop / "orders.parquet")
    engine = pz.Engine.load(pz.ModelsDirectory(shop / "models").path())
    expected = engine.suppress(orders)
    pd.testing.assert_frame_equal(
        pd.read_parquet("list.parquet"), expected, check_dtype=False, check_column_type=False
    )
    rows = f"list.parquet: {len(expected):,} rows, by model {engine.model_version}\n"
    assert (told.code, told.out) == (0, rows)


@pytest.mark.parametrize("k", [1, 3])
def test_recommend_writes_the_list_of_the_library(shop: Path, run: Run, k: int) -> None:
    """The file of `recommend` holds what `Engine.recommend` returns, `-k` rows at most."""
    assert run("recommend", *_asked(shop, "--out", "list.parquet", "-k", k)).code == 0
    orders = pz.read_orders(shop / "orders.parquet")
    engine = pz.Engine.load(pz.ModelsDirectory(shop / "models").path())
    expected = engine.recommend(orders, k=k)
    assert len(expected) >= 15
    pd.testing.assert_frame_equal(
        pd.read_parquet("list.parquet"), expected, check_dtype=False, check_column_type=False
    )


@pytest.mark.parametrize("command", ["suppress", "recommend"])
def test_parts_of_customers_make_the_same_file(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """How many customers are asked about at once changes nothing in the file."""
    run(command, *_asked(shop, "--out", "whole.csv"))
    monkeypatch.setattr(asking, "CUSTOMERS_AT_ONCE", 7)
    run(command, *_asked(shop, "--out", "parts.csv"))
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.parametrize("more", [["suppress"], ["recommend", "-k", "2", "--include-due"]])
def test_a_store_answers_as_files_do(
    shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """The same orders, model and moment give the same file, from files and from a store."""
    monkeypatch.setattr(asking, "CUSTOMERS_AT_ONCE", 7)
    moment = ("--as-of", "2025-09-10")
    assert run(*more, *_asked(shop, "--out", "files.csv", *moment)).code == 0
    assert run(*more, *_stored(shop, "--out", "store.csv", *moment)).code == 0
    assert Path("store.csv").read_bytes() == Path("files.csv").read_bytes()


def test_a_store_is_asked_about_now(shop: Path, run: Run) -> None:
    """Without `--as-of` a store is asked about the present, files about their newest order."""
    run("suppress", *_stored(shop, "--out", "now.csv"))
    run("suppress", *_stored(shop, "--out", "then.csv", "--as-of", NOW.isoformat()))
    run("suppress", *_asked(shop, "--out", "files.csv"))
    assert Path("now.csv").read_bytes() == Path("then.csv").read_bytes()
    assert Path("now.csv").read_bytes() != Path("files.csv").read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("some.txt", "c-04\n\nc-02\nc-04\n"),
        ("some.csv", "customer_id\nc-04\nc-02\nc-04\n"),
    ],
)
@pytest.mark.parametrize("source", [_asked, _stored])
def test_customers_can_be_named(
    shop: Path, run: Run, name: str, text: str, source: Callable[..., list[object]]
) -> None:
    """`--customers` asks about those only, once each, in the file's order."""
    Path(name).write_text(text, encoding="utf-8")
    assert run("recommend", *source(shop, "--customers", name, "--out", "some.jsonl")).code == 0
    found = [
        json.loads(line)["customer_id"] for line in Path("some.jsonl").read_text().splitlines()
    ]
    assert list(dict.fromkeys(found)) == ["c-04", "c-02"]


def test_customer_numbers_with_gaps_are_ids(shop: Path, run: Run) -> None:
    """A column of whole numbers that pandas made floats names customers without a fraction."""
    pd.DataFrame({"customer_id": [12346.0, None]}).to_parquet("some.parquet")
    run("recommend", *_asked(shop, "--customers", "some.parquet", "--out", "some.csv"))
    assert set(pd.read_csv("some.csv", dtype=str)["customer_id"]) == {"12346"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("some.csv", "name\nx\n", "has no column customer_id, only name; rename one"),
        ("missing.txt", None, "does not exist; check the path"),
        ("missing.csv", None, "does not exist; check the path"),
    ],
)
def test_customers_that_cannot_be_read_are_one_line(
    shop: Path, run: Run, name: str, text: str | None, message: str
) -> None:
    """A customers file that is missing or lacks its column ends with 1 and says so."""
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
    told = run("suppress", *_asked(shop, "--customers", name, "--out", "x.csv"))
    assert told.code == 1
    assert told.err.startswith("error: customers: ")
    assert message in told.err


def test_an_answer_without_rows_has_its_columns(shop: Path, run: Run) -> None:
    """Nobody to ask about: the file is there, with its header."""
    Path("none.txt").write_text("", encoding="utf-8")
    assert run("suppress", *_asked(shop, "--customers", "none.txt", "--out", "x.csv")).code == 0
    assert list(pd.read_csv("x.csv")) == asking.SUPPRESSIONS.names


def test_orders_without_rows_have_no_answers(shop: Path, run: Run) -> None:
    """A file of orders without a row is read, reported, and answered with a header."""
    _orders().iloc[:0].to_csv("orders.csv", index=False)
    told = run("suppress", "--orders", "orders.csv", "--models", shop / "models", "--out", "x.csv")
    assert told.code == 0
    assert "orders: 0 lines in 0 orders of 0 customers, 0 products\n" in told.err
    assert len(pd.read_csv("x.csv")) == 0


def test_a_policy_file_decides(shop: Path, run: Run) -> None:
    """`--policy` is in force: a type that never suppresses leaves no row."""
    text = '[types."Food > Coffee"]\nsuppress = false\n'
    Path("policy.toml").write_text(text, encoding="utf-8")
    run("suppress", *_asked(shop, "--out", "x.csv", "--policy", "policy.toml"))
    assert "beans" not in set(pd.read_csv("x.csv")["target_id"])
    run("suppress", *_asked(shop, "--out", "y.csv", "--as-of", "2025-09-01"))
    assert "beans" in set(pd.read_csv("y.csv")["target_id"])


def test_a_version_can_be_named(shop: Path, run: Run) -> None:
    """`--version` asks that version; an unknown one is refused with those there are."""
    (version,) = pz.ModelsDirectory(shop / "models").versions()
    assert run("suppress", *_asked(shop, "--out", "x.csv", "--version", version)).code == 0
    told = run("suppress", *_asked(shop, "--out", "x.csv", "--version", "none"))
    assert told.code == 1
    assert f"no version 'none' (present: {version})" in told.err


# --- import, models, keys ------------------------------------------------------------------------


def test_import_again_changes_nothing(shop: Path, run: Run) -> None:
    """An import says what is in the store now; again, it says the same."""
    command = ("import", "--orders", shop / "orders.parquet", "--store", "sqlite:///a.db")
    for _ in range(2):
        told = run(*command)
        assert told.out == (
            "orders: 120 of 120 are in the store now; of the other 0 it has a newer version\n"
        )
    assert run(*command[:1], "--catalog", shop / "products.csv", *command[3:]).out == (
        "products: 5 are in the store now\n"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("shop.db", "error: store: the URL cannot be read; write sqlite:///"),
        ("sqlite:///no/shop.db", "error: store sqlite:///no/shop.db: there is no folder no\n"),
        ("sqlite:///text.db", "it is no SQLite file"),
    ],
)
def test_import_checks_the_store_first(shop: Path, run: Run, url: str, message: str) -> None:
    """A store that cannot be opened is told before the orders are read, and none is made."""
    Path("text.db").write_text("no database " * 99, encoding="utf-8")
    told = run("import", "--orders", shop / "orders.parquet", "--store", url)
    assert (told.code, message in told.err) == (1, True)
    assert told.err.count("\n") == 1
    run("import", "--orders", "missing.csv", "--store", "sqlite:///new.db")
    assert not Path("new.db").exists()


def test_import_stops_at_as_of(shop: Path, run: Run) -> None:
    """`import --as-of` leaves out what happened later."""
    told = run(
        *("import", "--orders", shop / "orders.parquet", "--store", "sqlite:///a.db"),
        *("--as-of", "2025-06-15"),
    )
    assert told.out.startswith("orders: 24 of 24 are")


def test_import_puts_a_policy_in_force(shop: Path, run: Run) -> None:
    """`import --policy` stores the policy; the same again is no new version."""
    Path("p.toml").write_text('[types."Food"]\nsuppress = false\n', encoding="utf-8")
    command = ("import", "--store", "sqlite:///a.db", "--policy", "p.toml")
    for _ in range(2):
        told = run(*command, "--catalog", shop / "products.csv")
        assert told.out.endswith("policy: version 1 is in force now\n")
        assert "warning" not in told.err
    Path("p.toml").write_text("[rules]\nreturned = false\n", encoding="utf-8")
    assert run(*command).out == "policy: version 2 is in force now\n"
    with pz.Store.open("sqlite:///a.db") as opened:
        assert opened.policy() == (2, pz.Policy(rules={"returned": False}))


POLICY_OF_NO_PRODUCT = """
[types."apparel > coat"]
suppress = false
[types."Toys"]
suppress = false
"""


@pytest.mark.parametrize("command", ["import", "suppress"])
def test_types_of_a_policy_that_no_product_has_are_told(shop: Path, run: Run, command: str) -> None:
    """A type that no product has is a warning, with the nearest spelling there is."""
    Path("p.toml").write_text(POLICY_OF_NO_PRODUCT, encoding="utf-8")
    source = (
        ["--store", "sqlite:///a.db", "--catalog", shop / "products.csv"]
        if command == "import"
        else _asked(shop, "--out", "x.csv")
    )
    told = run(command, *source, "--policy", "p.toml")
    assert told.code == 0
    nothing = "warning: policy p.toml: no product is of type {}, its rule changes nothing{}\n"
    coats = nothing.format("'apparel > coat'", "; did you mean 'Apparel > Coats'?")
    assert coats in told.err
    assert nothing.format("'Toys'", "") in told.err


def test_without_a_catalogue_no_type_is_looked_for(run: Run) -> None:
    """A store without products says nothing of a policy's types."""
    Path("p.toml").write_text(POLICY_OF_NO_PRODUCT, encoding="utf-8")
    told = run("import", "--store", "sqlite:///a.db", "--policy", "p.toml")
    assert (told.code, told.err) == (0, "")


def test_models_are_listed_chosen_and_shown(shop: Path, run: Run) -> None:
    """`models` lists versions, marks the current one, switches, and prints the manifest."""
    told = run("models", "list", "--models", "m")
    assert (told.code, "error: models m: there is no such folder; " in told.err) == (1, True)
    Path("m").mkdir()
    assert run("models", "list", "--models", "m").out.startswith("no versions in m; ")
    for _ in range(2):
        run("train", "--orders", shop / "orders.parquet", "--models", "m")
    first, second = pz.ModelsDirectory("m").versions()
    assert run("models", "use", first, "--models", "m").out == f"current: {first}\n"
    lines = run("models", "list", "--models", "m").out.splitlines()
    assert lines[0].split() == ["version", "as_of", "products", "orders"]
    assert lines[1].startswith(f"*  {first} ")
    assert lines[2].split() == [second, "2025-09-18T00:00:00.000001Z", "4", "120"]
    shown = json.loads(run("models", "show", second, "--models", "m").out)
    assert (shown["version"], shown["counts"]["orders"]) == (second, 120)


def test_keys_are_created_listed_and_revoked(run: Run) -> None:
    """A secret is printed once and opens its scopes until its key is revoked."""
    store = ("--store", "sqlite:///a.db")
    pz.Store.open("sqlite:///a.db").close()
    told = run("keys", "create", "ads", "--scope", "all", *store)
    assert (told.code, "'all'" in told.err) == (2, True)
    told = run("keys", "create", "ads", "--scope", "decide", "export", *store)
    secret = told.out.strip()
    assert "only its hash is stored" in told.err
    with pz.Store.open("sqlite:///a.db") as opened:
        assert opened.scopes_of(secret) == {"decide", "export"}
    listed = run("keys", "list", *store).out
    assert "ads   decide export  2026-03-01T00:00:00Z" in listed
    assert secret not in listed
    assert run("keys", "revoke", 1, *store).out == "revoked: 1\n"
    assert run("keys", "list", *store).out.splitlines()[1].split()[-1] == "yes"
    with pz.Store.open("sqlite:///a.db") as opened:
        assert opened.scopes_of(secret) is None
    told = run("keys", "revoke", 7, *store)
    assert (told.code, told.err) == (
        1,
        "error: key_id: there is no key 7; personalize keys list names them\n",
    )


def test_no_keys_are_said(run: Run, shop: Path) -> None:
    """`keys list` says how to make the first."""
    told = run("keys", "list", "--store", f"sqlite:///{shop}/shop.db")
    assert told.out == "no keys; personalize keys create NAME --scope SCOPE makes one\n"


# --- wrong questions, trouble --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--models", "m"], "give --orders FILE... or --store URL; got neither"),
        (["train", "--models", "m", "--orders", "a", "--store", "b"], "got both"),
        (["train", "--models", "m", "--store", "b", "--map", "A=order_id"], "--map says how files"),
        (["train", "--models", "m", "--store", "b", "--returns", "negative-rows"], "--returns"),
        (["train", "--models", "m", "--store", "b", "--not-products", "x"], "--not-products"),
        (["train", "--models", "m", "--orders", "a", "--map", "order_id"], "is not COL=NAME"),
        (
            ["train", "--models", "m", "--orders", "a", "--map", "A=gift", "A=channel"],
            "is named twice",
        ),
        (["train", "--models", "m", "--orders", "a", "--returns", "rows"], "negative-rows"),
        (["train", "--orders", "a"], "--models"),
        (["suppress", "--models", "m", "--orders", "a", "--out", "x.xls"], "x.xls ends in none of"),
        (["suppress", "--models", "m", "--orders", "a", "--out", "no/x.csv"], "no folder no"),
        (
            ["suppress", "--models", "m", "--store", "a", "--out", "x.csv", "--policy", "p.toml"],
            "`personalize import --store URL --policy FILE --catalog FILE` changes them",
        ),
        (["recommend", "--models", "m", "--orders", "a", "--out", "x.csv", "-k", "0"], "-k"),
        (["import", "--store", "a"], "give --orders FILE..., --catalog FILE or --policy FILE"),
        (["keys", "create", "ads", "--store", "a"], "--scope"),
        (["dance"], "No such command 'dance'; see personalize --help"),
        (["train", "--dance"], "No such option: --dance; see personalize train --help"),
    ],
)
def test_wrong_questions_end_with_2(run: Run, arguments: list[str], message: str) -> None:
    """A command asked wrongly ends with 2 and one line, before any work."""
    told = run(*arguments)
    assert told.code == 2
    assert told.err.startswith("error: ")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--models", "m", "--orders", "a.csv"], "a.csv"),
        (["train", "--models", "m", "--store", "sqlite:///a.db"], "a.db"),
        (["models", "use", "v1", "--models", "m"], "no version 'v1' (present: none)"),
        (
            ["suppress", "--models", "m", "--orders", "a", "--out", "x.csv"],
            "run `personalize train`",
        ),
        (
            ["keys", "create", "ads", "--scope", "decide", "--store", "sqlite:///a.db"],
            "there is no such file; check the path, or import orders first",
        ),
    ],
)
def test_trouble_ends_with_1(run: Run, arguments: list[str], message: str) -> None:
    """What cannot be done ends with 1 and one line that says why, without a traceback."""
    told = run(*arguments)
    assert told.code == 1
    assert told.err.startswith("error: ")
    assert message in told.err
    assert told.err.count("\n") == 1


def test_each_problem_has_its_line(run: Run) -> None:
    """Several problems are a summary and a line each; parameters are told as options."""
    Path("orders.csv").write_text("Invoice,customer_id,product_id,when,quantity\n1,2,3,4,5\n")
    told = run("train", "--orders", "orders.csv", "--models", "m")
    assert told.code == 1
    summary, first, second = told.err.splitlines()
    assert summary == "error: orders: 2 problems:"
    assert first.startswith("  orders: orders.csv has no column order_id ")
    assert "present are Invoice, customer_id, product_id, when, quantity; " in first
    assert "name the right one with --map COL=NAME, see docs/" in first
    assert second.startswith("  orders: orders.csv has no column ordered_at ")
    assert "present are" not in second


def test_a_warning_names_options(run: Run) -> None:
    """What is said of rows names options too, not parameters of the library."""
    orders = _orders()
    orders.loc[3, "quantity"] = -1
    orders.to_csv("orders.csv", index=False)
    told = run("train", "--orders", "orders.csv", "--models", "m")
    assert "or read with --returns negative-rows, see docs/" in told.err


@pytest.mark.parametrize(("table", "option"), [("orders", "--map"), ("catalog", "--map-catalog")])
def test_each_table_has_its_own_map(table: str, option: str) -> None:
    """A column of the catalogue is named with `--map-catalog`, one of the orders with `--map`."""
    told = in_options(f"{table}: name the right one in columns, see docs")
    assert told == f"{table}: name the right one with {option} COL=NAME, see docs"


def test_trouble_with_the_disk_is_one_line(run: Run) -> None:
    """Where nothing can be written, the command says so in one line."""
    orders = _orders()
    orders.loc[3, "quantity"] = 0
    orders.to_csv("orders.csv", index=False)
    told = run("train", "--orders", "orders.csv", "--models", "m", "--rejects", "orders.csv/x.csv")
    assert told.code == 1
    assert told.err.splitlines()[-1].startswith("error: ")
    assert told.err.endswith("; check that the place exists, can be written to and has room\n")


def test_a_stop_is_no_traceback(shop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with 130, as shells expect."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pz.Engine, "fit", interrupted)
    told = run("train", "--orders", shop / "first.csv", "--models", "m")
    assert told.code == 130


def test_no_command_is_help(run: Run) -> None:
    """`personalize` alone lists the commands; with `--version` it prints the version."""
    assert run("--version").out == f"{pz.__version__}\n"
    told = run()
    assert (told.code, told.err) == (0, "")
    assert told.out == run("--help").out
    assert all(name in told.out for name in ("train", "suppress", "models", "import", "keys"))


@pytest.mark.parametrize("group", ["models", "keys"])
def test_a_group_alone_is_help(run: Run, group: str) -> None:
    """`personalize models` or `keys` alone lists its commands, as `--help` does."""
    told = run(group)
    assert (told.code, told.err) == (0, "")
    assert told.out == run(group, "--help").out
    assert "Commands:\n" in told.out


def test_it_runs_as_a_module(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m personalize` is the same command, and ends with its exit code."""
    monkeypatch.setattr(sys, "argv", ["personalize", "dance"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("personalize", run_name="__main__")


def test_the_installed_command_answers() -> None:
    """The script that installation makes runs, and returns the exit code to the shell."""
    script = Path(sys.executable).parent / "personalize"
    for arguments, code in ((["--version"], 0), (["dance"], 2)):
        done = subprocess.run([script, *arguments], capture_output=True, check=False)
        assert done.returncode == code


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--orders=a", "b"], ["--orders=a", "--orders", "b"]),
        (["--orders", "a", "-k", "3", "b"], ["--orders", "a", "-k", "3", "b"]),
        (["models", "use", "v"], ["models", "use", "v"]),
    ],
)
def test_values_may_follow_one_another(given: Sequence[str], expected: Sequence[str]) -> None:
    """A repeatable option's later values get its name; other arguments stay."""
    assert spread(list(given)) == list(expected)


def test_a_mapped_column_may_hold_an_equals_sign() -> None:
    """`A=B=order_id` maps the column `A=B`: our names hold no equals sign."""
    assert column_map(["A=B=order_id"]) == {"A=B": "order_id"}
    assert column_map(None) is None


def test_a_moment_with_a_zone_keeps_it() -> None:
    """`--timezone` is only for moments that name no zone."""
    told = moment("2026-01-01T00:00:00+02:00", "Asia/Tokyo")
    assert told == dt.datetime(2025, 12, 31, 22, tzinfo=dt.UTC)
    assert moment(None, "UTC") is None


def test_the_present_is_utc() -> None:
    """The command line's clock tells UTC."""
    assert training.now().tzinfo is dt.UTC


def test_progress_moves_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar is drawn on a terminal, and nothing where nobody looks."""
    with console.progress("reading", "rows") as advance:
        advance(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.progress("reading", "rows") as advance:
        advance(1, 2)
    assert "reading" in capsys.readouterr().err
