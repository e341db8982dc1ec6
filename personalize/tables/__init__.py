"""Read and write Parquet, CSV, JSON lines and DataFrames by batches; knows no meaning.

This package decides how the bytes of a table become Arrow columns and back. What the columns
mean, and which cells are bad, is for its callers.
"""

from __future__ import annotations

from personalize.tables.opening import Source, open_parts
from personalize.tables.parts import (
    Batch,
    FramePart,
    Part,
    TableError,
    as_texts,
    from_series,
    readable,
)
from personalize.tables.rejects import Rejects
from personalize.tables.writing import table_endings, write_table

__all__ = [
    "Batch",
    "FramePart",
    "Part",
    "Rejects",
    "Source",
    "TableError",
    "as_texts",
    "from_series",
    "open_parts",
    "readable",
    "table_endings",
    "write_table",
]
