"""The tables and their history."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from personalize.catalog import Catalog, Product
from personalize.errors import StoreError
from personalize.store import OrderSnapshot, SnapshotLine, Store, database, layout, upgrade
from personalize.store.driver import Access


def test_migrations_make_the_tables(store: Store) -> None:
    """The migrations, run on an empty database, make exactly the tables that the code uses."""
    with store._database.transaction(Access.READ) as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, layout.metadata) == []
        assert upgrade.revision(connection) == layout.HEAD


def test_tables_are_clustered(file_store: Store) -> None:
    """The big tables are stored by their primary key: a customer's lines lie side by side."""
    with file_store._database.transaction(Access.READ) as connection:
        sql = connection.scalars(
            sa.text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'")
        )
        assert set(sql) == {"orders", "order_lines", "adjustments"}


HOT_READS = [
    "SELECT products, numbers FROM purchase_states WHERE customer_id = 'c'",
    (
        "SELECT * FROM order_lines WHERE customer_id = 'c' "
        "ORDER BY customer_id, ordered_at, order_id, product_id"
    ),
    "SELECT scopes FROM api_keys WHERE secret_hash = '0'",
    "SELECT max(revision) FROM products",
]


@pytest.mark.parametrize("query", HOT_READS)
def test_hot_reads_use_an_index(file_store: Store, query: str) -> None:
    """What every request asks is answered by one search, without sorting."""
    with file_store._database.transaction(Access.READ) as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    assert len(plan) == 1
    assert plan[0][-1].startswith("SEARCH")


@pytest.mark.parametrize("query", HOT_READS)
def test_hot_reads_use_an_index_of_a_server(schema_store: Store, query: str) -> None:
    """The same in PostgreSQL, where small tables are read whole unless that is switched off."""
    with schema_store._database.transaction(Access.READ) as connection:
        for other_way in ("seqscan", "bitmapscan"):
            connection.exec_driver_sql(f"SET LOCAL enable_{other_way} = off")
        plan = "\n".join(connection.scalars(sa.text(f"EXPLAIN {query}")))
    assert "Index" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


def test_history_ends_at_the_head() -> None:
    """The code's idea of the newest revision is that of the migrations, and there is one."""
    assert upgrade.scripts_of_store().get_heads() == [layout.HEAD]


def test_history_is_in_files_of_its_own() -> None:
    """Every revision is a file named after it, so that the wheel carries it and it sorts."""
    files = {path.name[1:5] for path in (upgrade.MIGRATIONS / "versions").glob("r*.py")}
    known = {script.revision for script in upgrade.scripts_of_store().walk_revisions()}
    assert files == known


SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("note", sa.Text))
"""


def test_older_store_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of an older revision is brought to the newest when it is opened, facts and all."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    with Store.open(url) as store:
        secret = store.create_key("shop", ["decide"], created_at=1)
    newer = Path(shutil.copytree(upgrade.MIGRATIONS, tmp_path / "migrations"))
    (newer / "versions" / "r0003_note.py").write_text(SECOND)
    monkeypatch.setattr(upgrade, "MIGRATIONS", newer)
    for module in (upgrade, database):
        monkeypatch.setattr(module, "HEAD", "0003")
    with Store.open(url, create=False) as store:
        assert store.scopes_of(secret) == {"decide"}
        with store._database.transaction(Access.READ) as connection:
            assert upgrade.revision(connection) == "0003"
            assert connection.scalars(sa.text("SELECT note FROM api_keys")).all() == [None]


def test_what_is_owned_is_packed_by_the_upgrade(new_store: Callable[[], Store]) -> None:
    """A store from before there were such rows has all of them when it is opened."""
    with new_store() as store:
        for name in ("b", "a"):
            for at in (2, 1):
                lines = (SnapshotLine("coat", 2, at % 2), SnapshotLine("tie", 1, gift=True))
                store.put_order(OrderSnapshot(f"{name}{at}", name, at, 9, lines=lines))
        store.put_order(OrderSnapshot("guest", None, 1, 9, lines=(SnapshotLine("coat", 1),)))
        with store._database.transaction(Access.IMPORT) as connection:
            before = connection.execute(sa.select(layout.purchase_states)).all()
            layout.purchase_states.drop(connection)
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
            upgrade.upgrade(connection)
            assert upgrade.revision(connection) == layout.HEAD
            after = connection.execute(sa.select(layout.purchase_states)).all()
        assert sorted(after) == sorted(before)
        assert store.check() == []


def test_a_store_that_was_upgraded_meanwhile_is_not_written(new_store: Callable[[], Store]) -> None:
    """A process that still runs the version before writes nothing that the newer one misreads."""
    coat = OrderSnapshot("o", "c", 1, 9, lines=(SnapshotLine("coat", 1),))
    with new_store() as store:
        store.put_order(coat)
        with store._database.transaction(Access.WRITE) as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        for write in (
            lambda: store.put_order(coat._replace(order_id="o2")),
            lambda: store.import_catalog(Catalog.from_products([Product("coat")])),
        ):
            with pytest.raises(StoreError, match=r"has brought its tables to revision '9999'"):
                write()
        assert store.purchase_state("c").products == ["coat"]
        assert store.order("o2") is None
        store._database._is_prepared = False  # the store is used again by other tests
        with store._database.transaction(Access.WRITE) as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{layout.HEAD}'")
        store._database._is_prepared = True


def test_what_another_version_wrote_is_repaired(store: Store) -> None:
    """Lines that were written without what is packed of them are packed; all else stays."""
    for name in ("a", "b"):
        lines = (SnapshotLine("coat", 1), SnapshotLine("tie", 1))
        store.put_order(OrderSnapshot(name, name, 1, 9, lines=lines))
    with store._database.transaction(Access.WRITE) as connection:
        connection.exec_driver_sql("DELETE FROM order_lines WHERE product_id = 'tie'")
        connection.exec_driver_sql("DELETE FROM purchase_states WHERE customer_id = 'b'")
    assert store.check() == ["a", "b"]
    store.repair()
    assert store.check() == []
    assert store.purchase_state("a").products == store.purchase_state("b").products == ["coat"]


def test_newer_store_is_refused(tmp_path: Path) -> None:
    """A store of a revision that this version does not know is left as it is."""
    path = tmp_path / "shop.db"
    Store.open(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(
        StoreError,
        match=r"its tables are of revision '9999', which this version does not know \(the newest "
        r"known is '0002'\); install the version of personalize that wrote it, or a newer one",
    ):
        Store.open(f"sqlite:///{path}")


def test_upgrade_is_all_or_nothing(tmp_path: Path) -> None:
    """A migration that fails leaves the database as it was: no table is half made."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("CREATE TABLE api_keys (in_the_way)")
    with pytest.raises(StoreError, match="table api_keys already exists"):
        Store.open(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert names == {"alembic_version", "api_keys"}


def test_upgrade_twice_is_once(store: Store) -> None:
    """A process that comes second finds the work done."""
    with store._database.transaction(Access.WRITE) as connection:
        upgrade.upgrade(connection)
        assert upgrade.revision(connection) == layout.HEAD


def test_tables_are_meant_for_postgresql_too() -> None:
    """Every table can be made there, and ids sort by their bytes."""
    for table in layout.metadata.sorted_tables:
        sql = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert ('COLLATE "C"' in sql) == (
            table is not layout.api_keys and table is not layout.policies
        )
        assert "ROWID" not in sql
