"""The command line where what it is given is odd: customers, damaged versions, wrong arguments."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

import personalize as pz
from personalize.cli import main
from personalize.cli.reading import customer_ids
from personalize.errors import InvalidConfigError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


# --- customers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".txt", ".csv", ".jsonl"])
def test_customers_are_taken_as_they_stand(ending: str) -> None:
    """Blanks around an id are part of it, as in orders; a byte-order mark and CRLF are not."""
    file = Path("some" + ending)
    ids = [" a", "a", "a", "b\u2028c", "0012"]
    text = {
        ".txt": "\ufeff" + "\r\n".join([*ids, "", "  ", ""]),
        ".csv": "\ufeffcustomer_id\r\n" + "\r\n".join(f'"{each}"' for each in ids) + "\r\n",
        ".jsonl": "".join(f'{{"customer_id": "{each}"}}\n' for each in ids),
    }[ending]
    file.write_bytes(text.encode())
    assert customer_ids(file) == [" a", "a", "b\u2028c", "0012"]


def test_customer_numbers_are_their_digits() -> None:
    """Whole floats lose their point and missing ones are left out, as in orders."""
    pd.DataFrame({"customer_id": [12346.0, None, 7.0]}).to_parquet("some.parquet")
    assert customer_ids(Path("some.parquet")) == ["12346", "7"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 1.5], r"some.parquet names '1.5', which is no id \(not whole\)"),
        ([True, False], "column customer_id of some.parquet is of type bool"),
        (["a", "b\tc"], r"names 'b\\tc', which is no id \(control character\)"),
        (["a", "b" * 5000], r"names 'b{40}', which is no id \(too long\)"),
    ],
)
def test_what_is_no_customer_id_is_refused(values: list[object], message: str) -> None:
    """A column that order readers would refuse or reject names no customers either."""
    pd.DataFrame({"customer_id": values}).to_parquet("some.parquet")
    with pytest.raises(InvalidConfigError, match=f"^customers: .*{message}"):
        customer_ids(Path("some.parquet"))


def test_a_customers_row_that_cannot_be_read_is_told() -> None:
    """No customer is left out silently."""
    Path("some.jsonl").write_text('{"customer_id": "a"}\n{"customer\n', encoding="utf-8")
    with pytest.raises(InvalidConfigError, match=r"^customers: some.jsonl cannot be read at row 1"):
        customer_ids(Path("some.jsonl"))


def test_a_customers_file_of_another_encoding_is_told() -> None:
    """Text that is no UTF-8 is one line, not a traceback."""
    Path("some.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InvalidConfigError, match=r"^customers: some.txt cannot be read"):
        customer_ids(Path("some.txt"))


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --models m --orders a --as-of yesterday", "--as-of: 'yesterday' is no moment; "),
        ("train --models m --orders a --timezone Mars/Base", "'Mars/Base' is no time zone; "),
        ("import --store sqlite:///x.db --orders a --not-products (", "'(' is no regular expres"),
        ("train --models m --orders a --map a=b", "--map: 'a=b': 'b' is no column of ours; they"),
        ("train --models m --orders a --map-catalog a=order_id", "--map-catalog: 'a=order_id': "),
        ("keys create me --store sqlite:///x.db --scope wat", "'wat' is none of ingest, decide, "),
        ("evaluate --orders a --peers strong", "'--peers': 'strong' is none of all, best, none; "),
        ("evaluate --orders a --max-queries few", "'--max-queries': give a whole number; see "),
        ("evaluate --orders a --horizon-days few", "'--horizon-days': give a number; see "),
    ],
)
def test_arguments_wrong_in_themselves_end_with_2(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    """What no file could make right is refused before any is looked at, with the exit code 2."""
    assert main(arguments.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: Invalid value for ")
    assert message in told
    assert told.count("\n") == 1
    assert not list(Path().iterdir())


# --- before the orders are read ------------------------------------------------------------------


def _rows() -> pd.DataFrame:
    """Return 30 customers who buy a coat and, a day later, a tie."""
    rows = [
        (f"o-{c:02}-{n}", f"c-{c:02}", product, dt.datetime(2025, 6, 1 + n, tzinfo=dt.UTC), 1)
        for c in range(30)
        for n, product in enumerate(("coat", "tie"))
    ]
    names = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of one version."""
    folder = tmp_path_factory.mktemp("shop")
    _rows().to_parquet(folder / "orders.parquet")
    orders, models = str(folder / "orders.parquet"), str(folder / "models")
    assert main(["train", "--orders", orders, "--models", models]) == 0
    return folder / "models"


@pytest.mark.parametrize("command", ["suppress", "recommend"])
def test_out_may_be_no_folder(
    capsys: pytest.CaptureFixture[str], models: Path, command: str
) -> None:
    """A folder named as the output is refused before the orders are read."""
    Path("out.csv").mkdir()
    asked = [command, "--orders", "missing.csv", "--models", str(models), "--out", "out.csv"]
    assert main(asked) == 2
    assert "--out: out.csv is a folder; name a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("types = 3", "error: policy"), ("types = [", "error: policy")],
)
@pytest.mark.parametrize("command", ["suppress", "import"])
def test_a_bad_policy_is_found_first(
    capsys: pytest.CaptureFixture[str],
    models: Path,
    command: str,
    text: str | None,
    message: str,
) -> None:
    """A policy that cannot be read stops a command before the orders are read."""
    if text is not None:
        Path("policy.toml").write_text(text, encoding="utf-8")
    asked = ["--models", str(models), "--out", "x.csv"]
    if command == "import":
        asked = ["--store", "sqlite:///x.db"]
    asked += ["--orders", "missing.csv", "--policy", "policy.toml"]
    assert main([command, *asked]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "missing.csv" not in told


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "state", "why"),
    [
        ("{", "damaged", "manifest.json is damaged"),
        ('{"format_version": 99}', "of another format", "format 99 where this library reads"),
    ],
)
def test_a_damaged_version_is_listed(
    capsys: pytest.CaptureFixture[str], models: Path, manifest: str, state: str, why: str
) -> None:
    """The other versions are told all the same; to show the damaged one is the error."""
    good = pz.ModelsDirectory(models).current()
    bad = models / "bad"
    bad.mkdir(exist_ok=True)
    (bad / "manifest.json").write_text(manifest, encoding="utf-8")
    assert main(["models", "list", "--models", str(models)]) == 0
    told = capsys.readouterr()
    assert [line.split()[:2] for line in told.out.splitlines()[1:2]] == [["*", good]]
    assert told.out.splitlines()[2].split() == ["bad", *state.split()]
    assert told.err.startswith("warning: artifact ")
    assert why in told.err
    assert main(["models", "show", "bad", "--models", str(models)]) == 1
    assert why in capsys.readouterr().err


# --- the unforeseen ------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", ["", "1"])
def test_the_unforeseen_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, models: Path, debug: str
) -> None:
    """A fault of ours ends with 1 and its class; its traceback is for those who ask for it."""

    def broken(*_: object) -> str:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(pz.ModelsDirectory, "current", broken)
    monkeypatch.setenv("PERSONALIZE_DEBUG", debug)
    assert main(["models", "list", "--models", str(models)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ZeroDivisionError: by nought; this is a fault of ours: ")
    assert (lines[0] == "Traceback (most recent call last):", len(lines) > 1) == (bool(debug),) * 2
