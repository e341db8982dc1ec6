"""Recent orders and what the artifact remembers tell the same demand as all orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import personalize as pz
from personalize.artifact import manifest_digest
from personalize.past import CUT_DAYS
from personalize.times import DAY, to_datetime

START = pz.to_micros("2025-01-01")
TRAINED = START + 400 * DAY


def log(n_days: int = 820) -> pz.Orders:
    """Return some 5,000 lines: seasons, guests, gifts, returns, one product that is sensitive."""
    rng = np.random.default_rng(5)
    n = 5_000
    day = np.sort(rng.random(n)) * n_days
    product = (rng.integers(0, 8, n) + (day / 50).astype(int)) % 12
    returned = rng.random(n) < 0.1
    at = START + (day * DAY).astype(np.int64)
    frame = pd.DataFrame(
        {
            "order_id": [f"o{k // 2}" for k in range(n)],
            "customer_id": [None if k % 7 == 0 else f"c{(k // 2) % 40}" for k in range(n)],
            "product_id": [f"p{num:02}" for num in product],
            "ordered_at": pd.to_datetime(np.repeat(at[::2], 2), unit="us", utc=True),
            "quantity": 1,
            "returned_quantity": returned.astype(int),
            "returned_at": pd.to_datetime(
                pd.Series(at + 20 * DAY).where(returned), unit="us", utc=True
            ),
            "gift": rng.random(n) < 0.05,
        }
    )
    frame["customer_id"] = frame.groupby("order_id")["customer_id"].transform("first")
    return pz.Orders.from_frame(frame)


def catalog() -> pz.Catalog:
    """Return its products, by groups and types; the last is sensitive."""
    return pz.Catalog.from_products(
        [
            pz.Product(
                f"p{num:02}", item_group_id=f"g{num // 2}", product_type=f"t{num // 4}",
                sensitive=num == 11,
            )
            for num in range(12)
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def orders() -> pz.Orders:
    """Return two years and a quarter of orders."""
    return log()


@pytest.fixture(scope="module")
def folder(orders: pz.Orders, tmp_path_factory: pytest.TempPathFactory) -> pz.ModelsDirectory:
    """Return a models directory with the version `v1`, trained on the first 400 days."""
    directory = pz.ModelsDirectory(tmp_path_factory.mktemp("models"))
    engine = pz.Engine.fit(orders, catalog(), as_of=to_datetime(TRAINED))
    engine.save(directory.folder / "v1")
    directory.use("v1")
    return directory


@pytest.fixture
def engine(folder: pz.ModelsDirectory) -> pz.Engine:
    """Return the trained engine, loaded."""
    return pz.Engine.load(folder.path("v1"))


def since(orders: pz.Orders, moment: int | None) -> pz.Orders:
    """Return the orders from a moment on."""
    assert moment is not None
    frame = orders.to_frame()
    return pz.Orders.from_frame(
        frame[frame["ordered_at"] >= pd.Timestamp(moment, unit="us", tz="UTC")]
    )


@pytest.mark.parametrize("later_days", [0, 1, 17, 30, 75, 365, 419])
def test_recent_orders_are_enough(engine: pz.Engine, orders: pz.Orders, later_days: int) -> None:
    """Demand and what is known of each target come out as with all orders."""
    moment = to_datetime(TRAINED + later_days * DAY)
    assert engine.demand_since == TRAINED - CUT_DAYS * DAY
    whole = engine.refreshed(orders, moment)
    recent = engine.refreshed(since(orders, engine.demand_since), moment, recent=True)
    assert recent.model_version == whole.model_version
    told, expected = recent.model.demand_arrays(), whole.model.demand_arrays()
    for name, array in expected.items():
        tolerance = 1e-12 if name.endswith("features") else 1e-2
        np.testing.assert_allclose(told[name], array, rtol=tolerance, atol=1e-9, err_msg=name)


def test_older_orders_are_not_counted_twice(engine: pz.Engine, orders: pz.Orders) -> None:
    """All orders where the recent ones are asked for: said, instead of another demand."""
    with pytest.raises(pz.InvalidOrdersError, match="give the orders from demand_since on, or all"):
        engine.refreshed(orders, to_datetime(TRAINED + DAY), recent=True)


def test_a_refresh_at_the_training_changes_nothing(engine: pz.Engine, orders: pz.Orders) -> None:
    """At the moment of the training the refreshed demand is the one that was learned."""
    again = engine.refreshed(orders, to_datetime(TRAINED))
    learned = engine.model.demand_arrays()
    for name, array in again.model.demand_arrays().items():
        np.testing.assert_allclose(array, learned[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_saved_refresh_is_small_and_answers_alike(
    engine: pz.Engine, orders: pz.Orders, folder: pz.ModelsDirectory
) -> None:
    """Only what changed is written; laid over its version or loaded alone it is the same engine."""
    today = engine.refreshed(orders, to_datetime(TRAINED + 90 * DAY))
    path = folder.refresh_path("v1", today.model_version)
    today.save_demand(path, "v1")
    assert {file.stem for file in path.glob("*.npy")} == set(engine.model.demand_arrays())
    assert folder.versions() == ["v1"]
    assert folder.refreshes("v1") == [today.model_version]
    assert folder.path(today.model_version) == path
    expected = today.recommend(orders, ["c1", "nobody"], 5)
    for found in (engine.with_demand(path), pz.Engine.load(path)):
        assert found.model_version == today.model_version
        assert found.as_of == TRAINED + 90 * DAY
        pd.testing.assert_frame_equal(found.recommend(orders, ["c1", "nobody"], 5), expected)
    assert engine.with_demand(path).model.space is engine.model.space


def test_only_the_newest_refreshes_are_kept(
    engine: pz.Engine, orders: pz.Orders, folder: pz.ModelsDirectory
) -> None:
    """Two of a version by default; none of a version that is gone."""
    names = []
    for day in (100, 101, 102):
        today = engine.refreshed(orders, to_datetime(TRAINED + day * DAY))
        names.append(today.model_version)
        today.save_demand(folder.refresh_path("v1", names[-1]), "v1")
        today.save_demand(folder.refresh_path("gone", names[-1]), "gone")
    folder.keep_refreshes("v1")
    assert folder.refreshes("v1") == names[1:]
    assert folder.refreshes("gone") == []
    with pytest.raises(pz.ArtifactError, match=r"no version 'v1\+1999'"):
        folder.path("v1+1999")


def test_a_refresh_fits_its_own_version_only(
    engine: pz.Engine, orders: pz.Orders, folder: pz.ModelsDirectory, tmp_path: Path
) -> None:
    """Another engine, one that was not saved, and arrays that are missing are refused."""
    today = engine.refreshed(orders, to_datetime(TRAINED + 5 * DAY))
    path = tmp_path / "today"
    today.save_demand(path, "v1")
    other = pz.Engine.fit(orders, as_of=to_datetime(TRAINED))
    with pytest.raises(pz.ArtifactError, match="does not refresh model unsaved-"):
        other.with_demand(path)
    with pytest.raises(pz.ArtifactError, match="refreshed from an engine that is not saved"):
        other.refreshed(orders).save_demand(path, "v1")
    with pytest.raises(pz.ArtifactError, match="does not refresh model v1"):
        engine.with_demand(folder.path("v1"))
    change(path, lambda manifest: manifest["files"].pop("popularity.npy"))
    with pytest.raises(pz.ArtifactError, match=r"is not there \('popularity'\); train again"):
        engine.with_demand(path)


def test_a_refresh_needs_the_past(
    engine: pz.Engine, orders: pz.Orders, folder: pz.ModelsDirectory, tmp_path: Path
) -> None:
    """A moment before the training is refused, and so is an artifact that holds no past."""
    with pytest.raises(
        pz.InvalidConfigError, match="lies before 2026-02-05T00:00:00Z, up to which"
    ):
        engine.refreshed(orders, to_datetime(TRAINED - DAY), recent=True)
    engine.save(tmp_path / "old")

    def without_past(manifest: dict[str, Any]) -> None:
        for name in [name for name in manifest["files"] if name.startswith("past_")]:
            del manifest["files"][name]

    change(tmp_path / "old", without_past)
    old = pz.Engine.load(tmp_path / "old")
    assert old.demand_since is None
    with pytest.raises(pz.ArtifactError, match="by an earlier release and holds no past sales"):
        old.refreshed(orders, recent=True)
    old.save(tmp_path / "again")
    assert pz.Engine.load(tmp_path / "again").demand_since is None
    assert old.refreshed(orders).model_version.startswith("old+")


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, its checksum made right."""
    manifest = json.loads((folder / "manifest.json").read_text())
    how(manifest)
    manifest["sha256"] = manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
