"""Purchase-aware personalization: suppress what was bought, complement it, everywhere alike.

Everything a user needs is here: ``import personalize as pz``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personalize.artifact import ModelsDirectory
from personalize.catalog import Catalog, Product, read_catalog
from personalize.config import EngineConfig
from personalize.engine import Engine
from personalize.errors import (
    ArtifactError,
    InvalidCatalogError,
    InvalidConfigError,
    InvalidOrdersError,
    PersonalizeError,
    PersonalizeWarning,
    Problem,
    StoreError,
    UnknownProductError,
)
from personalize.live import Answer, Clock, Personalizer, UnknownOrderError, system_clock
from personalize.policy import Policy, TypeRule
from personalize.purchases import OrderLine, PurchaseState
from personalize.ranking import Pick
from personalize.schema import normalise_type
from personalize.store import (
    Adjustment,
    OrderSnapshot,
    Patience,
    SnapshotLine,
    Store,
    StoredLine,
    StoredOrder,
)
from personalize.suppression import Decision, Suppression, unowned
from personalize.times import FOREVER, MISSING, to_datetime, to_micros, to_rfc3339
from personalize.version import __version__
from personalize.view import MOMENTS

if TYPE_CHECKING:
    from personalize.orders import Orders, read_orders

__all__ = [
    "FOREVER",
    "MISSING",
    "MOMENTS",
    "Adjustment",
    "Answer",
    "ArtifactError",
    "Catalog",
    "Clock",
    "Decision",
    "Engine",
    "EngineConfig",
    "InvalidCatalogError",
    "InvalidConfigError",
    "InvalidOrdersError",
    "ModelsDirectory",
    "OrderLine",
    "OrderSnapshot",
    "Orders",
    "Patience",
    "PersonalizeError",
    "PersonalizeWarning",
    "Personalizer",
    "Pick",
    "Policy",
    "Problem",
    "Product",
    "PurchaseState",
    "SnapshotLine",
    "Store",
    "StoreError",
    "StoredLine",
    "StoredOrder",
    "Suppression",
    "TypeRule",
    "UnknownOrderError",
    "UnknownProductError",
    "__version__",
    "normalise_type",
    "read_catalog",
    "read_orders",
    "system_clock",
    "to_datetime",
    "to_micros",
    "to_rfc3339",
    "unowned",
]

_ON_DEMAND = ("Orders", "read_orders")
"""What reads and fits, and brings pandas with it: a process that only serves never asks for it."""


def __getattr__(name: str) -> Any:
    """Return what is imported when it is first asked for (PEP 562)."""
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from personalize import orders

    globals().update({each: getattr(orders, each) for each in _ON_DEMAND})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
