"""`personalize store`: what is in order, what is not, and putting it right."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import personalize as pz
from personalize.cli import main


def test_a_store_is_checked_and_repaired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What does not fit is one line with a few names and what to do, and then it fits."""
    file = tmp_path / "shop.db"
    url = f"sqlite:///{file}"
    with pz.Store.open(url) as store:
        for n in range(12):
            lines = (pz.SnapshotLine("coat", 1),)
            store.put_order(pz.OrderSnapshot(f"o{n:02}", f"c{n:02}", 1, 1, lines=lines))
    assert main(["store", "check", "--store", url]) == 0
    assert capsys.readouterr().out == "in order\n"
    with closing(sqlite3.connect(file)) as bare:
        bare.execute("DELETE FROM purchase_states")
        bare.commit()
    assert main(["store", "check", "--store", url]) == 1
    told = capsys.readouterr().err
    assert "what is packed of 12 customers is not what their orders say (c00, c01, " in told
    assert "c09, ...); personalize store repair packs it anew" in told
    assert main(["store", "repair", "--store", url]) == 0
    assert capsys.readouterr().out == "repaired\n"
    assert main(["store", "check", "--store", url]) == 0
