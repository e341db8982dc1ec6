"""What one cell of a column may say: ids, times, numbers and flags out of Arrow columns.

This file decides how cells of every type are read, and which are bad; every reader returns the
values and, per fault, which rows have it. What becomes of such rows is for its callers. Text is
read once per distinct value, so a column of millions of rows costs what its values cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from personalize.errors import InvalidConfigError
from personalize.schema import MAX_ID_LENGTH
from personalize.times import MISSING, to_micros

Mask = npt.NDArray[np.bool_]

EARLIEST: Final = to_micros("1900-01-01")
LATEST: Final = to_micros("2200-01-01")
_EXACT: Final = 2.0**53
_PLACEHOLDERS: Final = frozenset({"nan", "null", "none", "<na>", "n/a", "\\n"})
_ISO: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.IGNORECASE,
)
_TRUE: Final = frozenset({"true", "1", "1.0", "yes", "y", "t"})
_FALSE: Final = frozenset({"false", "0", "0.0", "no", "n", "f"})
_MONEY: Final = re.compile(r"([+-]?[\d.,eE+-]*\d\.?)\s*([A-Za-z]{3})|([A-Za-z]{3})\s*([+-]?\d.*)")


class ColumnTypeError(Exception):
    """A column is of a type that cannot hold what it should; the message says which."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What a column says.

    Parameters
    ----------
    values : array, shape (n,)
        One per row; where a row is missing or faulty, a stand-in.
    faults : dict of str to bool array, shape (n,)
        Per fault that was seen, the rows that have it.
    """

    values: npt.NDArray[Any]
    faults: dict[str, Mask] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coded:
    """What a column of ids or words says, each distinct one once.

    Parameters
    ----------
    words : pyarrow large_string array
        The distinct values.
    codes : int32, shape (n,)
        Position in `words`; -1 where missing.
    faults : dict of str to bool array, shape (n,)
        Per fault that was seen, the rows that have it.
    """

    words: pa.Array
    codes: npt.NDArray[np.int32]
    faults: dict[str, Mask] = field(default_factory=dict)


def plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array of a plain type: no dictionary, no view, no bytes.

    Raises
    ------
    ColumnTypeError
        If it holds bytes that are no UTF-8 text.
    """
    if isinstance(column, pa.ChunkedArray):
        # Large first: cells of many kilobytes would not fit into one array of plain strings.
        column = column.cast(pa.large_string()) if pa.types.is_string(column.type) else column
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            # Through bytes, since Arrow checks the text of a file no sooner.
            return column.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid as error:
            raise ColumnTypeError("holds bytes that are not UTF-8; write it as text") from error
    return column


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is one of those for text."""
    return any(
        check(kind)
        for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def _encoded(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """Return the distinct values of an array, and per row the position of its own (-1: null)."""
    encoded = array.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return encoded.dictionary, codes.astype(np.int32, copy=False)


def _spread(of_word: Mask, codes: npt.NDArray[np.int32]) -> Mask:
    """Return per row what holds of its word; missing rows have nothing of it."""
    return np.append(of_word, False)[codes]


def _of_words(codes: npt.NDArray[np.int32], **faults: Mask) -> dict[str, Mask]:
    """Return the faults of words as faults of rows; most columns have none, and cost nothing."""
    return {name: _spread(mask, codes) for name, mask in faults.items() if mask.any()}


def _seen(**faults: Mask) -> dict[str, Mask]:
    return {name: mask for name, mask in faults.items() if mask.any()}


def read_ids(column: pa.ChunkedArray | pa.Array, *, placeholders: bool = False) -> Coded:
    """Return a column of ids: text as it stands, whole numbers as their digits.

    Faults: ``too_long``, ``control_character``, ``not_whole`` (fractions, and floats too large to
    be exact); with `placeholders`, ``placeholder`` for words such as ``nan``, then missing.

    Raises
    ------
    ColumnTypeError
        If the column is neither text nor numbers.
    """
    array = plain(column)
    kind = array.type
    if pa.types.is_null(kind):
        return Coded(pa.array([], pa.large_string()), np.full(len(array), -1, np.int32))
    words, codes = _encoded(array)
    not_whole = np.zeros(len(words), bool)
    if pa.types.is_floating(kind):
        numbers = words.cast(pa.float64()).to_numpy(zero_copy_only=False)
        is_missing = np.isnan(numbers)
        with np.errstate(invalid="ignore"):
            not_whole = ~is_missing & ~((numbers == np.floor(numbers)) & (abs(numbers) < _EXACT))
        words = pa.array(np.where(is_missing | not_whole, 0, numbers).astype(np.int64))
        codes = np.where(_spread(is_missing, codes), np.int32(-1), codes)
    elif pa.types.is_decimal(kind):
        not_whole = ~pc.equal(words, pc.floor(words)).to_numpy(zero_copy_only=False)
        words = pa.array([f"{value:f}".partition(".")[0] for value in words.to_pylist()])
    elif not (pa.types.is_integer(kind) or is_text(kind)):
        raise ColumnTypeError(f"is of type {kind}; ids are text or whole numbers: convert it")
    words = words.cast(pa.large_string())
    return _checked_ids(words, codes, not_whole, placeholders)


def _checked_ids(
    words: pa.Array, codes: npt.NDArray[np.int32], not_whole: Mask, placeholders: bool
) -> Coded:
    def of(found: pa.Array) -> Mask:
        mask: Mask = found.to_numpy(zero_copy_only=False).astype(bool)
        return mask

    stripped = pc.utf8_trim_whitespace(words)
    is_blank = of(pc.equal(stripped, ""))
    # A line break alone is no blank: it is a broken id.
    has_control = of(pc.match_substring_regex(words, r"\p{Cc}"))
    faults = _of_words(
        codes,
        too_long=of(pc.greater(pc.utf8_length(words), MAX_ID_LENGTH)),
        control_character=has_control,
        not_whole=not_whole,
    )
    if placeholders:
        known = pa.array(sorted(_PLACEHOLDERS), pa.large_string())
        is_placeholder = of(pc.is_in(pc.utf8_lower(stripped), value_set=known))
        faults |= _of_words(codes, placeholder=is_placeholder)
        is_blank |= is_placeholder
    is_missing = is_blank & ~has_control
    if is_missing.any():
        codes = np.where(_spread(is_missing, codes), np.int32(-1), codes)
    return Coded(words, codes, faults)


def read_words(
    column: pa.ChunkedArray | pa.Array, normalise: Callable[[str], str | None], fault: str
) -> Coded:
    """Return a column of words of a closed set; `normalise` returns None for any other.

    Raises
    ------
    ColumnTypeError
        If the column is not text.
    """
    array = plain(column)
    if pa.types.is_boolean(array.type) or pa.types.is_integer(array.type):
        array = array.cast(pa.large_string())
    if not (is_text(array.type) or pa.types.is_null(array.type)):
        raise ColumnTypeError(f"is of type {array.type}; it holds text: convert it")
    given, codes = _encoded(array.cast(pa.large_string()))
    texts = [text.strip() for text in given.to_pylist()]
    is_blank = np.array([not text for text in texts], bool)
    found = [normalise(text) if text else None for text in texts]
    is_bad = np.array([word is None for word in found], bool) & ~is_blank
    words, new = _encoded(pa.array(found, pa.large_string()))
    return Coded(
        words, np.append(new, np.int32(-1))[codes], _seen(**{fault: _spread(is_bad, codes)})
    )


def read_flags(column: pa.ChunkedArray | pa.Array) -> Cells:
    """Return a column of true and false; a missing cell is false. Fault: ``not_a_flag``.

    Raises
    ------
    ColumnTypeError
        If the column holds neither flags, numbers nor text.
    """
    array = plain(column)
    if pa.types.is_boolean(array.type):
        return Cells(array.fill_null(False).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array).cast(pa.large_string())

    def flag(text: str) -> str | None:
        word = text.lower()
        return "true" if word in _TRUE else "false" if word in _FALSE else None

    coded = read_words(array, flag, "not_a_flag")
    is_true = np.array([word == "true" for word in coded.words.to_pylist()], bool)
    return Cells(_spread(is_true, coded.codes), coded.faults)


def read_numbers(column: pa.ChunkedArray | pa.Array) -> Cells:
    """Return a column of numbers as float64, NaN where missing or at fault.

    Faults: ``missing``, ``not_a_number`` (infinite ones too).

    Raises
    ------
    ColumnTypeError
        If the column is neither numbers nor text.
    """
    array = plain(column)
    kind = array.type
    if pa.types.is_null(kind):
        return Cells(np.full(len(array), np.nan), _seen(missing=np.ones(len(array), bool)))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        is_missing = np.isnan(values)
    elif is_text(kind):
        words, codes = _encoded(array)
        texts = [text.strip() for text in words.to_pylist()]
        numbers = np.array([_number(text) for text in texts], float)
        is_blank = np.array([not text or text.lower() in _PLACEHOLDERS for text in texts], bool)
        values = np.append(numbers, np.nan)[codes]
        is_missing = np.append(is_blank, True)[codes]
    else:
        raise ColumnTypeError(f"is of type {kind}; it holds numbers: convert it")
    is_bad = ~np.isfinite(values) & ~is_missing
    if is_bad.any():
        values = np.where(is_bad, np.nan, values)
    return Cells(values, _seen(missing=is_missing, not_a_number=is_bad))


def _number(text: str) -> float:
    try:
        # float() reads 1_000, which no table means.
        return np.nan if "_" in text else float(text)
    except ValueError:
        return np.nan


def read_texts(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as text without blanks around it, null where there is none.

    Raises
    ------
    ColumnTypeError
        If the column holds lists or the like.
    """
    array = plain(column)
    if pa.types.is_nested(array.type):
        raise ColumnTypeError(f"is of type {array.type}; it holds text: convert it")
    texts = pc.utf8_trim_whitespace(array.cast(pa.large_string()))
    return pc.if_else(pc.equal(texts, ""), None, texts)


def split_money(column: pa.ChunkedArray | pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return prices and currencies of cells such as ``49.90 GBP``, each null where not given."""
    array = plain(column)
    if not is_text(array.type):
        return array, pa.nulls(len(array), pa.large_string())
    words, codes = _encoded(array)
    prices, currencies = [], []
    for text in words.to_pylist():
        found = _MONEY.fullmatch(text.strip())
        prices.append((found[1] or found[4]) if found else text)
        currencies.append((found[2] or found[3]) if found else None)
    taken = pa.array(codes, mask=codes < 0)
    return (
        pa.array(prices, pa.large_string()).take(taken),
        pa.array(currencies, pa.large_string()).take(taken),
    )


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises
    ------
    InvalidConfigError
        If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise InvalidConfigError(
            f"timezone: {name!r} is no time zone; use a name such as UTC or Europe/London",
            field="timezone",
            value=name,
        ) from error


def read_times(column: pa.ChunkedArray | pa.Array, timezone: ZoneInfo) -> Cells:
    """Return a column of moments as int64 microseconds since 1970 UTC, MISSING where none.

    Naive moments are taken in `timezone`. Faults: ``missing``, ``not_a_time``, ``out_of_range``;
    of the clock changes ``in_gap`` (moved to its end) and ``ambiguous`` (the first taken).

    Raises
    ------
    ColumnTypeError
        If the column is neither timestamps, dates nor text.
    """
    array = plain(column)
    kind = array.type
    if pa.types.is_null(kind):
        return Cells(np.full(len(array), MISSING), _seen(missing=np.ones(len(array), bool)))
    if pa.types.is_date(kind):
        array = array.cast(pa.timestamp("ms" if kind == pa.date64() else "s"))
        kind = array.type
    if pa.types.is_timestamp(kind):
        micros, is_out = _to_micros(array)
        is_missing = (micros == MISSING) & ~is_out
        is_bad = np.zeros(len(micros), bool)
        is_naive = ~is_missing & ~is_out if kind.tz is None else is_bad
    elif is_text(kind):
        words, codes = _encoded(array)
        of_word = _parsed(words.to_pylist())
        micros = np.append(of_word.micros, MISSING)[codes]
        is_missing = np.append(of_word.is_missing, True)[codes]
        is_bad = ~is_missing & (micros == MISSING)
        is_naive = _spread(of_word.is_naive, codes)
        is_out = np.zeros(len(micros), bool)
    else:
        raise ColumnTypeError(
            f"is of type {kind}; it holds timestamps or ISO 8601 text: convert it, for example "
            'with pandas.to_datetime(column, unit="s", utc=True)'
        )
    micros, changes = _localised(micros, is_naive, timezone)
    is_out |= (micros != MISSING) & ((micros < EARLIEST) | (micros >= LATEST))
    faults = _seen(missing=is_missing, not_a_time=is_bad, out_of_range=is_out)
    return Cells(np.where(is_out, MISSING, micros), faults | changes)


_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _to_micros(array: pa.Array) -> tuple[npt.NDArray[np.int64], Mask]:
    """Return timestamps in microseconds, and which are so far out that they do not fit."""
    unit = _PER_SECOND[array.type.unit]
    is_null = array.is_null().to_numpy(zero_copy_only=False)
    values = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    low, high = EARLIEST // 1_000_000 * unit, LATEST // 1_000_000 * unit
    # A day of slack, since a naive time may still move by its zone.
    is_out = (values < low - 86_400 * unit) | (values > high + 86_400 * unit)
    values = np.where(is_out, 0, values)
    micros = values // 1_000 if unit > 1_000_000 else values * (1_000_000 // unit)
    micros = np.where(is_null | is_out, np.int64(MISSING), micros)
    return micros, is_out & ~is_null


@dataclass(frozen=True, slots=True)
class _Parsed:
    micros: npt.NDArray[np.int64]
    is_missing: Mask
    is_naive: Mask


def _parsed(texts: Sequence[str]) -> _Parsed:
    """Return what distinct texts say as ISO 8601; zoned ones in UTC, naive ones as they stand."""
    found = [_ISO.fullmatch(text.strip()) for text in texts]
    is_naive = np.array([match is not None and not match["zone"] for match in found], bool)
    is_zoned = np.array([match is not None and bool(match["zone"]) for match in found], bool)
    micros = np.full(len(texts), MISSING)
    for chosen in (is_naive, is_zoned):
        if chosen.any():
            picked = [t.strip().upper().replace(",", ".") for t in compress(texts, chosen)]
            moments = pd.to_datetime(
                pd.Series(picked, dtype=object), format="ISO8601", errors="coerce", utc=True
            )
            micros[chosen] = _nanless(moments)
    blank = np.array([not t.strip() or t.strip().lower() in _MISSING_TIME for t in texts], bool)
    return _Parsed(micros, blank, is_naive & (micros != MISSING))


_MISSING_TIME: Final = _PLACEHOLDERS | {"nat"}


def _nanless(moments: pd.Series) -> npt.NDArray[np.int64]:
    units: npt.NDArray[np.int64] = moments.dt.as_unit("us").to_numpy("M8[us]").astype(np.int64)
    return units  # NaT is the smallest integer, as MISSING is


def _localised(
    micros: npt.NDArray[np.int64], is_naive: Mask, timezone: ZoneInfo
) -> tuple[npt.NDArray[np.int64], dict[str, Mask]]:
    """Return naive times as moments in their zone, and which ones the clock changes touch."""
    if timezone.key == "UTC" or not is_naive.any():
        return micros, {}
    distinct, places = np.unique(micros[is_naive], return_inverse=True)
    naive = pd.DatetimeIndex(distinct.astype("M8[us]"))
    sure = naive.tz_localize(timezone, ambiguous="NaT", nonexistent="shift_forward")
    whole = naive.tz_localize(
        timezone, ambiguous=np.ones(len(naive), bool), nonexistent="shift_forward"
    )
    in_gap = np.asarray(whole.tz_localize(None) != naive)
    moments = whole.tz_convert("UTC").tz_localize(None).to_numpy("M8[us]").astype(np.int64)
    moved = micros.copy()
    moved[is_naive] = moments[places]

    def of(chosen: Mask) -> Mask:
        rows = np.zeros(len(micros), bool)
        rows[is_naive] = chosen[places]
        return rows

    return moved, _seen(in_gap=of(in_gap), ambiguous=of(np.asarray(sure.isna())))
