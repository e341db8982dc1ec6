"""What comes in and what goes out, as types: the reader of every body, the text of /openapi.json.

Answers are written by `service.answers`, not through these models; the tests hold the two together.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from service.schemas.fields import (
    MAX_BATCH_LINES,
    MAX_K,
    MAX_ORDER_LINES,
    MAX_PAGE,
    MAX_PRODUCTS,
    MAX_QUANTITY,
    SCOPES,
    AsOf,
    Availability,
    Body,
    Currency,
    CustomerId,
    Id,
    K,
    MessageMoment,
    Moment,
    OrderId,
    Out,
    Price,
    ProductId,
    Text,
    When,
    all_below,
)
from service.schemas.models import (
    ModelApplied,
    ModelBody,
    ModelCurrent,
    ModelOut,
    ModelsOut,
)
from service.schemas.orders import (
    AdjustmentBody,
    AdjustmentLineBody,
    Applied,
    BatchOrderBody,
    OrderBody,
    OrderLineBody,
    OrderLineOut,
    OrderOut,
)
from service.schemas.outcomes import (
    BatchLine,
    BatchOut,
    Fault,
    LineProblem,
    Live,
    ProblemOut,
    Ready,
)
from service.schemas.questions import (
    CheckBody,
    CheckOut,
    ComplementOut,
    ComplementsOut,
    DecisionOut,
    ItemOut,
    OneDecisionOut,
    RecommendBody,
    RecommendOut,
    SuppressionOut,
    SuppressionsOut,
)
from service.schemas.shop import (
    BatchProductBody,
    PolicyApplied,
    PolicyBody,
    PolicyOut,
    ProductApplied,
    ProductBody,
)

MODELS: Final[list[type[BaseModel]]] = [*all_below(Body), *all_below(Out)]
"""Every body that is read or written."""

__all__ = [
    "MAX_BATCH_LINES",
    "MAX_K",
    "MAX_ORDER_LINES",
    "MAX_PAGE",
    "MAX_PRODUCTS",
    "MAX_QUANTITY",
    "MODELS",
    "SCOPES",
    "AdjustmentBody",
    "AdjustmentLineBody",
    "Applied",
    "AsOf",
    "Availability",
    "BatchLine",
    "BatchOrderBody",
    "BatchOut",
    "BatchProductBody",
    "Body",
    "CheckBody",
    "CheckOut",
    "ComplementOut",
    "ComplementsOut",
    "Currency",
    "CustomerId",
    "DecisionOut",
    "Fault",
    "Id",
    "ItemOut",
    "K",
    "LineProblem",
    "Live",
    "MessageMoment",
    "ModelApplied",
    "ModelBody",
    "ModelCurrent",
    "ModelOut",
    "ModelsOut",
    "Moment",
    "OneDecisionOut",
    "OrderBody",
    "OrderId",
    "OrderLineBody",
    "OrderLineOut",
    "OrderOut",
    "Out",
    "PolicyApplied",
    "PolicyBody",
    "PolicyOut",
    "Price",
    "ProblemOut",
    "ProductApplied",
    "ProductBody",
    "ProductId",
    "Ready",
    "RecommendBody",
    "RecommendOut",
    "SuppressionOut",
    "SuppressionsOut",
    "Text",
    "When",
]
