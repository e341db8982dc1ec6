"""The benchmarks: which rows count, and that their commands run end to end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import personalize as pz
from benchmarks import als_process, datasets, quality, speed, throughput
from personalize.evaluation.protocol import OURS
from personalize.evaluation.queries import basket_queries, follow_up_queries, repurchase_pairs
from personalize.evaluation.split import split_at


class TestDatasets:
    def test_online_retail_rows(self) -> None:
        """Guests, returns, corrections, cancellations and what is no product are left out."""
        table = pd.DataFrame(
            {
                "Invoice": ["1", "1", "C2", "3", "4", "5"],
                "StockCode": ["85123A", "POST", "85123A", "85123A", "85123A", "85123A"],
                "Description": ["A lamp"] * 6,
                "Quantity": [1, 1, 1, -1, 1, 1],
                "InvoiceDate": pd.to_datetime(["2010-01-01"] * 6),
                "Price": [1.0, 1.0, 1.0, 1.0, 0.0, 1.0],
                "Customer ID": [12345.0] * 5 + [float("nan")],
            }
        )
        lines = datasets.clean_retail(table).lines
        assert lines[["order_id", "customer_id", "product_id"]].to_numpy().tolist() == [
            ["1", "12345", "85123A"]
        ]
        assert lines["ordered_at"].iloc[0] == pd.Timestamp("2010-01-01", tz="UTC")

    def test_ta_feng_baskets_are_a_week_apart(self) -> None:
        """The last basket is at the cutoff, the one before it seven days earlier."""
        dataset = datasets.date_baskets({"7": [[1], [2, 3], [4]]})
        days = (
            dataset.lines["ordered_at"] - pd.Timestamp(datasets.TA_FENG_CUTOFF, tz="UTC")
        ).dt.days
        assert days.tolist() == [-14, -7, -7, 0]
        wide = datasets.date_baskets({"7": [[9], [10]]}).lines
        assert wide["product_id"].tolist() == ["09", "10"]
        split = split_at(dataset.orders(), dataset.cutoff, min_lines=dataset.min_lines)
        assert len(split.train) == 3
        assert split.test.time.tolist() == [split.cutoff]

    def test_the_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is given wins over the environment; without either there is none."""
        monkeypatch.setenv(datasets.DATA_VARIABLE, "/there")
        assert datasets.data_folder(Path("/here")) == Path("/here")
        assert datasets.data_folder(None) == Path("/there")
        monkeypatch.delenv(datasets.DATA_VARIABLE)
        assert datasets.data_folder(None) is None


@pytest.fixture(scope="module")
def made_up_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop in the two files' own formats."""
    rng = np.random.default_rng(0)
    rows = []
    for order in range(400):
        day = rng.integers(0, 120)
        customer = 12000 + int(rng.integers(40))
        for product in rng.choice(30, size=4, replace=False).tolist():
            rows.append((str(order), f"{10000 + product // 2}{'AB'[product % 2]}", day, customer))
    table = pd.DataFrame(rows, columns=["Invoice", "StockCode", "day", "Customer ID"])
    table["InvoiceDate"] = pd.Timestamp("2010-07-01") + pd.to_timedelta(table.pop("day"), unit="D")
    table["Customer ID"] = table["Customer ID"].astype("float64")
    table["Description"] = "PRETTY " + table["StockCode"].str[4].map(
        lambda n: f"{'ABCDE'[int(n) % 5]}AG"
    )
    table["Quantity"] = 1
    table["Price"] = 2.5
    table["Country"] = "United Kingdom"
    folder = tmp_path_factory.mktemp("data")
    table.to_parquet(folder / datasets.RETAIL_FILE)
    baskets = {
        str(customer): [rng.choice(12, size=3, replace=False).tolist() for _ in range(4)]
        for customer in range(20)
    }
    (folder / datasets.TA_FENG_FILE).write_text(json.dumps(baskets), encoding="utf-8")
    return folder


class TestQuality:
    def test_online_retail_end_to_end(
        self, made_up_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """All peers and ours answer A, B and S; the best peer is chosen afterwards."""
        out = tmp_path / "found.json"
        command = ["--data", str(made_up_folder), "--json", str(out), "--config", "min_customers=1"]
        assert quality.main([*command, "--cutoff", "2010-09-15"]) == 0
        found = json.loads(out.read_text(encoding="utf-8"))
        assert len(found["tasks"]["A"]["methods"]) == 15
        assert len(found["tasks"]["B"]["methods"]) == 16
        for task in ("A", "B"):
            rows = found["tasks"][task]["methods"]
            peers_only = {name: row["ndcg"] for name, row in rows.items() if name != OURS}
            assert found["tasks"][task]["best_peer"] == max(
                peers_only, key=lambda name: peers_only[name]
            )
            ratio = found["tasks"][task]["ratios"][OURS]
            assert ratio["low"] <= ratio["value"] <= ratio["high"]
            assert all(0 <= row[name] <= 1 for row in rows.values() for name in row)
        assert set(found["repurchase"]["methods"]) >= {"gradient boosting", OURS}
        assert len(found["guards"]) == 2
        for where in found["guards"].values():
            for counts in where.values():
                assert not any(counts.values())
        assert "decision in force" in capsys.readouterr().out

    def test_ta_feng_end_to_end(
        self, made_up_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Undated baskets: A and B, no S."""
        command = ["--data", str(made_up_folder), "--dataset", "ta-feng", "--peers", "best"]
        assert quality.main([*command, "--no-ours"]) == 0
        printed = capsys.readouterr().out
        assert "co-purchase count" in printed
        assert "S. Suppression" not in printed

    def test_until_hides_the_test_period(self, made_up_folder: Path) -> None:
        """With an end, nothing at or after it is read."""
        options = quality.parser().parse_args(["--cutoff", "2010-08-15", "--until", "2010-09-15"])
        lines = quality.read_dataset(options, made_up_folder).lines
        assert lines["ordered_at"].max() < pd.Timestamp("2010-09-15", tz="UTC")

    def test_no_data_is_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a folder the command says how to give one, and ends with 2."""
        monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
        assert quality.main([]) == 2
        assert "set PERSONALIZE_REAL_DATA" in capsys.readouterr().err


class TestSpeed:
    def test_a_process_is_measured(self) -> None:
        """Wall time, CPU time and the peak of one process: 64 MB touched are 64 MB more."""
        small = speed.measure([sys.executable, "-c", "print('hello')"])
        large = speed.measure([sys.executable, "-c", "b'x' * 64_000_000"])
        assert small.output == "hello\n"
        assert small.wall_s > 0 < small.cpu_s
        assert large.wall_s < 60

    def test_a_failure_is_told(self) -> None:
        """A process that fails says why."""
        with pytest.raises(RuntimeError, match=r"ended with 3: oh no"):
            speed.measure(
                [sys.executable, "-c", "import sys; sys.stderr.write('oh no'); sys.exit(3)"]
            )

    def test_the_race(
        self,
        made_up_folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Ours and ALS alternate; the ratio is the median of the pairs'."""
        monkeypatch.setattr(speed, "train_command", lambda *_: [sys.executable, "-c", "pass"])
        found = speed.race(speed.online_retail(made_up_folder), tmp_path, 1)
        assert found["wall_ratio"] == found["wall_ratios"][0] > 0
        assert speed.is_within({"lines": 1600, "train": found})
        slow, large = {"wall_ratio": 10.1}, {"cold": {"peak_mb": 2000.0}}
        assert not speed.is_within({"lines": 1600, "train": found | slow})
        assert not speed.is_within({"lines": 1600, "train": found | large})
        speed.print_race(found, 1)
        assert "line: at most 10" in capsys.readouterr().out

    def test_als_reads_the_same_orders(self, made_up_folder: Path) -> None:
        """The rival's matrix has every line of the made-up shop."""
        matrix = als_process.read_matrix(str(made_up_folder / datasets.RETAIL_FILE))
        assert (matrix.shape, int(matrix.sum())) == ((40, 30), 1600)

    def test_als_writes_its_factors(self, made_up_folder: Path, tmp_path: Path) -> None:
        """The rival fits as a process of its own, and writes what it learned."""
        files = [str(made_up_folder / datasets.RETAIL_FILE), str(tmp_path / "als.npz")]
        speed.measure([sys.executable, "-m", "benchmarks.als_process", *files])
        with np.load(tmp_path / "als.npz") as factors:
            assert factors["products"].shape == (30, als_process.FACTORS)

    def test_answers_are_timed(
        self, made_up_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A trained model answers as many pairs as lines, all customers, and single decisions."""
        shop = speed.online_retail(made_up_folder)
        orders = pz.read_orders(shop.orders, **shop.reading)
        pz.Engine.fit(orders).save(tmp_path / "first")
        pz.ModelsDirectory(tmp_path).use("first")
        found = throughput.main(str(tmp_path), str(shop.orders), json.dumps(dict(shop.reading)))
        assert (found["check"]["n"], found["recommend"]["n"]) == (1600, 40)
        for name in ("decide", "decide_100"):
            assert 0 < found[name]["median_us"] <= found[name]["p99_us"]
        speed.print_answers({**found, "process": {"peak_mb": 1.0}})
        assert "decide" in capsys.readouterr().out

    def test_no_data_is_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a shop the command says how to get one, and ends with 2."""
        monkeypatch.delenv(speed.DATA_VARIABLE, raising=False)
        assert speed.main([]) == 2
        assert "--lines N" in capsys.readouterr().err


REAL = os.environ.get(datasets.DATA_VARIABLE)


@pytest.mark.skipif(REAL is None, reason=f"{datasets.DATA_VARIABLE} is unset: no real orders here")
class TestRealData:
    def test_online_retail_counts(self) -> None:
        """The split has the published sizes: lines, customers, products, queries, pairs."""
        dataset = datasets.read_online_retail(Path(REAL or ""))
        split = split_at(dataset.orders(), dataset.cutoff, min_lines=dataset.min_lines)
        kept = split.eligible[split.train.product]
        assert (int(kept.sum()), int(split.eligible.sum())) == (273_255, 3_259)
        assert len(np.unique(split.train.customer[kept])) == 3_536
        assert len(basket_queries(split)) == 14_664
        assert len(follow_up_queries(split)) == 1_690
        pairs = repurchase_pairs(split)
        assert (len(pairs.again), round(float(pairs.again.mean()), 3)) == (196_567, 0.111)

    def test_ta_feng_counts(self) -> None:
        """The same for Ta-Feng."""
        dataset = datasets.read_ta_feng(Path(REAL or ""))
        split = split_at(dataset.orders(), dataset.cutoff, min_lines=dataset.min_lines)
        assert len(basket_queries(split)) == 35_100
        assert len(follow_up_queries(split)) == 13_137
