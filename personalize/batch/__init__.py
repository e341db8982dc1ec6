"""The questions of many customers at once: tables in, tables out, one view behind them.

Nothing is decided here: suppression is `personalize.suppression`'s rule compiled over arrays; a
list that the history fills alone is made by `personalize.following`, every other by `View.answer`,
as it is for a single customer. Tables are made a block of customers at a time, so that what is
looked at fits the processor's cache, however many there are.
"""

from personalize.batch.batch import Batch
from personalize.batch.picks import COMPLEMENT_COLUMNS, pick_table

__all__ = ["COMPLEMENT_COLUMNS", "Batch", "pick_table"]
