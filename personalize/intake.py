"""From the rows of an orders table to orders: which single rows are good, and what they say.

This file decides about rows one by one, a batch at a time; what they mean together is decided in
`personalize.assembly`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from personalize.assembly import OrderRows, Vocabularies, assemble
from personalize.blocks import at_once
from personalize.cells import (
    Cells,
    Coded,
    Mask,
    read_flags,
    read_ids,
    read_numbers,
    read_times,
    read_words,
    zone,
)
from personalize.errors import InvalidConfigError, InvalidOrdersError
from personalize.reading import Reader, ReadOptions
from personalize.schema import CHANNELS, MAX_QUANTITY, ORDERS
from personalize.tables import Source
from personalize.times import MISSING

Numbers = npt.NDArray[Any]
ReturnsMode = Literal["columns", "negative_rows"]

_IDS: Final = ("order_id", "customer_id", "product_id")
_CODED: Final = (*_IDS, "currency", "channel")
# Measured on 5 million rows: the peak of a read is 215 bytes a row with 8 columns.
_BYTES_PER_ROW: Final = 120
_BYTES_PER_CELL: Final = 12


def gather_orders(
    source: Source,
    options: ReadOptions,
    *,
    timezone: str = "UTC",
    returns: ReturnsMode = "columns",
    not_products: str | None = None,
) -> dict[str, Any]:
    """Return the fields of `personalize.orders.Orders` that a table holds.

    Raises
    ------
    InvalidOrdersError
        If the table as a whole cannot be accepted; when strict, for any faulty row.
    InvalidConfigError
        If an option is none.
    """
    if returns not in ("columns", "negative_rows"):
        raise InvalidConfigError(
            f"returns: {returns!r} is neither 'columns' nor 'negative_rows'",
            field="returns",
            value=returns,
        )
    readers = _readers(partial(read_times, timezone=zone(timezone)))
    reader = Reader.opened(source, ORDERS, InvalidOrdersError, options)
    per_row = _BYTES_PER_ROW + _BYTES_PER_CELL * len(reader.names)
    reader.check_memory(sum(part.expected_rows for part, _ in reader.parts), per_row)
    gathered = _Gathered(reader, returns == "negative_rows", _expression(not_products))
    for rows, columns in reader.batches():
        gathered.add(rows, columns, reader.cells_read(columns, readers))
        reader.check_memory(reader.report.n_rows, per_row, gathered.n_word_bytes)
    fields = assemble(gathered.rows_and_words, reader.report, reader.other_cells)
    problems, rejected = reader.finished()
    carries = returns == "negative_rows" or "returned_quantity" in reader.names
    return fields | {"problems": problems, "rejected": rejected, "carries_returns": carries}


def _expression(not_products: str | None) -> re.Pattern[str] | None:
    try:
        return None if not_products is None else re.compile(not_products)
    except (re.error, TypeError) as error:
        raise InvalidConfigError(
            f"not_products: {not_products!r} is no regular expression ({error}); "
            "it is matched against whole product ids",
            field="not_products",
            value=not_products,
        ) from error


def _currency(text: str) -> str | None:
    code = text.upper()
    return code if re.fullmatch("[A-Z]{3}", code) else None


def _channel(text: str) -> str | None:
    word = text.lower()
    return word if word in CHANNELS else None


def _readers(times: Callable[..., Cells]) -> Mapping[str, Callable[..., object]]:
    return {
        "order_id": read_ids,
        "customer_id": partial(read_ids, placeholders=True),
        "product_id": read_ids,
        "ordered_at": times,
        "quantity": read_numbers,
        "returned_quantity": read_numbers,
        "returned_at": times,
        "unit_price": read_numbers,
        "currency": partial(read_words, normalise=_currency, fault="not_iso4217"),
        "channel": partial(read_words, normalise=_channel, fault="unknown"),
        "gift": read_flags,
        "updated_at": times,
    }


@dataclass(slots=True)
class _Judged:
    """A batch of rows under judgement.

    Parameters
    ----------
    reader : Reader
        Told of what is wrong.
    rows : int64, shape (n,)
        Data row numbers.
    columns : mapping of str to column
        The cells as they stand, for messages.
    is_judged : bool, shape (n,)
        Rows that are no products are left out, not judged.
    is_good : bool, shape (n,)
        The verdict so far.
    """

    reader: Reader
    rows: Numbers
    columns: Mapping[str, pa.ChunkedArray]
    is_judged: Mask
    is_good: Mask

    def note(self, slug: str, mask: Mask) -> None:
        """Say that rows broke a rule; rows that are not judged are passed."""
        rule = self.reader.schema.rules[slug]
        mask = mask & (self.is_judged if rule.effect == "rejects" else self.is_good)
        if mask.any():
            self.reader.note(slug, self.rows, mask, self.columns.get(rule.column))
            if rule.effect == "rejects":
                self.is_good = self.is_good & ~mask

    def cells(self, cells: Mapping[str, Any]) -> None:
        """Judge every cell for itself: first what rejects its row, then what is only odd."""
        for is_serious in (True, False):
            for name, found in cells.items():
                for fault, mask in _faults(name, found).items():
                    rule = self.reader.schema.rules.get(f"{name}_{fault}")
                    # Without a rule, the cell of an optional column may be missing.
                    if rule is not None and (rule.effect == "rejects") == is_serious:
                        self.note(rule.slug, mask)


def _faults(name: str, cells: Cells | Coded) -> dict[str, Mask]:
    """Return the faults of a column; an id without one that is not there is missing."""
    if not isinstance(cells, Coded) or name not in _IDS:
        return cells.faults
    is_missing = cells.codes < 0
    for mask in cells.faults.values():
        is_missing = is_missing & ~mask
    return cells.faults | {"missing": is_missing}


def _products(
    reader: Reader, rows: Numbers, ids: Coded, expression: re.Pattern[str] | None
) -> Mask:
    """Return which rows are of products, noting the others."""
    if expression is None:
        return np.ones(len(rows), bool)
    matches = [expression.fullmatch(word) is not None for word in ids.words.to_pylist()]
    is_other = np.append(np.array(matches, bool), False)[ids.codes]
    places = np.flatnonzero(is_other)
    reader.report.add(
        "not_a_product", rows[places], lambda n: ids.words[int(ids.codes[places[n]])].as_py()
    )
    return ~is_other


def _amounts(judged: _Judged, cells: Mapping[str, Any], are_negatives_returns: bool) -> Numbers:
    """Judge quantities and prices, and return the quantities, negative on returns."""
    quantity = cells["quantity"].values
    is_whole = quantity == np.floor(quantity)
    is_back = are_negatives_returns & (quantity < 0)
    judged.note("quantity_not_whole", np.isfinite(quantity) & ~is_whole)
    judged.note("quantity_below_1", is_whole & (quantity < 1) & ~is_back)
    judged.note("quantity_above_limit", is_whole & (np.abs(quantity) > MAX_QUANTITY))
    if "returned_quantity" in cells:
        returned = cells["returned_quantity"].values
        is_whole = returned == np.floor(returned)
        judged.note("returned_quantity_not_whole", np.isfinite(returned) & ~is_whole)
        judged.note("returned_quantity_below_0", is_whole & (returned < 0))
        is_above = is_whole & (returned > quantity) & (quantity >= 1)
        judged.note("returned_quantity_above_quantity", is_above)
    if "unit_price" in cells:
        # The sign of a return's price means nothing: some systems negate it too.
        judged.note("unit_price_below_0", (cells["unit_price"].values < 0) & ~is_back)
    return cast("Numbers", quantity)


def _returned(
    judged: _Judged, cells: Mapping[str, Any], quantity: Numbers
) -> tuple[Numbers, Numbers]:
    """Return units sent back and when, noting where the two do not fit together."""
    n = len(quantity)
    units, at = np.zeros(n), np.full(n, MISSING)
    if "returned_quantity" in cells:
        units = np.nan_to_num(cells["returned_quantity"].values)
        units = np.where(quantity < 0, 0, units)
    if "returned_at" in cells:
        at = cells["returned_at"].values
    ordered = cells["ordered_at"].values
    is_back = units > 0
    has_time = at != MISSING
    judged.note("returned_without_time", is_back & ~has_time)
    judged.note("returned_at_without_return", ~is_back & has_time & (quantity > 0))
    judged.note("returned_at_early", is_back & has_time & (at < ordered))
    # MISSING is before every time, so it gives way to ordered_at here too.
    return units, np.where(is_back, np.maximum(at, ordered), MISSING)


_FILL: Final[Mapping[str, Any]] = {
    "returned_quantity": 0,
    "returned_at": MISSING,
    "updated": MISSING,
    "price": np.nan,
    "gift": False,
    "currency": -1,
    "channel": -1,
}
_NAMES: Final = {
    "order_id": "order",
    "customer_id": "customer",
    "product_id": "product",
    "ordered_at": "time",
    "updated_at": "updated",
    "unit_price": "price",
}


@dataclass(slots=True)
class _Gathered:
    """The good rows so far.

    Parameters
    ----------
    reader : Reader
    are_negatives_returns : bool
        Whether a row of negative quantity is a return.
    not_products : compiled expression or None
    n_word_bytes : int
        The memory that ids take.
    """

    reader: Reader
    are_negatives_returns: bool
    not_products: re.Pattern[str] | None
    n_word_bytes: int = 0
    _arrays: dict[str, dict[int, Numbers]] = field(default_factory=dict)
    _words: dict[str, list[pa.Array]] = field(default_factory=dict)
    _sizes: list[int] = field(default_factory=list)

    def add(
        self, rows: Numbers, columns: Mapping[str, pa.ChunkedArray], cells: Mapping[str, Any]
    ) -> None:
        """Take the good rows of a batch, noting the others."""
        is_product = _products(self.reader, rows, cells["product_id"], self.not_products)
        judged = _Judged(self.reader, rows, columns, is_product, is_product)
        judged.cells(cells)
        quantity = _amounts(judged, cells, self.are_negatives_returns)
        returned, returned_at = _returned(judged, cells, quantity)
        values = {"row": rows, "quantity": quantity}
        if "returned_quantity" in cells:
            values |= {"returned_quantity": returned, "returned_at": returned_at}
        for name in ("ordered_at", "updated_at", "unit_price", "gift"):
            if name in cells:
                values[_NAMES.get(name, name)] = cells[name].values
        for name in _CODED:
            if name in cells:
                values[_NAMES.get(name, name)] = self._shifted(name, cells[name])
        self._keep(values, judged.is_good)

    def _shifted(self, name: str, coded: Coded) -> Numbers:
        """Return the codes of a batch as positions in the words of all batches so far."""
        words = self._words.setdefault(name, [])
        shift = sum(len(some) for some in words)
        words.append(coded.words)
        self.n_word_bytes += coded.words.nbytes
        return np.where(coded.codes < 0, np.int32(-1), coded.codes + np.int32(shift))

    def _keep(self, values: Mapping[str, Numbers], is_good: Mask) -> None:
        batch = len(self._sizes)
        self._sizes.append(int(is_good.sum()))
        for name, array in values.items():
            kept = array[is_good]
            if name in ("quantity", "returned_quantity"):
                kept = kept.astype(np.int32)
            self._arrays.setdefault(name, {})[batch] = kept

    def rows_and_words(self) -> tuple[OrderRows, Vocabularies]:
        """Return all good rows, their codes sorted like the ids they stand for."""
        arrays: dict[str, Numbers] = {}
        for name in list(self._arrays):
            by_batch = self._arrays.pop(name)
            pieces = [
                by_batch[n] if n in by_batch else np.full(size, _FILL[name])
                for n, size in enumerate(self._sizes)
            ]
            arrays[name] = np.concatenate(pieces)
        ours = [_NAMES.get(name, name) for name in _CODED]
        united = at_once(
            *(
                partial(_united, self._words.pop(name, []), arrays.get(mine))
                for name, mine in zip(_CODED, ours, strict=True)
            )
        )
        vocabularies: dict[str, pa.Array] = {}
        for mine, (words, codes) in zip(ours, united, strict=True):
            vocabularies[mine], arrays[mine] = words, codes
        whole = {n: a for n, a in arrays.items() if a is not None}
        return OrderRows(**{**_NO_ROWS, **whole}), Vocabularies(**vocabularies)


_NO_ROWS: Final[Mapping[str, Numbers]] = {
    "row": np.empty(0, np.int64),
    "time": np.empty(0, np.int64),
    "quantity": np.empty(0, np.int32),
    "order": np.empty(0, np.int32),
    "customer": np.empty(0, np.int32),
    "product": np.empty(0, np.int32),
}


def _united(batches: list[pa.Array], codes: Numbers | None) -> tuple[pa.Array, Any]:
    """Return the distinct words that `codes` use, sorted by their bytes, and codes into them."""
    if not batches or codes is None:
        return pa.array([], pa.large_string()), codes
    # Only words in use: those of rejected rows may be of any length.
    is_used = np.zeros(sum(len(words) for words in batches) + 1, bool)
    is_used[codes] = True
    is_used[-1] = False  # where -1 went
    used = pa.concat_arrays(batches).filter(pa.array(is_used[:-1]))
    encoded = used.dictionary_encode()
    by_bytes = pc.array_sort_indices(encoded.dictionary)
    rank = np.empty(len(by_bytes), np.int32)
    rank[by_bytes.to_numpy()] = np.arange(len(by_bytes), dtype=np.int32)
    new = np.full(len(is_used), -1, np.int32)
    new[is_used] = rank[encoded.indices.to_numpy()]
    return encoded.dictionary.take(by_bytes), new[codes]
