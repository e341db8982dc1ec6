"""Reading and writing tables: every format, and what becomes of files that are broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.errors import InvalidConfigError, InvalidOrdersError
from personalize.memory import available_memory
from personalize.tables import (
    Rejects,
    TableError,
    delimited,
    jsonlines,
    open_parts,
    parts,
    readable,
    table_endings,
    write_table,
)
from personalize.tables.parts import as_texts, to_arrow

FRAME = pd.DataFrame(
    {
        "id": ["a", 'b,"c"', "é😀"],
        "at": pd.to_datetime(
            ["2026-01-01", "2026-01-02T03:04:05.000006", None], format="ISO8601", utc=True
        ),
        "n": [1, 2, 3],
        "x": [0.1, None, 3.0],
        "flag": [True, False, True],
    }
)


def cells(path: Path, columns: list[str] | None = None, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    (part,) = open_parts(path, **options)
    found = [b.table.to_pylist() for b in part.batches(columns or list(part.columns))]
    return [row for batch in found for row in batch]


def numbers(path: Path, columns: list[str]) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the numbers of the rows of a file, and its unreadable rows."""
    (part,) = open_parts(path)
    batches = list(part.batches(columns))
    return (
        [int(row) for batch in batches for row in batch.rows],
        [row for batch in batches for row in batch.unreadable],
    )


@pytest.mark.parametrize("ending", table_endings())
def test_what_is_written_can_be_read(tmp_path: Path, ending: str) -> None:
    """Every format that is written is read, with the same cells."""
    path = tmp_path / f"table{ending}"
    write_table(FRAME, path)
    rows = cells(path)
    assert [row["id"] for row in rows] == FRAME["id"].tolist()
    assert [str(row["n"]) for row in rows] == ["1", "2", "3"]
    assert [float(row["x"]) if row["x"] else None for row in rows] == [0.1, None, 3.0]
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_times_are_rfc3339_in_text(tmp_path: Path) -> None:
    """Times are UTC with a Z, a fraction only where there is one; unknown cells are empty."""
    write_table(FRAME, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines == [
        '"id","at","n","x","flag"',
        '"a","2026-01-01T00:00:00Z",1,0.1,true',
        '"b,""c""","2026-01-02T03:04:05.000006Z",2,,false',
        '"é😀",,3,3,true',
    ]
    write_table(FRAME, tmp_path / "t.jsonl")
    first, second, third = (
        json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()
    )
    assert first == {"id": "a", "at": "2026-01-01T00:00:00Z", "n": 1, "x": 0.1, "flag": True}
    assert (second["x"], third["at"]) == (None, None)
    whole = FRAME[["at"]].iloc[:1]
    write_table(whole.assign(at=whole["at"].dt.tz_convert(None)), tmp_path / "naive.csv")
    assert "2026-01-01T00:00:00Z" in (tmp_path / "naive.csv").read_text()


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    """A float reads back as the same float, in every text format."""
    frame = pd.DataFrame({"x": [0.1 + 0.2, 1e-300, 123456789.123456789]})
    for ending in (".csv", ".jsonl"):
        write_table(frame, tmp_path / f"t{ending}")
        assert [float(row["x"]) for row in cells(tmp_path / f"t{ending}")] == frame["x"].tolist()


def test_same_table_same_bytes(tmp_path: Path) -> None:
    """Writing twice gives the same bytes, zipped too."""
    for ending in table_endings():
        write_table(FRAME, tmp_path / f"a{ending}")
        write_table(FRAME, tmp_path / f"b{ending}")
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_unknown_ending_is_refused(tmp_path: Path) -> None:
    """A file is named by its format, and the formats are listed."""
    with pytest.raises(InvalidConfigError, match=r"ends in none of \.parquet, \.csv") as caught:
        write_table(FRAME, tmp_path / "t.xlsx")
    assert caught.value.field == "path"


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A file cannot be written into a folder that does not exist, and the message says so."""
    with pytest.raises(InvalidConfigError, match=r"cannot be written .*name a folder that exists"):
        write_table(FRAME, tmp_path / "none" / "t.csv")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A file is replaced whole or not at all."""
    path = tmp_path / "t.jsonl"
    write_table(FRAME, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_table(pd.DataFrame({"x": [b"\xff"]}), path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_nothing_can_be_written(tmp_path: Path) -> None:
    """A table of no rows is a file all the same."""
    for ending in (".csv", ".jsonl", ".parquet"):
        write_table(FRAME.iloc[:0], tmp_path / f"t{ending}")
        assert (tmp_path / f"t{ending}").exists()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    """The delimiter is the one that splits the header most; quoted ones do not count."""
    path = tmp_path / "t.csv"
    path.write_text(delimiter.join(["a", '"b,;|x"', "c"]) + "\n" + delimiter.join("123") + "\n")
    assert cells(path) == [{"a": "1", "b,;|x": "2", "c": "3"}]


def test_byte_order_mark_is_no_name(tmp_path: Path) -> None:
    """Files from spreadsheets begin with a mark, which is not part of the first name."""
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert cells(tmp_path / "t.csv") == [{"a": "1", "b": "2"}]
    (tmp_path / "t.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert cells(tmp_path / "t.jsonl") == [{"a": 1}]


def test_quoted_line_breaks_are_cells(tmp_path: Path) -> None:
    """A quoted cell may hold delimiters, quotes and line breaks."""
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"1\n2","x,""y"""\n\n3,4\n')
    assert cells(path) == [{"a": "1\n2", "b": 'x,"y"'}, {"a": "3", "b": "4"}]


def test_ragged_rows_are_told_with_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of another length are unreadable; the rows around them keep their numbers."""
    monkeypatch.setattr(delimited, "_BLOCK", 100)
    rows = [f"{n},x" for n in range(60)]
    rows[3], rows[30], rows[58], rows[59] = "only", "a,b,c", "", "end"
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b", *rows]) + "\n")
    good, bad = numbers(path, ["a"])
    # The blank line is no row.
    assert bad == [
        (3, "1 cells where 2 are expected: only"),
        (30, "3 cells where 2 are expected: a,b,c"),
        (58, "1 cells where 2 are expected: end"),
    ]
    assert good == [n for n in range(58) if n not in (3, 30)]
    assert [int(row["a"]) for row in cells(path, ["a"])] == good


def test_ragged_rows_at_the_end(tmp_path: Path) -> None:
    """A file may hold nothing but ragged rows."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n2,3,4\n")
    good, bad = numbers(path, ["a"])
    assert (good, [row for row, _ in bad]) == ([], [0, 1])


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "a,b\r\n\r\n"])
def test_header_alone_is_a_table_without_rows(tmp_path: Path, text: str) -> None:
    """A file of column names has those columns and no rows."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    (part,) = open_parts(path)
    assert list(part.columns) == ["a", "b"]
    assert cells(path) == []


def test_encodings(tmp_path: Path) -> None:
    """A file in another encoding is read when it is named, and told where it is not UTF-8."""
    path = tmp_path / "t.csv"
    path.write_bytes("name,b\ncafé,1\nplain,2\n".encode("latin-1"))
    assert cells(path, encoding="latin-1")[0] == {"name": "café", "b": "1"}
    expected = r"t\.csv is not utf-8: byte 0xe9 at offset 10, line 2; .*iconv -f latin1 -t utf-8"
    with pytest.raises(TableError, match=expected):
        cells(path)
    # A column that nobody asks for may hold anything.
    assert cells(path, ["b"]) == [{"b": "1"}, {"b": "2"}]
    (tmp_path / "u.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    assert cells(tmp_path / "u.csv", encoding="utf-16") == [{"a": "1", "b": "2"}]
    with pytest.raises(TableError, match="cannot be read as 'klingon'"):
        open_parts(path, encoding="klingon")


def test_bad_byte_far_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of a bad byte is right beyond the first block, and across two of them."""
    monkeypatch.setattr(delimited, "_HEAD", 64)
    for start in (200, 254, 255, 256):
        text = b"a\n" + b"xyz\n" * ((start - 2) // 4)
        text += b"x" * (start - len(text))
        (tmp_path / "t.csv").write_bytes(text + b"\xc3(\nlast\n")
        lines = text.count(b"\n") + 1
        with pytest.raises(TableError, match=f"byte 0xc3 at offset {start}, line {lines};"):
            cells(tmp_path / "t.csv")


def test_cut_within_a_character(tmp_path: Path) -> None:
    """A file that ends in the middle of a character is told as cut short."""
    (tmp_path / "t.csv").write_bytes(b"a\nxyz\n" + "é".encode()[:1])
    with pytest.raises(TableError, match="ends within a character; it may be cut short"):
        cells(tmp_path / "t.csv")


def test_open_quote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote that is never closed is told, when it swallows more than a row can hold."""
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    (tmp_path / "t.csv").write_text('a,b\n1,"never closed\n' + "2,x\n" * 100)
    with pytest.raises(TableError, match=r"a quote .* that is opened and never closed"):
        cells(tmp_path / "t.csv")


def test_files_that_are_empty(tmp_path: Path) -> None:
    """A file without a byte, or of blank lines, is empty."""
    for name in ("t.csv", "t.jsonl"):
        for content in (b"", b"\n \n"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(TableError, match=f"{name} is empty"):
                open_parts(tmp_path / name)
    (tmp_path / "t.parquet").write_bytes(b"")
    with pytest.raises(TableError, match=r"t\.parquet cannot be read"):
        open_parts(tmp_path / "t.parquet")


def test_files_that_are_cut_short(tmp_path: Path) -> None:
    """Half a Parquet file, and half a gzip file, are told as such."""
    write_table(FRAME, tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(TableError, match=r"cannot be read .*cut short"):
        open_parts(tmp_path / "t.parquet")
    for ending in (".csv.gz", ".jsonl.gz"):
        big = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})
        write_table(big, tmp_path / f"t{ending}")
        content = (tmp_path / f"t{ending}").read_bytes()
        (tmp_path / f"t{ending}").write_bytes(content[: len(content) // 2])
        with pytest.raises(TableError, match=r"cannot be read .*cut short"):
            cells(tmp_path / f"t{ending}")
    (tmp_path / "plain.csv.gz").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match="cannot be read"):
        open_parts(tmp_path / "plain.csv.gz")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.csv", r"nowhere\.csv does not exist; check the path"),
        ("nowhere.parquet", r"nowhere\.parquet does not exist"),
        ("table.xlsx", r"ends in none of \.parquet, \.pq, \.csv"),
        ("noending", "ends in none of"),
        ([], "is no table; give a path"),
        (5, "is no table; give a path"),
        (".", "is a folder; name its files"),
    ],
)
def test_sources_that_are_none(source: Any, message: str) -> None:
    """What is no table, or of no known format, is refused with what would do."""
    with pytest.raises(TableError, match=message):
        open_parts(source)


def test_header_that_is_none(tmp_path: Path) -> None:
    """A file whose first cell never ends has no column names."""
    (tmp_path / "t.csv").write_text("x" * 200_000 + "\n")
    with pytest.raises(TableError, match="does not begin with a row of column names"):
        open_parts(tmp_path / "t.csv")


def test_json_lines_read_fast_and_slowly_alike(tmp_path: Path) -> None:
    """Lines that Arrow cannot read, or would read wrongly, are read one by one."""
    path = tmp_path / "t.jsonl"

    def read(*lines: str) -> list[Any]:
        path.write_text("\n".join(lines) + "\n")
        return [row["a"] for row in cells(path, ["a"], names=["a"])]

    assert read('{"a": 1}', '{"b": 2}') == [1, None]
    assert read('{"a": "2026-01-01"}', '{"a": "2026-01-02"}') == ["2026-01-01", "2026-01-02"]
    assert read('{"a": 1}', '{"a": "x"}', '{"a": 2.0}') == ["1", "x", "2"]
    assert read('{"a": 123456789012345678901234}') == ["123456789012345678901234"]
    assert read('{"a": 1}', "", '{"a": 2}') == [1, 2]
    assert read('{"a": 1, "a": 2}') == [2]
    assert read('{"a": [1, 2]}', '{"a": {"b": 1}}') == ["[1, 2]", '{"b": 1}']
    assert read('{"a": [1, 2]}') == ["[1, 2]"]
    assert read('{"a": true}', '{"a": "yes"}', '{"a": 0.5}') == ["true", "yes", "0.5"]
    assert read('{"a": 1}{"a": 2}', '{"a": 3}') == [3]


def test_json_lines_that_are_none(tmp_path: Path) -> None:
    """Lines that are no object are unreadable, and the others are kept."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n[1]\n\n"x"\n{"a": "\xff"}\n{"a": 2}\n' + b"[" * 100_000)
    good, bad = numbers(path, ["a"])
    assert good == [0, 5]
    assert [row for row, _ in bad] == [1, 2, 3, 4, 6]
    told = dict(bad)
    assert told[1].startswith("is no JSON (Expecting value")
    assert told[2] == "is no JSON object: [1]"
    assert told[4].startswith("is not UTF-8")


def test_json_columns_may_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that is asked for is found where it first appears on the last line."""
    monkeypatch.setattr(jsonlines, "_BLOCK", 50)
    path = tmp_path / "t.jsonl"
    long = json.dumps({"a": 2, "text": "x" * 200})
    lines = ['{"a": 1}'] * 20 + [long] + ['{"a": 3, "late": "x"}']
    path.write_text("\n".join(lines))
    (part,) = open_parts(path, names=["late", "never"])
    assert list(part.columns) == ["a", "late"]
    assert part.expected_rows == 22
    rows = cells(path, ["a", "late"], names=["late"])
    assert [row["late"] for row in rows] == [None] * 21 + ["x"]
    assert [str(row["a"]) for row in rows] == ["1"] * 20 + ["2", "3"]


def test_row_counts(tmp_path: Path) -> None:
    """Parquet tells its rows; of text they are estimated, for the memory they will need."""
    frame = pd.DataFrame({"a": np.arange(1000), "b": "x"})
    for ending in (".parquet", ".csv", ".csv.gz", ".jsonl"):
        write_table(frame, tmp_path / f"t{ending}")
        (part,) = open_parts(tmp_path / f"t{ending}")
        assert part.n_rows == (1000 if ending == ".parquet" else None)
        assert 900 <= part.expected_rows <= 3000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 2], [1, None, 2]),
        (["x", pd.NaT], ["x", None]),
        ([b"x", "y", None], ["x", "y", None]),
        ([True, 1, 2.5, 1e300], ["true", "1", "2.5", "1e+300"]),
        ([pd.Timestamp("2026-01-01", tz="UTC"), "x"], ["2026-01-01T00:00:00+00:00", "x"]),
        ([__import__("decimal").Decimal("1E+2"), "x"], ["100", "x"]),
        (["\ud800", "x"], ["\\ud800", "x"]),
        ([(1, 2), [3]], ["[1, 2]", "[3]"]),
        ([np.float64(2.0), np.bool_(True), "x"], ["2", "true", "x"]),
    ],
)
def test_mixed_values_become_text(values: list[Any], expected: list[Any]) -> None:
    """Values of one type stay; values of several become what people would write."""
    assert to_arrow(values).to_pylist() == expected


def test_cells_of_any_type_can_be_told() -> None:
    """Rejected rows are told as text, whatever their type."""

    def told(array: pa.Array) -> list[Any]:
        return list(as_texts(pa.chunked_array([array])).to_pylist())

    assert told(pa.array([b"a\xff", None])) == ["a\ufffd", None]
    assert told(pa.array([[1], None])) == ["[1]", None]
    assert told(pa.array([1.5, None])) == ["1.5", None]
    assert told(pa.array(["x"]).dictionary_encode()) == ["x"]
    assert as_texts(pa.chunked_array([], pa.int64())).to_pylist() == []


def test_rejects_are_rows_as_they_stood(tmp_path: Path) -> None:
    """Rejected rows keep all of their columns, with number and reason, across files."""
    (tmp_path / "a.csv").write_text("x,reason\n1,a\n2\n3,c\n")
    frame = pd.DataFrame({"y": [1.5, 2.5]})
    opened = [(0, open_parts(tmp_path / "a.csv")[0]), (3, open_parts(frame)[0])]
    rows = np.array([0, 1, 4])
    rejects = Rejects(opened, rows, np.array(["bad", "row_unreadable", "worse"], object))
    frame["y"] = 0.0
    assert len(rejects) == 3
    found = rejects.to_frame()
    expected = pd.DataFrame(
        {
            "row": [0, 1, 4],
            "x": ["1", None, None],
            "reason": ["a", None, None],
            "y": [None, None, "2.5"],
            "reason_": [
                "bad",
                "row_unreadable: 1 cells where 2 are expected: 2",
                "worse",
            ],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    rejects.write(tmp_path / "rejects.csv")
    again = pd.read_csv(tmp_path / "rejects.csv")
    assert again["row"].tolist() == [0, 1, 4]


def test_rejects_of_nothing(tmp_path: Path) -> None:
    """No rejected rows are a table of no rows."""
    opened = [(0, open_parts(FRAME)[0])]
    rejects = Rejects(opened, np.array([], np.int64), np.array([], object))
    assert rejects.to_frame().columns.tolist() == ["row", "reason"]
    rejects.write(tmp_path / "r.csv")
    rejects.write(tmp_path / "r.parquet")
    assert (tmp_path / "r.csv").read_bytes() == b""


def test_rejects_of_a_changed_file(tmp_path: Path) -> None:
    """Rows cannot be told from a file that was changed meanwhile, or is gone."""
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    part = open_parts(path)[0]
    rejects = Rejects([(0, part)], np.array([0]), np.array(["bad"], object), InvalidOrdersError)
    path.write_text("x\n1\n2\n")
    with pytest.raises(InvalidOrdersError, match=r"a\.csv was changed since it was read"):
        rejects.to_frame()
    path.unlink()
    with pytest.raises(InvalidOrdersError, match="does not exist"):
        rejects.to_frame()


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tables come in several batches, their rows numbered on."""
    monkeypatch.setattr(parts, "BATCH_ROWS", 10)
    (part,) = open_parts(pd.DataFrame({"a": range(25)}))
    batches = list(part.batches(["a"]))
    assert [len(batch.rows) for batch in batches] == [10, 10, 5]
    assert batches[2].rows.tolist() == [20, 21, 22, 23, 24]


def test_errors_without_words() -> None:
    """An error that says nothing is told by its kind."""
    with pytest.raises(TableError, match=r"f\.csv cannot be read \(EOFError\)"), readable("f.csv"):
        raise EOFError


def test_memory_of_machine_and_container(tmp_path: Path) -> None:
    """Available is what the machine has, or the container if that is less."""
    assert (available_memory() or 0) > 1 << 20
    assert (available_memory(tmp_path) or 0) > 1 << 20
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    assert available_memory(tmp_path) == 4096 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1000\n")
    assert available_memory(tmp_path) == 4096 * 1024
    (group / "memory.max").write_text("3000\n")
    assert available_memory(tmp_path) == 2000
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\n")
    assert available_memory(tmp_path) == 2000


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_any_text_survives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Whatever a cell says, every format carries it."""
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype="str")
    frame["n"] = "1"
    for ending in (".parquet", ".csv", ".csv.gz", ".jsonl"):
        path = tmp_path_factory.mktemp("t") / f"t{ending}"
        write_table(frame, path)
        assert [(row["a"], row["b"]) for row in cells(path)] == rows


def test_gzip_is_by_ending(tmp_path: Path) -> None:
    """The ending says that a file is zipped, when reading as when writing."""
    write_table(FRAME, tmp_path / "t.csv.gz")
    assert gzip.decompress((tmp_path / "t.csv.gz").read_bytes()).startswith(b'"id"')
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.pq")
    assert cells(tmp_path / "t.pq") == [{"a": 1}]
