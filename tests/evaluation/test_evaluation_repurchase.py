"""Task S: metrics and features."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_log import CUTOFF

from personalize.evaluation import repurchase
from personalize.evaluation.queries import repurchase_pairs
from personalize.evaluation.split import Split


class TestSuppression:
    def test_lost_share_by_hand(self) -> None:
        """The lower half of four pairs holds one of two repurchases."""
        again = np.array([True, False, True, False])
        assert repurchase.lost_share(again, np.array([0.1, 0.2, 0.3, 0.4]), 0.5) == 0.5

    def test_a_tie_is_shared_out(self) -> None:
        """All scores equal: half saved loses half, whatever the order of the rows."""
        again = np.array([True, True, False, False])
        assert repurchase.lost_share(again, np.zeros(4), 0.5) == 0.5
        assert repurchase.lost_share(again, np.zeros(4), 0.8) == pytest.approx(0.8)

    def test_calibration_error_by_hand(self) -> None:
        """Two bins of two: (|.1 - 0| + |.8 - .5|) / 2."""
        again = np.array([False, False, True, False])
        score = np.array([0.1, 0.1, 0.8, 0.8])
        assert repurchase.calibration_error(again, score, 2) == pytest.approx(0.2)

    def test_all_metrics(self) -> None:
        """A perfect ranking: AUC and AP are 1, nothing is lost; no probability, no log loss."""
        again = np.array([False, False, False, True])
        scores = repurchase.score_repurchase(again, np.arange(4.0), is_probability=False)
        assert (scores.auc, scores.average_precision, scores.lost[0]) == (1.0, 1.0, 0.0)
        assert math.isnan(scores.log_loss)
        sure = repurchase.score_repurchase(again, np.full(4, 0.25), is_probability=True)
        assert sure.log_loss == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)

    def test_features_by_hand(self, split: Split) -> None:
        """Ann and a: bought on 2 days, 4 units, 29 and 60 days ago, in 2 orders of hers."""
        pairs = repurchase_pairs(split)
        known = repurchase.features_at(split, split.train, pairs, CUTOFF)
        row = dict(zip(repurchase.FEATURES, known[0].tolist(), strict=True))
        assert row == {
            "times bought": 2,
            "units bought": 4,
            "days since last": 29,
            "days since first": 60,
            "own mean gap": 31,
            "customer's orders": 2,
            "customer's recent orders": 2,
            "days since the customer's last order": 29,
            "days since the customer's first order": 60,
            "customer's products": 3,
            "customer's share of products that repeat": pytest.approx(1 / 3),
            "product's orders": 2,
            "product's repeat rate": pytest.approx((1 + 5 * 0.2) / (1 + 5)),
            "product's recent orders": 2,
        }
        assert math.isnan(known[1, repurchase.FEATURES.index("own mean gap")])
