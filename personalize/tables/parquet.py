"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from personalize.tables.parts import BATCH_ROWS, Batch, FilePart, readable


class ParquetPart(FilePart):
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with readable(self.name), pq.ParquetFile(path) as file:
            self.columns = list(file.schema_arrow.names)
            self.n_rows = int(file.metadata.num_rows)
        self.expected_rows = self.n_rows

    def batches(
        self,
        columns: Sequence[str],
        *,
        raw: bool = False,  # noqa: ARG002 - nothing is converted here
    ) -> Iterator[Batch]:
        """Yield the rows of some columns."""
        start = 0
        with readable(self.name), pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                table = pa.Table.from_batches([batch]).select(list(columns))
                yield Batch(table, np.arange(start, start + len(batch), dtype=np.int64))
                start += len(batch)
