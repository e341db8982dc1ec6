"""Benchmarks of speed on made-up shops: what is made, what is timed, and which lines are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import personalize as pz
from benchmarks import growth, shops, speed, weights_process

SIZE = shops.Size(6_000, 300, 500)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the files of a small made-up shop."""
    return shops.make_shop(SIZE, tmp_path_factory.mktemp("shops"))


class TestShops:
    def test_it_is_about_as_large_as_asked(self, shop: tuple[Path, Path]) -> None:
        """Lines within a tenth, every customer seen, and no row that our reader would refuse."""
        orders = pz.read_orders(shop[0], strict=True)
        assert orders.problems == ()
        assert abs(orders.n_lines - SIZE.lines) < SIZE.lines / 10
        assert 0.9 * SIZE.customers < orders.n_customers <= SIZE.customers
        assert len(pz.read_catalog(shop[1], strict=True)) == SIZE.products

    def test_it_is_the_same_every_time(self, shop: tuple[Path, Path], tmp_path: Path) -> None:
        """The same size and seed make the same rows; another seed makes others."""
        table = pd.read_parquet(shop[0])
        again = pd.read_parquet(shops.make_shop(SIZE, tmp_path / "again")[0])
        other = pd.read_parquet(shops.make_shop(SIZE, tmp_path / "other", seed=1)[0])
        pd.testing.assert_frame_equal(table, again)
        assert not table.equals(other)

    def test_a_file_is_made_once(self, shop: tuple[Path, Path]) -> None:
        """What is there is not made again."""
        before = shop[0].stat().st_mtime_ns
        assert shops.make_shop(SIZE, shop[0].parent.parent) == shop
        assert shop[0].stat().st_mtime_ns == before

    def test_row_groups_follow_in_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Orders are written in row groups, every order in one, in the order of time."""
        monkeypatch.setattr(shops, "ORDERS_PER_GROUP", 500)
        path, _ = shops.make_shop(SIZE, tmp_path)
        file = pq.ParquetFile(path)
        assert file.num_row_groups == 3
        table = file.read().to_pandas()
        assert table["ordered_at"].is_monotonic_increasing
        assert (table.groupby("order_id")["ordered_at"].nunique() == 1).all()
        assert not table.duplicated(["order_id", "product_id"]).any()


class TestWeights:
    def test_both_learn_from_one_matrix(self, shop: tuple[Path, Path]) -> None:
        """The rival's matrix holds each customer's products once; both are timed."""
        orders = pz.read_orders(shop[0])
        found = weights_process.main(str(shop[0]))
        owned = orders.to_frame().query("returned_quantity < quantity").dropna(subset="customer_id")
        assert found["cells"] == len(owned.drop_duplicates(["customer_id", "product_id"]))
        assert found["lines"] == orders.n_lines
        ours, theirs = found["ours"]["wall_s"], found["als"]["wall_s"]
        assert found["wall_ratio"] == pytest.approx(ours / theirs)


def figures(lines: int, seconds: float) -> dict[str, Any]:
    """Return what `speed` would have measured: everything took so many seconds."""
    row = {"wall_s": seconds, "cpu_s": seconds, "peak_mb": 4000.0}
    answer = {"n": lines, "seconds": seconds, "per_second": lines / seconds}
    return {
        "lines": lines,
        "train": {"ours": row, "cold": row, "als": row, "wall_ratio": 1.0},
        "weights": {"ours": row, "als": row, "wall_ratio": 1.0},
        "answer": dict.fromkeys(("read", "check", "suppress", "recommend"), answer)
        | {"decide": {"median_us": 9.0}, "decide_100": {"median_us": 99.0}, "customers": lines},
    }


class TestGrowth:
    def test_linear_growth_has_exponent_1(self) -> None:
        """A hundred times the lines in a hundred times the seconds is 1; in a thousand, 1.5."""
        assert growth.exponent([1, 10, 100], [2.0, 9.0, 200.0]) == pytest.approx(1.0)
        assert growth.exponent([1, 100], [1.0, 1000.0]) == pytest.approx(1.5)

    def test_a_large_shop_keeps_its_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        """20 million pairs in 30 seconds are over half a million a second; in 50 they aren't."""
        kept = growth.kept_lines(figures(20_000_000, 30.0))
        assert [row[3] for row in kept] == [True] * 7
        crossed = growth.kept_lines(figures(20_000_000, 50.0))
        assert [row[0] for row in crossed if not row[3]] == ["check, pairs a second"]
        growth.print_lines(crossed)
        assert "at least 500,000: CROSSED" in capsys.readouterr().out

    def test_a_small_shop_has_none_and_parts_may_be_missing(self) -> None:
        """Only large shops have these lines, and only for what was measured."""
        assert growth.kept_lines(figures(200_000, 1.0)) == []
        names = [row[0] for row in growth.kept_lines({"lines": 20_000_000, "answer": {}})]
        assert names == []

    def test_growth_is_printed_by_size(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A column by size and the exponent; what one of the shops lacks is left out."""
        growth.print_growth([figures(200_000, 1.0), figures(20_000_000, 100.0)])
        printed = capsys.readouterr().out
        assert "20,000,000   exponent" in printed
        assert (
            "train, whole process                        1.00        100.00       1.00" in printed
        )
        assert (
            "peak of training, MB                    4,000.00      4,000.00       0.00" in printed
        )
        growth.print_growth([{"lines": 1, "train": figures(1, 1.0)["train"]}, figures(2, 2.0)])
        assert "suppress" not in capsys.readouterr().out


class TestCommand:
    def test_made_up_shops_are_measured_one_after_the_other(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Every size is made, asked for its weights, and put into the growth table and the file."""
        monkeypatch.setattr(speed.made_up, "__defaults__", (tmp_path / "shops",))
        sizes = ["--lines", "2000", "4000", "--customers", "100", "--products", "500"]
        out = tmp_path / "found.json"
        command = [*sizes, "--part", "weights", "--runs", "1", "--json", str(out)]
        assert speed.main(command) == 0
        printed = capsys.readouterr().out
        assert "made up, 4,000 lines" in printed
        assert "From matrix to weights" in printed
        assert "exponent" in printed
        assert out.exists()

    def test_only_small_shops_keep_the_small_lines(self) -> None:
        """Twenty million lines may take more than 2 GB; Online Retail may not."""
        small, large = figures(500_000, 1.0), figures(20_000_000, 1.0)
        assert not speed.is_within(small)
        assert speed.is_within(large)
        assert speed.is_within({"lines": 500_000})


def test_names_are_digits_of_one_width() -> None:
    """Ids are a letter and digits, so that they sort like their numbers."""
    assert shops.ids_of("P", np.array([7, 12345]), 5).to_pylist() == ["P00007", "P12345"]
