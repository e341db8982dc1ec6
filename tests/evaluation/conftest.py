"""What the tests of the evaluation share."""

from __future__ import annotations

import pytest
from small_log import CUTOFF, LOG, orders_of

from personalize.evaluation.split import Split, split_at


@pytest.fixture
def split() -> Split:
    """Return the log, cut on 1 March; every product counts."""
    return split_at(orders_of(LOG), CUTOFF, min_lines=0)
