"""Evaluation: how good the lists and the suppression are, on any shop's orders.

One split in time, three tasks, the peers in the same run, and a report; `docs/evaluation.md` says
how it is measured.

::

    split.py queries.py metrics.py     what is learned from, what is asked, how it is scored
    peers.py repurchase.py             the methods to compare with
    subject.py guards.py               our engine, and what it must never show
    lists.py decision.py learned.py    what is measured
    evaluating.py comparing.py         one engine beside its peers; two engines
    text.py plots/ report.py           how it is told
"""

from __future__ import annotations

from personalize.evaluation.comparing import Candidate, Comparison, compare
from personalize.evaluation.evaluating import Evaluation, evaluate, guards_of
from personalize.evaluation.protocol import Protocol
from personalize.evaluation.report import report_html, write_report

__all__ = [
    "Candidate",
    "Comparison",
    "Evaluation",
    "Protocol",
    "compare",
    "evaluate",
    "guards_of",
    "report_html",
    "write_report",
]
