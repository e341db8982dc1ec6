"""Google product feeds: XML made a table, and the names that feeds give our columns.

XML is parsed without entities and document types, so a hostile file cannot grow.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

import pandas as pd
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from personalize.tables import FramePart, Part, TableError, readable

_GOOGLE: Final = "{http://base.google.com/ns/1.0}"
_ITEMS: Final = frozenset({"item", "entry"})
_FEED_NAMES: Final = frozenset(
    {"item_group_id", "title", "product_type", "brand", "price", "availability", "link"}
    | {"image_link"}
)


def is_xml(path: Path) -> bool:
    """Return whether a file is XML, by its ending.

    Examples
    --------
    >>> is_xml(Path("feed.xml.gz"))
    True
    """
    return path.name.lower().endswith((".xml", ".xml.gz"))


def aliases(part: Part) -> Mapping[str, str]:
    """Return which of our columns the columns of a product feed are; none if it is no feed.

    A feed has an ``id`` and no ``product_id``; its names may be spelled ``g:image_link`` or
    ``image link``.
    """
    names = {
        name.lower().strip().removeprefix("g:").replace(" ", "_"): name for name in part.columns
    }
    if "id" not in names or "product_id" in names:
        return {}
    found = {names["id"]: "product_id"}
    return found | {names[ours]: ours for ours in sorted(_FEED_NAMES) if ours in names}


def open_feed(path: Path) -> Part:
    """Return the items of an RSS or Atom product feed as a table of text.

    Raises
    ------
    TableError
        If it is no XML, has no items, or declares entities or a document type.
    """
    rows: list[dict[str, str | None]] = []
    name = str(path)
    try:
        with readable(name), _open(path) as stream:
            for _, element in iterparse(stream, events=("end",), forbid_dtd=True):
                if _local(element.tag) in _ITEMS:
                    rows.append(_item(element))
                    element.clear()
    except DefusedXmlException as error:
        raise TableError(
            f"{name} declares entities or a document type, which a product feed does not need "
            "and an attack does; it was not expanded: take them out"
        ) from error
    except ParseError as error:
        raise TableError(
            f"{name} is not well-formed XML ({error}); it may be cut short: fetch it anew"
        ) from error
    if not rows:
        raise TableError(f"{name} has no <item> (RSS) or <entry> (Atom); is it a product feed?")
    return FramePart(pd.DataFrame(rows, dtype=object), name=name)


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _item(element: Any) -> dict[str, str | None]:
    """Return the fields of an item: Google's own before those of RSS or Atom, the first of each."""
    children: Sequence[Any] = sorted(element, key=lambda child: not child.tag.startswith(_GOOGLE))
    fields: dict[str, str | None] = {}
    for child in children:
        # Atom writes a link as an attribute.
        fields.setdefault(_local(child.tag), child.text or child.get("href"))
    return fields
