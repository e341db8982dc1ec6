"""The catalogue: tables and product feeds, and what becomes of their bad cells."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalize.catalog import Catalog, Product, read_catalog
from personalize.errors import InvalidCatalogError

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>The shop</title>
<item><title>for readers</title><g:id>A1</g:id><g:title>Coat</g:title>
  <g:price>49.90 GBP</g:price><g:availability>in stock</g:availability>
  <g:item_group_id>A</g:item_group_id><g:product_type>Apparel&gt;Suits</g:product_type>
  <g:product_type>Second</g:product_type><g:link>https://shop/a1</g:link>
  <g:shipping><g:country>UK</g:country><g:price>3 GBP</g:price></g:shipping></item>
<item><g:id>A2</g:id><g:availability>out_of_stock</g:availability></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>The shop</title><entry><id>urn:uuid:1</id><g:id>A1</g:id><title>Coat</title>
<link href="https://shop/a1"/><g:image_link>https://img/a1</g:image_link></entry></feed>"""


def rules(catalog: Catalog) -> dict[str, int]:
    """Return the rules of the report, with their counts."""
    return {problem.rule: problem.n_rows for problem in catalog.problems}


def one(**cells: Any) -> tuple[Product, dict[str, int]]:
    """Return the product of a table of one row, and the report."""
    catalog = Catalog.from_frame(pd.DataFrame([{"product_id": "p"} | cells]))
    (product,) = catalog.products()
    return product, rules(catalog)


def test_products_of_a_table() -> None:
    """A catalogue holds what its table says, sorted by id, null where it says nothing."""
    df = pd.DataFrame(
        {
            "product_id": [20, 3],
            "item_group_id": [7.0, None],
            "title": [" Coat ", ""],
            "product_type": ["Apparel>Suits", " > "],
            "brand": ["Best", None],
            "price": [10, None],
            "currency": ["gbp", None],
            "availability": ["in stock", None],
            "link": ["https://shop/20", None],
            "image_link": [None, None],
            "sensitive": [None, "yes"],
            "unknown": [1, 2],
        }
    )
    catalog = Catalog.from_frame(df)
    assert list(catalog.products()) == [
        Product(
            "20", "7", "Coat", "Apparel > Suits", "Best", 10.0, "GBP", "in_stock", "https://shop/20"
        ),
        Product("3", sensitive=True),
    ]
    assert catalog.problems == ()
    assert catalog.rejected is None
    assert {str(dtype) for dtype in catalog.frame.dtypes} == {"str", "float64", "bool"}


def test_one_product() -> None:
    """A product is found by its id, and None is said of others."""
    catalog = Catalog.from_products([Product("b", title="B"), Product("a"), Product("b")])
    assert catalog.product("b") == Product("b")
    assert catalog.product("c") is None
    assert "a" in catalog
    assert "c" not in catalog
    assert len(catalog) == 2
    assert [product.product_id for product in catalog.products()] == ["a", "b"]


def test_frame_reads_back_the_same() -> None:
    """A catalogue's own table is a catalogue."""
    catalog = Catalog.from_products(
        [Product("é", "g", "t", "A > B", "b", 1.5, "EUR", "preorder", "l", "i", True), Product("z")]
    )
    again = Catalog.from_frame(catalog.frame)
    pd.testing.assert_frame_equal(again.frame, catalog.frame)
    assert list(again.products()) == list(catalog.products())


def test_overlaid_rows_replace() -> None:
    """The rows laid over a catalogue replace its own, product by product."""
    mine = Catalog.from_products([Product("a", title="old"), Product("b", title="old")])
    theirs = Catalog.from_products([Product("b", price=1.0), Product("c")])
    assert list(mine.overlaid(theirs).products()) == [
        Product("a", title="old"),
        Product("b", price=1.0),
        Product("c"),
    ]
    empty = Catalog.empty()
    assert len(empty.overlaid(empty)) == 0
    assert list(empty.overlaid(mine).products()) == list(mine.products())
    assert list(mine.overlaid(empty).products()) == list(mine.products())


@pytest.mark.parametrize(
    ("availability", "available"),
    [("out_of_stock", False), ("in_stock", True), ("backorder", True), (None, True)],
)
def test_only_what_is_out_of_stock_is_not_available(
    availability: str | None, available: bool
) -> None:
    """Unknown availability counts as available."""
    assert Product("p", availability=availability).is_available is available


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in stock", "in_stock"),
        ("In_Stock", "in_stock"),
        ("out of stock", "out_of_stock"),
        ("pre-order", "preorder"),
        ("https://schema.org/BackOrder", "backorder"),
    ],
)
def test_spellings_of_availability(text: str, expected: str) -> None:
    """The words of feeds and of schema.org are understood."""
    product, problems = one(availability=text)
    assert (product.availability, problems) == (expected, {})


@pytest.mark.parametrize(
    ("text", "price", "currency"),
    [
        ("49.90 GBP", 49.9, "GBP"),
        ("49.90", 49.9, None),
        ("eur 5", 5.0, "EUR"),
        (" 1e2USD ", 100.0, "USD"),
        (7, 7.0, None),
        (None, None, None),
    ],
)
def test_prices(text: Any, price: float | None, currency: str | None) -> None:
    """A price may bring its currency."""
    product, problems = one(price=text)
    assert (product.price, product.currency, problems) == (price, currency, {})


def test_currency_column_wins() -> None:
    """A currency of its own wins over that of the price."""
    df = pd.DataFrame(
        {"product_id": ["a", "b"], "price": ["1 EUR", "2 EUR"], "currency": ["USD", None]}
    )
    assert [p.currency for p in Catalog.from_frame(df).products()] == ["USD", "EUR"]


@pytest.mark.parametrize(
    ("column", "cell", "rule"),
    [
        ("price", "49,90 EUR", "price_not_a_number"),
        ("price", "much", "price_not_a_number"),
        ("price", -1.0, "price_below_0"),
        ("price", float("inf"), "price_not_a_number"),
        ("currency", "EURO", "currency_not_iso4217"),
        ("availability", "soon", "availability_unknown"),
        ("item_group_id", "x" * 256, "item_group_id_too_long"),
        ("item_group_id", "a\nb", "item_group_id_control_character"),
        ("item_group_id", 1.5, "item_group_id_not_whole"),
    ],
)
def test_bad_cells_count_as_unknown(column: str, cell: Any, rule: str) -> None:
    """A product with a bad cell is kept, the cell unknown and reported; strict refuses it."""
    product, problems = one(**{column: cell})
    assert getattr(product, column) is None
    assert problems == {rule: 1}
    df = pd.DataFrame([{"product_id": "p", column: cell}])
    with pytest.raises(InvalidCatalogError, match=rf"catalog\.{column}: 1 of 1 rows"):
        Catalog.from_frame(df, strict=True)


def test_what_may_be_sensitive_is() -> None:
    """A sensitive that is neither true nor false counts as true, and is reported."""
    product, problems = one(sensitive="perhaps")
    assert product.sensitive
    assert problems == {"sensitive_not_a_flag": 1}


def test_bad_ids_are_rejected() -> None:
    """Rows without a usable id are rejected, the others kept."""
    df = pd.DataFrame({"product_id": ["a", "", None, "x" * 300, "b\n"], "title": "t"})
    catalog = Catalog.from_frame(df)
    assert [product.product_id for product in catalog.products()] == ["a"]
    assert rules(catalog) == {
        "product_id_missing": 2,
        "product_id_too_long": 1,
        "product_id_control_character": 1,
    }
    assert catalog.rejected is not None
    assert catalog.rejected.rows.tolist() == [1, 2, 3, 4]


def test_first_of_two_products_is_kept() -> None:
    """Of several rows of one id the first is kept; equal ones are no fault; sensitive stays."""
    df = pd.DataFrame(
        {
            "product_id": ["a", "b", "a", "b"],
            "title": ["first", "same", "second", "same"],
            "sensitive": [False, False, True, False],
        }
    )
    catalog = Catalog.from_frame(df)
    assert list(catalog.products()) == [
        Product("a", title="first", sensitive=True),
        Product("b", title="same"),
    ]
    assert rules(catalog) == {"duplicate_product": 1, "duplicate_row": 1}
    assert catalog.problems[0].message == (
        "catalog.product_id: 1 of 4 rows are a product that an earlier row has with other content "
        "(first: row 2, a); the first is kept; give every product one row"
    )
    with pytest.raises(InvalidCatalogError, match="the first is kept"):
        Catalog.from_frame(df, strict=True)
    assert len(Catalog.from_frame(df.iloc[[1, 3]], strict=True)) == 1


@pytest.mark.parametrize("name", ["feed.xml", "feed.xml.gz"])
def test_rss_feed(tmp_path: Path, name: str) -> None:
    """An RSS product feed is a catalogue; Google's fields win, and the first of each counts."""
    content = RSS.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    catalog = read_catalog(tmp_path / name)
    assert list(catalog.products()) == [
        Product(
            "A1",
            item_group_id="A",
            title="Coat",
            product_type="Apparel > Suits",
            price=49.9,
            currency="GBP",
            availability="in_stock",
            link="https://shop/a1",
        ),
        Product("A2", availability="out_of_stock"),
    ]
    assert catalog.problems == ()


def test_atom_feed(tmp_path: Path) -> None:
    """An Atom product feed is a catalogue too; its own id is not the product's."""
    (tmp_path / "feed.xml").write_text(ATOM)
    (product,) = read_catalog(tmp_path / "feed.xml").products()
    assert product == Product(
        "A1", title="Coat", link="https://shop/a1", image_link="https://img/a1"
    )


@pytest.mark.parametrize(
    ("name", "delimiter"), [("feed.tsv", "\t"), ("feed.txt", "\t"), ("feed.csv", ",")]
)
def test_text_feeds(tmp_path: Path, name: str, delimiter: str) -> None:
    """A feed of text is found by its id column, whatever the spelling of the others."""
    rows = [
        ["id", "Title", "g:price", "image link", "availability", "sensitive"],
        ["A1", "Coat", "5.00 USD", "https://img", "preorder", "no"],
    ]
    (tmp_path / name).write_text("\n".join(delimiter.join(row) for row in rows))
    (product,) = read_catalog(tmp_path / name).products()
    assert product == Product(
        "A1",
        title="Coat",
        price=5.0,
        currency="USD",
        availability="preorder",
        image_link="https://img",
    )


def test_feed_with_a_mapping(tmp_path: Path) -> None:
    """A mapping wins over what a feed's names mean."""
    (tmp_path / "feed.csv").write_text("id,title,sku\n1,Coat,A1\n")
    (product,) = read_catalog(tmp_path / "feed.csv", {"sku": "product_id"}).products()
    assert product == Product("A1", title="Coat")


def test_files_are_one_catalogue(tmp_path: Path) -> None:
    """Several files, feeds among them, are one catalogue."""
    (tmp_path / "feed.xml").write_text(RSS)
    (tmp_path / "more.jsonl").write_text('{"product_id": 5}\n{"product_id": 6, "price": 1}\n')
    (tmp_path / "feed.jsonl").write_text('{"id": "f", "title": "F"}\n')
    files = [tmp_path / name for name in ("feed.xml", "more.jsonl", "feed.jsonl")]
    catalog = read_catalog(files)
    assert [p.product_id for p in catalog.products()] == ["5", "6", "A1", "A2", "f"]
    assert catalog.product("6") == Product("6", price=1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RSS[:300], "is not well-formed XML .* it may be cut short"),
        ("", "is not well-formed XML"),
        ("<html><p>Not found</p></html>", r"has no <item> \(RSS\) or <entry> \(Atom\)"),
        (
            '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><rss><item>&b;</item></rss>',
            "declares entities or a document type, .* it was not expanded",
        ),
        (
            '<!DOCTYPE r SYSTEM "file:///etc/passwd"><rss><item/></rss>',
            "declares entities or a document type",
        ),
    ],
)
def test_feeds_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    """XML that is broken, hostile, or no feed is refused with what to do."""
    (tmp_path / "feed.xml").write_text(content)
    with pytest.raises(InvalidCatalogError, match=message) as caught:
        read_catalog(tmp_path / "feed.xml")
    assert caught.value.problems[0].rule == "unreadable"
    assert "aaaa" not in str(caught.value)


def test_catalogues_that_are_none(tmp_path: Path) -> None:
    """A table without product ids, no table, and a column of lists are refused."""
    with pytest.raises(InvalidCatalogError, match="has no column product_id"):
        Catalog.from_frame(pd.DataFrame({"title": ["x"]}))
    with pytest.raises(InvalidCatalogError, match="does not exist"):
        read_catalog(tmp_path / "none.csv")
    df = pd.DataFrame({"product_id": ["a"], "title": pd.array([["x"]], "object")})
    assert Catalog.from_frame(df).product("a") == Product("a", title='["x"]')
    path = tmp_path / "t.parquet"
    df.to_parquet(path)
    with pytest.raises(InvalidCatalogError, match=r"column title is of type .*list.* convert it"):
        read_catalog(path)
    (tmp_path / "latin.csv").write_bytes("product_id,title\na,caf\xe9\n".encode("latin-1"))
    with pytest.raises(InvalidCatalogError, match="is not utf-8"):
        read_catalog(tmp_path / "latin.csv")
    (product,) = read_catalog(tmp_path / "latin.csv", encoding="latin-1").products()
    assert product.title == "café"


def test_catalogue_without_rows() -> None:
    """A table of columns alone is an empty catalogue, which is reported."""
    catalog = Catalog.from_frame(pd.DataFrame({"product_id": []}))
    assert len(catalog) == 0
    assert [problem.message for problem in catalog.problems] == [
        "catalog: the DataFrame has columns but no rows; check the export"
    ]


def test_input_is_not_changed() -> None:
    """The caller's table stays as it was."""
    df = pd.DataFrame({"product_id": [1, 1], "title": [" a ", "b"]})
    before = df.copy(deep=True)
    catalog = Catalog.from_frame(df, columns={"title": "brand"})
    pd.testing.assert_frame_equal(df, before)
    assert catalog.product("1") == Product("1", brand="a")


texts = st.none() | st.text("ab é,\"'😀", min_size=1, max_size=3).map(str.strip).map(
    lambda text: text or None
)
products = st.builds(
    Product,
    product_id=st.text("ab é😀", min_size=1, max_size=2).filter(lambda t: bool(t.strip())),
    item_group_id=texts,
    title=texts,
    brand=texts,
    product_type=st.sampled_from([None, "A", "A > B"]),
    link=texts,
    image_link=texts,
    price=st.none() | st.floats(0, 1e6),
    currency=st.sampled_from([None, "EUR"]),
    availability=st.sampled_from([None, "in_stock", "out_of_stock"]),
    sensitive=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(products, unique_by=lambda product: product.product_id, max_size=5))
def test_products_survive_their_table(some: list[Product]) -> None:
    """Products become a table and products again, sorted by the bytes of their ids."""
    catalog = Catalog.from_products(some)
    again = Catalog.from_frame(catalog.frame)
    expected = sorted(some, key=lambda product: product.product_id.encode())
    assert list(again.products()) == list(catalog.products()) == expected


def test_catalog_does_not_change() -> None:
    """A catalogue cannot be set anew; rows and frame say the same, whichever came first."""
    rows = [
        Product("b", price=2, sensitive=True),
        Product("a", price=float("nan"), title="A"),
    ]
    by_rows = Catalog.from_products(rows)
    with pytest.raises(AttributeError, match="frame: a catalogue does not change"):
        by_rows.frame = by_rows.frame  # type: ignore[misc]
    by_frame = Catalog(by_rows.frame)
    assert len(by_frame) == len(by_rows) == 2
    assert list(by_frame.products()) == list(by_rows.products())
    assert by_rows.product("a") == Product("a", title="A")
    assert by_frame.product("b") == Product("b", price=2.0, sensitive=True)
