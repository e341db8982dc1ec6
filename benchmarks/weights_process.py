"""From matrix to weights, ours and implicit's ALS in one process on the same matrix.

Run by `benchmarks.speed`; ``python -m benchmarks.weights_process ORDERS [reading] [runs]`` prints
one JSON object. Reading is not counted; neither is compiling, which the disk keeps.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

import personalize as pz
from benchmarks.als_process import FACTORS, ITERATIONS
from personalize.association import Association
from personalize.interactions import Interactions

_WARM_CUSTOMERS: Final = 1_000


def customer_matrix(baskets: Interactions) -> sp.csr_matrix:
    """Return who owns what, each product once, as ALS takes it."""
    ones = np.ones(len(baskets.customer_products), dtype=np.float32)
    shape = (baskets.n_customers, baskets.n_products)
    return sp.csr_matrix((ones, baskets.customer_products, baskets.customer_indptr), shape=shape)


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Return the wall and the CPU seconds of some work, all of its threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def main(path: str, reading: str = "{}", runs: str = "1") -> dict[str, Any]:
    """Fit both in turn; return the median seconds of each, and of the pairs' ratios."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    orders = pz.read_orders(path, **json.loads(reading))
    as_of = orders.newest + 1
    few = orders.for_customers(orders.customer_ids[:_WARM_CUSTOMERS].to_pylist())
    Association.fit(Interactions.from_orders(few), pz.EngineConfig(), as_of)  # compiles
    baskets = Interactions.from_orders(orders)
    n_lines = orders.n_lines
    del orders, few
    matrix = customer_matrix(baskets)
    found: dict[str, list[dict[str, float]]] = {"ours": [], "als": []}
    for _ in range(int(runs)):
        with threadpool_limits(1, "blas"):  # what implicit asks for: it has threads of its own
            model = AlternatingLeastSquares(factors=FACTORS, iterations=ITERATIONS, random_state=0)
            found["als"].append(timed(partial(model.fit, matrix, show_progress=False)))
        found["ours"].append(timed(lambda: Association.fit(baskets, pz.EngineConfig(), as_of)))
    medians = {
        name: {key: statistics.median(run[key] for run in rows) for key in rows[0]}
        for name, rows in found.items()
    }
    ratios = [
        mine["wall_s"] / theirs["wall_s"]
        for mine, theirs in zip(found["ours"], found["als"], strict=True)
    ]
    shape = {"customers": matrix.shape[0], "products": matrix.shape[1], "cells": matrix.nnz}
    return medians | {"lines": n_lines, **shape, "wall_ratio": statistics.median(ratios)}


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:4]), sys.stdout)
