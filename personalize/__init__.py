"""Purchase-aware personalization: suppress what was bought, complement it, everywhere alike.

Everything a user needs is here: ``import personalize as pz``.
"""

from __future__ import annotations

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
from personalize.orders import Orders, read_orders
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
from personalize.suppression import Decision, Suppression
from personalize.times import FOREVER, MISSING, to_datetime, to_micros, to_rfc3339
from personalize.version import __version__
from personalize.view import MOMENTS

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
]
