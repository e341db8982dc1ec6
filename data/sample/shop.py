"""The planted shop: product types, what completes what, and the catalogue made from them.

Decides what is true in the sample data. How customers act on it is in `history`; what is written
where is in `generate`. Every fact of ``truth.json`` comes from the tables below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FIRST_DAY = np.datetime64("2024-11-01", "D")
END_DAY = np.datetime64("2026-11-01", "D")  # exclusive: the last order is of 2026-10-31
N_DAYS = int((END_DAY - FIRST_DAY).astype(int))
N_MONTHS = 24
CURRENCY = "EUR"
DOMAIN = "shop.example"

SUIT = ("46", "48", "50", "52")
COLLAR = ("38", "40", "42")
BODY = ("S", "M", "L")
BODY_4 = ("S", "M", "L", "XL")
FEET = ("40", "41", "42", "43", "44")
BED = ("140", "160", "180")
ONE, SIDE, USED = "one_per_need", "side_by_side", "consumed"

# Weight of each calendar month, January first.
SEASONS = {
    "": (1.0,) * 12,
    "winter": (2.2, 1.5, 0.6, 0.3, 0.15, 0.1, 0.1, 0.15, 0.5, 1.5, 2.4, 2.5),
    "summer": (0.2, 0.25, 0.5, 1.2, 2.0, 2.4, 2.3, 1.6, 0.6, 0.4, 0.3, 0.25),
}
MONTH_OF_TRADE = (0.95, 0.85, 0.95, 0.95, 1.0, 0.95, 0.9, 0.9, 1.0, 1.05, 1.25, 1.35)
PLURAL = {
    "trousers", "socks", "shorts", "gloves", "goggles", "sheets", "tabs", "glasses", "tools",
    "beans", "blades", "vitamins", "condoms",
}  # fmt: skip
SINGULAR = {"dresses": "dress", "scarves": "scarf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductType:
    """One planted product type.

    ``alone`` and ``sought`` are weights: how often it is bought by the way, and how often it is
    what an order is about. ``cycle_days`` is how long one unit of a consumable lasts.
    """

    code: str
    path: str
    kind: str
    groups: int
    price: tuple[float, float]
    sizes: tuple[str, ...] = ("",)
    colours: tuple[str, ...] = ("",)
    alone: float = 0.0
    sought: float = 0.0
    cycle_days: int = 0
    started: float = 0.0
    per_basket: int = 1
    season: str = ""
    returned: float = 0.07
    sensitive: bool = False

    @property
    def noun(self) -> str:
        """What one product of the type is called in its title."""
        words = self.path.rsplit(" > ", 1)[-1].lower()
        first, last = words[: words.rfind(" ") + 1], words[words.rfind(" ") + 1 :]
        return first + (last if last in PLURAL else SINGULAR.get(last, last.removesuffix("s")))

    @property
    def n_products(self) -> int:
        """Products of the type in the smallest catalogue."""
        return self.groups * len(self.sizes) * len(self.colours)


def _one(code: str, path: str, price: tuple[float, float], **more: object) -> ProductType:
    given = {"groups": 2, "sought": 1.0} | more
    return ProductType(code=code, path=path, kind=ONE, price=price, **given)  # type: ignore[arg-type]


def _side(code: str, path: str, price: tuple[float, float], **more: object) -> ProductType:
    given = {"groups": 2, "alone": 1.0} | more
    return ProductType(code=code, path=path, kind=SIDE, price=price, **given)  # type: ignore[arg-type]


def _used(
    code: str, path: str, price: tuple[float, float], cycle_days: int, **more: object
) -> ProductType:
    given = {"groups": 2, "returned": 0.005, "cycle_days": cycle_days} | more
    return ProductType(code=code, path=path, kind=USED, price=price, **given)  # type: ignore[arg-type]


WORN = 0.2  # share of lines of clothes that come back
TYPES: tuple[ProductType, ...] = (
    _one("SC", "Apparel > Suits > Sport coats", (149, 299), sizes=SUIT, colours=("NAVY", "GREY"),
         returned=WORN),
    _side("DT", "Apparel > Suits > Dress trousers", (59, 119), sizes=SUIT,
          colours=("NAVY", "GREY"), returned=WORN),
    _side("TI", "Apparel > Accessories > Ties", (19, 49), groups=3, alone=1.3,
          colours=("NAVY", "WINE", "GREEN")),
    _side("DS", "Apparel > Socks > Dress socks", (6, 12), groups=5, alone=0.9, per_basket=2,
          colours=("BLACK", "NAVY")),
    _side("PS", "Apparel > Accessories > Pocket squares", (12, 29), colours=("WHITE", "WINE")),
    _side("SI", "Apparel > Shirts > Dress shirts", (39, 79), groups=3, alone=2.0, sizes=COLLAR,
          colours=("WHITE", "BLUE"), returned=WORN),
    _side("TS", "Apparel > Shirts > T-shirts", (12, 25), groups=3, alone=3.2, sizes=BODY_4,
          colours=("WHITE", "BLACK"), returned=WORN),
    _side("RS", "Apparel > Shoes > Running shoes", (79, 159), groups=3, alone=0.6, sought=0.9,
          sizes=FEET, colours=("BLACK", "LIME"), returned=WORN),
    _side("RK", "Apparel > Socks > Running socks", (8, 15), groups=5, alone=0.9, per_basket=2,
          colours=("BLACK", "WHITE")),
    _side("SH", "Apparel > Sportswear > Running shorts", (25, 49), sizes=BODY, returned=WORN),
    _side("ED", "Apparel > Dresses > Evening dresses", (89, 199), groups=3, alone=0.6, sought=0.9,
          sizes=BODY, colours=("BLACK", "RED"), returned=WORN),
    _side("CL", "Apparel > Bags > Clutch bags", (29, 69), colours=("BLACK", "GOLD")),
    _side("NE", "Apparel > Jewellery > Necklaces", (25, 89), colours=("GOLD", "SILVER")),
    _one("WC", "Apparel > Coats > Winter coats", (129, 259), sizes=BODY,
         colours=("BLACK", "CAMEL"), season="winter", returned=WORN),
    _side("SF", "Apparel > Accessories > Scarves", (19, 49), groups=3, alone=1.4,
          colours=("GREY", "RED"), season="winter"),
    _side("GL", "Apparel > Accessories > Winter gloves", (19, 45), sizes=BODY, season="winter"),
    _side("SW", "Apparel > Swimwear > Swim shorts", (19, 45), groups=3, alone=0.6, sought=0.9,
          sizes=BODY_4, season="summer", returned=WORN),
    _side("BT", "Home > Bathroom > Beach towels", (15, 35), colours=("BLUE", "CORAL"),
          season="summer"),
    _side("GO", "Sports > Swimming > Swim goggles", (12, 29), colours=("CLEAR", "SMOKE"),
          season="summer"),
    _one("BD", "Home > Bedroom > Beds", (299, 799), sizes=BED, colours=("OAK", "WHITE")),
    _one("MA", "Home > Bedroom > Mattresses", (199, 599), sizes=BED, sought=0.0, alone=0.55),
    _side("SB", "Home > Bedroom > Bed sheets", (25, 59), groups=3, alone=1.6,
          sizes=("140", "160", "180"), colours=("WHITE", "SAND")),
    _side("PI", "Home > Bedroom > Pillows", (19, 49), sizes=("40X80", "80X80")),
    _one("CM", "Home > Kitchen > Coffee machines", (199, 599), colours=("BLACK", "STEEL")),
    _used("CB", "Food > Coffee > Coffee beans", (9, 19), 30, groups=3, started=0.03,
          colours=("MILD", "STRONG")),
    _used("DC", "Home > Cleaning > Descaler", (6, 12), 90, groups=1, started=0.03,
          colours=("LIQUID", "TABS")),
    _one("DW", "Home > Kitchen > Dishwashers", (349, 799), colours=("WHITE", "STEEL")),
    _used("DB", "Home > Cleaning > Dishwasher tabs", (8, 15), 45, started=0.02,
          colours=("CLASSIC", "ECO")),
    _used("RA", "Home > Cleaning > Rinse aid", (3, 6), 75, groups=1, started=0.03,
          colours=("CLASSIC", "LEMON")),
    _one("DN", "Home > Dining > Dinnerware sets", (59, 199), colours=("WHITE", "BLUE", "SAND")),
    _side("WG", "Home > Dining > Wine glasses", (19, 49), colours=("CLEAR", "SMOKE")),
    _side("TL", "Home > Dining > Tablecloths", (19, 49), colours=("WHITE", "SAND")),
    _one("DK", "Home > Office > Desks", (129, 399), sizes=("120", "160"),
         colours=("OAK", "WHITE")),
    _one("OC", "Home > Office > Office chairs", (99, 349), sought=0.0, alone=0.55,
         colours=("BLACK", "GREY")),
    _side("DL", "Home > Lighting > Desk lamps", (25, 79), colours=("BLACK", "BRASS")),
    _one("SO", "Home > Living room > Sofas", (399, 1199), colours=("GREY", "GREEN", "SAND")),
    _side("CU", "Home > Living room > Cushions", (12, 29), groups=5, alone=0.9, per_basket=2,
          colours=("GREY", "OCHRE")),
    _side("TH", "Home > Living room > Throws", (25, 59), colours=("GREY", "SAND")),
    _side("CA", "Home > Decor > Candles", (7, 19), groups=8, alone=1.0, per_basket=3),
    _one("GR", "Home > Garden > Grills", (99, 449), colours=("BLACK", "RED"), season="summer"),
    _side("GT", "Home > Garden > Grill tools", (19, 45), season="summer"),
    _side("GG", "Home > Garden > Grill gloves", (12, 25), season="summer"),
    _one("TN", "Sports > Camping > Tents", (89, 329), sizes=("2P", "4P"), season="summer"),
    _side("SG", "Sports > Camping > Sleeping bags", (39, 129), colours=("BLUE", "OLIVE"),
          season="summer"),
    _side("HL", "Sports > Camping > Headlamps", (15, 45)),
    _one("BC", "Sports > Cycling > Bicycles", (349, 1199), sizes=BODY, colours=("BLACK", "BLUE")),
    _one("BH", "Sports > Cycling > Bike helmets", (39, 119), sizes=("M", "L"), sought=0.0,
         alone=0.55, colours=("BLACK", "WHITE")),
    _side("BL", "Sports > Cycling > Bike locks", (19, 79)),
    _one("SR", "Beauty > Shaving > Safety razors", (19, 59), colours=("STEEL", "BLACK")),
    _used("RB", "Beauty > Shaving > Razor blades", (5, 12), 60, started=0.02,
          colours=("MILD", "SHARP")),
    _used("SS", "Beauty > Shaving > Shaving soap", (6, 14), 80, started=0.02,
          colours=("CEDAR", "PLAIN")),
    _used("VI", "Health > Nutrition > Vitamins", (9, 19), 30, started=0.07,
          colours=("CAPSULES", "DROPS")),
    _used("CF", "Pets > Cats > Cat food", (12, 25), 21, started=0.06,
          colours=("BEEF", "FISH")),
    _used("LD", "Home > Cleaning > Laundry detergent", (7, 15), 40, started=0.06,
          colours=("COLOUR", "WHITES")),
    _side("PT", "Health > Tests > Pregnancy tests", (5, 12), alone=0.25,
          returned=0.0, sensitive=True),
    _side("IC", "Health > Intimate care > Condoms", (6, 15), alone=0.3,
          returned=0.0, sensitive=True),
)  # fmt: skip

# Anchor type -> complement type -> chance that a buyer of the anchor also buys the complement.
COMPLEMENTS: dict[str, dict[str, float]] = {
    "SC": {"DT": 0.55, "TI": 0.42, "DS": 0.36, "PS": 0.28},
    "RS": {"RK": 0.50, "SH": 0.32},
    "BD": {"MA": 0.50, "SB": 0.42, "PI": 0.30},
    "CM": {"CB": 0.62, "DC": 0.36},
    "DK": {"OC": 0.45, "DL": 0.34},
    "ED": {"CL": 0.34, "NE": 0.34},
    "WC": {"SF": 0.45, "GL": 0.34},
    "SW": {"BT": 0.42, "GO": 0.28},
    "DW": {"DB": 0.62, "RA": 0.36},
    "DN": {"WG": 0.40, "TL": 0.30},
    "SO": {"CU": 0.45, "TH": 0.32},
    "GR": {"GT": 0.45, "GG": 0.30},
    "TN": {"SG": 0.48, "HL": 0.30},
    "BC": {"BH": 0.46, "BL": 0.40},
    "SR": {"RB": 0.62, "SS": 0.40},
}
MAX_COMPLEMENTS = max(len(of) for of in COMPLEMENTS.values())

# One group comes into fashion: towards the end it takes this share of its type, which rises too.
TREND_TYPE = [t.code for t in TYPES].index("CA")
TREND_GROUP, TREND_DAYS, TREND_SHARE, TREND_RISE = 4, 75, 0.7, 1.8
N_BASE_PRODUCTS = sum(t.n_products for t in TYPES)

BRANDS = {
    "Apparel": ("Harrowmere", "Lintello", "Vesper Row", "Tamsin Vale"),
    "Home": ("Oakhollow", "Nordmarsh", "Brindlehaus", "Cosywick"),
    "Sports": ("Ridgefern", "Velorin", "Tarnpeak"),
    "Beauty": ("Alderbalm", "Smoothwick"),
    "Food": ("Kaffarin", "Roastholm"),
    "Health": ("Vitalune", "Clearhaven"),
    "Pets": ("Whiskerby", "Purrlow"),
}
STYLES = (
    "Alder", "Brook", "Cedar", "Dune", "Elm", "Fjord", "Grove", "Heath", "Inlet", "Juniper",
    "Kestrel", "Larch", "Moor", "North", "Osprey", "Pine", "Quarry", "Reed", "Sorrel", "Tern",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shop:
    """The catalogue and, for drawing from it, the same as arrays.

    Types are numbered ``range * len(TYPES) + position in TYPES``; groups are numbered type by
    type and products group by group, so that each holds a contiguous run of the next.
    """

    products: pd.DataFrame
    paths: list[str]
    base: Ints  # (n_types,) position in TYPES
    group_start: Ints  # (n_types + 1,) first group of each type
    group_edges: Floats  # (n_groups,) type number + cumulated share of the group in its type
    product_start: Ints  # (n_groups + 1,)
    n_colours: Ints  # (n_groups,)
    price: Floats  # (n_products,)
    sought_edges: Floats  # (N_MONTHS * n_types,) month + cumulated share of the type
    alone_edges: Floats  # (N_MONTHS * n_types,)
    liked_edges: Floats  # (n_types,) cumulated share of the type in what customers like
    is_sought: Bools  # (n_types,)
    complement: Ints  # (n_types, MAX_COMPLEMENTS), -1 where there is none
    complement_rate: Floats  # (n_types, MAX_COMPLEMENTS)
    trend_group: int
    n_ranges: int
    facts: dict[str, Floats]  # per type: cycle_days, returned, per_basket

    @property
    def n_types(self) -> int:
        """Product types of the catalogue."""
        return len(self.paths)

    @property
    def n_groups(self) -> int:
        """Item groups of the catalogue."""
        return len(self.n_colours)

    def is_kind(self, kind: str) -> Bools:
        """Tell which types are of a kind; shape (n_types,)."""
        return np.array([t.kind == kind for t in TYPES])[self.base]


def month_of_day() -> Ints:
    """Return the month of each day of the period, 0 for the first; shape (N_DAYS,)."""
    days = FIRST_DAY + np.arange(N_DAYS)
    months = days.astype("datetime64[M]").astype(np.int64)
    return np.asarray(months - months[0], dtype=np.int64)


def edges(weights: Floats) -> Floats:
    """Return, for weights of shape (rows, n), row number + cumulated share, flattened.

    A draw for row ``r`` is then one binary search for ``r + u``.
    """
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    cumulated[:, -1] = 1.0
    return np.asarray((cumulated + np.arange(len(weights))[:, None]).ravel())


def build_shop(n_products: int, seed: int) -> Shop:
    """Return a shop of `n_products` products: the base types, in as many ranges as it takes.

    Raises
    ------
    ValueError
        If `n_products` is too few for the planted types.
    """
    if n_products < N_BASE_PRODUCTS:
        raise ValueError(
            f"products: {n_products:,} are too few; the planted shop has {N_BASE_PRODUCTS:,},"
            f" so give {N_BASE_PRODUCTS:,} or more"
        )
    n_ranges = max(1, math.isqrt(n_products // N_BASE_PRODUCTS))
    groups = _groups(n_products, n_ranges)
    rng = np.random.default_rng([seed, 1_000_000])
    frame = _catalogue(groups, rng)
    n_types = n_ranges * len(TYPES)
    base = np.tile(np.arange(len(TYPES)), n_ranges)
    group_type = groups["type"].to_numpy()
    group_start = np.searchsorted(group_type, np.arange(n_types + 1))
    complement, rate = _complements(n_ranges)
    alone, sought = _month_weights(base, n_ranges)
    side = np.array([t.kind == SIDE and not t.sensitive for t in TYPES])[base]
    facts = {
        name: np.array([float(getattr(t, name)) for t in TYPES])[base]
        for name in ("cycle_days", "returned", "per_basket")
    }
    return Shop(
        products=frame,
        paths=[_path(i // len(TYPES), TYPES[i % len(TYPES)]) for i in range(n_types)],
        base=base,
        group_start=group_start,
        group_edges=_group_edges(groups, group_start),
        product_start=np.concatenate([[0], np.cumsum(groups["n_products"].to_numpy())]),
        n_colours=np.array([len(t.colours) for t in TYPES])[base[group_type]],
        price=frame["price"].to_numpy(),
        sought_edges=edges(sought),
        alone_edges=edges(alone),
        liked_edges=edges((alone * side).mean(axis=0, keepdims=True)),
        is_sought=np.array([t.sought > 0 for t in TYPES])[base],
        complement=complement,
        complement_rate=rate,
        trend_group=int(group_start[TREND_TYPE]) + TREND_GROUP,
        n_ranges=n_ranges,
        facts=facts,
    )


def _group_edges(groups: pd.DataFrame, group_start: Ints) -> Floats:
    """Return, of each group, type number + cumulated share: Zipf-like within the type."""
    of_type = groups["type"].to_numpy()
    weight = 1.0 / (1.0 + groups["number"].to_numpy()) ** 0.9
    total = np.add.reduceat(weight, group_start[:-1])
    before = np.concatenate([[0.0], np.cumsum(weight)])[group_start[:-1]]
    share = (np.cumsum(weight) - before[of_type]) / total[of_type]
    share[group_start[1:] - 1] = 1.0
    return np.asarray(of_type + share)


def _month_weights(base: Ints, n_ranges: int) -> tuple[Floats, Floats]:
    """Return how often types are bought by the way, and sought; each (N_MONTHS, n_types)."""
    months = (FIRST_DAY.astype("datetime64[M]").astype(int) + np.arange(N_MONTHS)) % 12
    season = np.array([SEASONS[t.season] for t in TYPES])[base][:, months].T
    popular = np.repeat(1.0 / (1.0 + np.arange(n_ranges)) ** 0.5, len(TYPES))
    alone = np.array([t.alone for t in TYPES])[base] * popular * season
    alone[-2:, TREND_TYPE] *= TREND_RISE
    sought = np.array([t.sought for t in TYPES])[base] * popular * season
    return alone, sought


def _path(number: int, of: ProductType) -> str:
    return of.path if number == 0 else f"{of.path} > Range {number + 1}"


def _groups(n_products: int, n_ranges: int) -> pd.DataFrame:
    """Return the item groups, sorted by type: type, number within type, range, n_products."""
    size = np.array([len(t.sizes) * len(t.colours) for t in TYPES for _ in range(t.groups)])
    position = np.array([i for i, t in enumerate(TYPES) for _ in range(t.groups)])
    copy = np.concatenate([np.arange(t.groups) for t in TYPES])
    rounds = math.ceil(n_products / (N_BASE_PRODUCTS * n_ranges))
    per_range = len(size)
    block = pd.DataFrame(
        {
            "round": np.repeat(np.arange(rounds), n_ranges * per_range),
            "range": np.tile(np.repeat(np.arange(n_ranges), per_range), rounds),
            "base": np.tile(position, rounds * n_ranges),
            "copy": np.tile(copy, rounds * n_ranges),
            "n_products": np.tile(size, rounds * n_ranges),
        }
    )
    # The last round stops where the catalogue is full, if need be within a group.
    before = block["n_products"].cumsum() - block["n_products"]
    block["n_products"] = np.minimum(block["n_products"], n_products - before)
    block = block[block["n_products"] > 0]
    per_type = np.array([t.groups for t in TYPES])
    block["number"] = block["round"] * per_type[block["base"]] + block["copy"]
    block["type"] = block["range"] * len(TYPES) + block["base"]
    return block.sort_values(["type", "number"], ignore_index=True)


def _complements(n_ranges: int) -> tuple[Ints, Floats]:
    position = {t.code: i for i, t in enumerate(TYPES)}
    complement = np.full((len(TYPES), MAX_COMPLEMENTS), -1)
    rate = np.zeros((len(TYPES), MAX_COMPLEMENTS))
    for anchor, of in COMPLEMENTS.items():
        complement[position[anchor], : len(of)] = [position[c] for c in of]
        rate[position[anchor], : len(of)] = list(of.values())
    shift = np.repeat(np.arange(n_ranges) * len(TYPES), len(TYPES))[:, None]
    complement = np.tile(complement, (n_ranges, 1))
    return np.where(complement < 0, -1, complement + shift), np.tile(rate, (n_ranges, 1))


def _catalogue(groups: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the catalogue in the order of the groups, with every contract column."""
    group = np.repeat(np.arange(len(groups)), groups["n_products"])
    start = np.concatenate([[0], np.cumsum(groups["n_products"])])[:-1]
    variant = np.arange(len(group)) - start[group]
    of = [TYPES[b] for b in groups["base"]]
    low, high = np.array([t.price for t in of], dtype=float).T
    price = np.floor(low + (high - low) * rng.random(len(groups)) ** 1.5) + 0.95
    # Numbers run on over the ranges of a type, so that a group id names one group.
    serial = 1001 + groups.groupby("base").cumcount().to_numpy()
    brand = rng.random(len(groups))
    rows = []
    for g, v in zip(group.tolist(), variant.tolist(), strict=True):
        t = of[g]
        size, colour = t.sizes[v // len(t.colours)], t.colours[v % len(t.colours)]
        group_id = f"{t.code}-{serial[g]}"
        brands = BRANDS[t.path.split(" > ", 1)[0]]
        maker = brands[int(brand[g] * len(brands))]
        style = STYLES[(serial[g] - 1001 + ord(t.code[0])) % len(STYLES)]
        text = ", ".join([f"{maker} {style} {t.noun}"] + [x for x in (colour.lower(), size) if x])
        rows.append(("-".join(x for x in (group_id, size, colour) if x), group_id, text, maker))
    frame = pd.DataFrame(rows, columns=["product_id", "item_group_id", "title", "brand"])
    type_of = [_path(r, TYPES[b]) for r, b in zip(groups["range"], groups["base"], strict=True)]
    frame.insert(3, "product_type", np.array(type_of, dtype=object)[group])
    frame["price"] = price[group]
    frame["currency"] = CURRENCY
    # The best-selling group of every type is in stock.
    u = np.where(groups["number"].to_numpy()[group] == 0, 1.0, rng.random(len(frame)))
    frame["availability"] = np.select(
        [u < 0.07, u < 0.10, u < 0.12], ["out_of_stock", "preorder", "backorder"], "in_stock"
    )
    frame["link"] = f"https://{DOMAIN}/p/" + frame["product_id"]
    frame["image_link"] = f"https://images.{DOMAIN}/" + frame["product_id"] + ".jpg"
    frame["sensitive"] = np.array([t.sensitive for t in of])[group]
    return frame
