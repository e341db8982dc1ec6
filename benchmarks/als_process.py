"""The process to race against: read the same Parquet file, fit implicit's ALS, write the factors.

Run by `benchmarks.speed`; ``python -m benchmarks.als_process FILE OUT`` on its own also works.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # what implicit asks for: it has own threads

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.sparse as sp

FACTORS = 64
ITERATIONS = 15
RETAIL = {"Invoice": "order_id", "StockCode": "product_id", "Customer ID": "customer_id"}


def read_matrix(path: str) -> sp.csr_matrix:
    """Return who bought what, from our order table or from Online Retail's columns.

    Guests, returns and what is no product are left out, as anyone would before fitting.
    """
    names = pq.read_schema(path).names
    wanted = {*RETAIL, "Quantity", *RETAIL.values(), "quantity"} - {"order_id", "Invoice"}
    table = pd.read_parquet(path, columns=[name for name in names if name in wanted])
    if "StockCode" in table:
        table = table.rename(columns={**RETAIL, "Quantity": "quantity"})
        table = table[table["product_id"].str.match(r"\d{5}")]
    table = table[table["customer_id"].notna() & (table["quantity"] > 0)]
    customer, customers = pd.factorize(table["customer_id"])
    product, products = pd.factorize(table["product_id"])
    ones = np.ones(len(table), dtype=np.float32)
    return sp.csr_matrix((ones, (customer, product)), shape=(len(customers), len(products)))


def main(path: str, out: str) -> None:
    """Fit and write."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=FACTORS, iterations=ITERATIONS, random_state=0)
    model.fit(read_matrix(path), show_progress=False)
    np.savez(out, customers=model.user_factors, products=model.item_factors)


if __name__ == "__main__":
    main(*sys.argv[1:3])
