"""Read and write tables (first cut)."""

from __future__ import annotations


class Rejects:
    """Rows that were left out, each with its reasons."""
