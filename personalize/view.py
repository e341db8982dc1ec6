"""One engine under one policy and one catalogue: what answers questions; frozen, cheap to ask.

A view is compiled once. When the catalogue changes, `with_products` makes the next one; when the
policy changes, the engine makes a new one. Times are microseconds UTC.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalize.association import Scored
from personalize.catalog import Catalog, Product
from personalize.errors import InvalidConfigError
from personalize.likeness import Pairs
from personalize.model import Model
from personalize.packing import PackedState, pack
from personalize.policy import Policy
from personalize.products import ProductSpace
from personalize.purchases import PurchaseState
from personalize.ranking import (
    DUE,
    FIRST_LOOK,
    GOES_WITH,
    GOES_WITH_TYPE,
    OFTEN_NEXT,
    POPULAR,
    Barred,
    Pick,
    Tier,
    rank,
)
from personalize.suppression import (
    CustomerScopes,
    Decision,
    Judgement,
    PackedRules,
    Rules,
    Scope,
    Suppression,
    touched,
    unowned,
)

MOMENTS: Final = ("order_confirmation", "shipped", "follow_up", "ad", "browse")
ABOUT_AN_ORDER: Final = MOMENTS[:2]
MANY: Final = 10
"""From so many products of one customer on decisions are compiled."""
_HISTORY_SHARE: Final = 0.3
"""Weight of the strongest candidate of the history beside the strongest of the anchors."""
_PLACES_PER_NEW: Final = 10
"""Where there is room behind what was learned, one new product fills it for so many places."""
_BORROWED_SHARE: Final = 0.3
"""Places kept for what goes with the alikes of anchors without complements of their own."""
_TYPES_BACKED_OFF: Final = 20
_MEMBERS_BACKED_OFF: Final = 50

Ints = NDArray[np.int64]
_NOTHING: Final[Ints] = np.array([], dtype=np.int64)


class Question(NamedTuple):
    """What one list is about, in product numbers of the view.

    ``anchors`` are what the message is about, ``history`` is what the customer owns, ``due`` what
    has come due with its chance, ``barred`` what must not be shown, ``came`` when the customer last
    came, as a row of `Demand.factors`.
    """

    anchors: Ints
    history: Ints
    due: Sequence[tuple[int, float]]
    barred: Barred
    came: int = 0


def check_moment(moment: str) -> None:
    """Raise if `moment` is none of `MOMENTS`.

    Raises
    ------
    InvalidConfigError
        With those allowed.
    """
    if moment not in MOMENTS:
        raise InvalidConfigError(
            f"moment: {moment!r} is none of {', '.join(MOMENTS)}", field="moment", value=moment
        )


def check_list(product_ids: Any, argument: str) -> None:
    """Raise if something else was given for a list of ids.

    Raises
    ------
    InvalidConfigError
        If it is one text, or an id is no text.
    """
    if isinstance(product_ids, str):
        raise InvalidConfigError(
            f"{argument}: {product_ids!r} is one text; give a list of ids", field=argument
        )
    try:
        "".join(product_ids)
    except TypeError:
        ids = product_ids if isinstance(product_ids, Iterable) else [product_ids]
        bad = next(each for each in ids if not isinstance(each, str))
        raise InvalidConfigError(
            f"{argument}: {bad!r} is no text; give a list of ids, each of them text",
            field=argument,
        ) from None


def check_k(k: int) -> None:
    """Raise if `k` is no list length.

    Raises
    ------
    InvalidConfigError
        If it is below 1 or no whole number.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InvalidConfigError(f"k: {k!r} is not a whole number from 1", field="k", value=k)


@dataclass(frozen=True, eq=False)
class View:
    """The questions of one engine under one policy and one catalogue.

    Parameters
    ----------
    model : Model
    judgement : Judgement
        What was learned, under the policy.
    space : ProductSpace
        The model's products with the catalogue's facts over its own, product by product.
    model_version : str
    """

    model: Model
    judgement: Judgement
    space: ProductSpace
    model_version: str

    @classmethod
    def compiled(
        cls, model: Model, policy: Policy, catalog: Catalog | None, model_version: str
    ) -> Self:
        """Return the view of a model under a policy and a catalogue."""
        judgement = Judgement.under(model.levels, model.substitutes, model.config, policy)
        space = model.space
        if catalog is not None and len(catalog):
            space = space.with_products(catalog.products())
        return cls(model, judgement, space, model_version)

    def with_products(self, changed: Iterable[Product]) -> View:
        """Return the view in which these products are as given; cheap."""
        space = self.space.with_products(changed)
        return View(self.model, self.judgement, space, self.model_version)

    def with_strays(self, product_ids: Iterable[str]) -> View:
        """Return the view in which these ids have numbers too, though nothing is known of them."""
        space = self.space.with_strays(product_ids)
        return View(self.model, self.judgement, space, self.model_version)

    @cached_property
    def rules(self) -> Rules:
        """What decides, laid out for this view's products."""
        return self.judgement.rules(self.space)

    @cached_property
    def packed_rules(self) -> PackedRules:
        """The same for many products of one customer."""
        return PackedRules(self.rules)

    @cached_property
    def is_sensitive(self) -> NDArray[np.bool_]:
        """Whether each product is sensitive, by the catalogue or by the shop's word."""
        policy = self.judgement.policy
        types = [policy.type_rule(name) for name in self.space.types]
        by_type = np.array([rule is not None and rule.sensitive for rule in types] + [False])
        mine = np.fromiter((p.sensitive for p in self.space.products), bool, len(self.space))
        return np.asarray(mine | by_type[self.space.array("type")])

    @cached_property
    def is_shown(self) -> NDArray[np.bool_]:
        """Whether each product may be recommended at all: in stock and not sensitive."""
        return self.space.is_shown() & ~self.is_sensitive

    @cached_property
    def max_per_type(self) -> Ints:
        """How many picks of each type one list may hold, the shop's word first.

        Of a one-per-need type it is one, whatever anybody says.
        """
        learned: list[int] = self.model.substitutes.per_list.tolist()
        most = learned + [1] * (len(self.space.types) - len(learned))
        for num, name in enumerate(self.space.types):
            rule = self.judgement.policy.type_rule(name)
            if rule is not None and rule.max_per_list is not None:
                most[num] = rule.max_per_list
        return np.where(self.rules.is_one_per_need, 1, np.array(most, dtype=np.int64))

    @cached_property
    def keeps_substitutes_out(self) -> NDArray[np.bool_]:
        """Whether owning one of a type keeps the others out: one-per-need, its rule in force."""
        terms = self.rules.type
        return self.rules.is_one_per_need & terms.is_on

    @cached_property
    def popular(self) -> Tier:
        """Every product of the model by what is wanted now."""
        popularity = np.asarray(self.model.demand.popularity, dtype=np.float64)
        nums = np.flatnonzero(popularity > 0)
        return Tier(nums, popularity[nums], POPULAR)

    @cached_property
    def wanted(self) -> Ints:
        """What may be shown and leads whatever the history: as many as a list is chosen from.

        Such a product competes with those that the history speaks for by its intercept, moved by
        demand like theirs.
        """
        chances = self.model.products.next_intercepts.astype(np.float64)
        nums = np.flatnonzero((chances > 0) & self.is_shown[: self.space.n_model])
        scores = self.model.demand.of_next(nums, chances[nums])
        scores = self.model.demand.pulled(nums, scores, scores.max(initial=0.0))
        return nums[np.lexsort((nums, -scores))[:FIRST_LOOK]]

    @cached_property
    def members(self) -> dict[int, Ints]:
        """The products of each type by what is wanted now, most first."""
        popularity = np.asarray(self.model.demand.popularity, dtype=np.float64)
        n = self.space.n_model
        order = np.lexsort((np.arange(n), -popularity))
        kinds = self.space.array("type")[:n][order]
        by_type = np.argsort(kinds, kind="stable")
        starts = np.searchsorted(kinds[by_type], np.arange(len(self.space.types) + 1))
        return {
            num: order[by_type[starts[num] : starts[num + 1]]][:_MEMBERS_BACKED_OFF]
            for num in range(len(self.space.types))
        }

    def knows(self, product_id: str) -> bool:
        """Return whether the model or the catalogue knows a product."""
        return product_id in self.space.nums

    def product(self, product_id: str) -> Product | None:
        """Return what the catalogue says of a product, or None if nothing knows it."""
        num = self.space.nums.get(product_id)
        return None if num is None else self.space.products[num]

    # --- suppression ---

    def decide(
        self, state: PurchaseState, product_ids: Sequence[str], as_of: int
    ) -> list[Decision]:
        """Return the decision about each product for one customer, in the order given."""
        if len(product_ids) >= MANY:
            packed = pack(state)
            found = self.packed_rules.touched(packed, state.customer_id, product_ids, as_of)
            told = {row.product_id: row for row in found}
            return [told.get(each) or unowned(state.customer_id, each) for each in product_ids]
        scopes = CustomerScopes(self.rules, state)
        return [scopes.decide(product_id, as_of) for product_id in product_ids]

    def touched(
        self, packed: PackedState, customer_id: str, product_ids: Sequence[str], as_of: int
    ) -> list[Decision]:
        """Return those decisions about one customer on which what they own may have a say.

        They come in the order given; all others are `unowned`.
        """
        if len(product_ids) >= MANY:
            return self.packed_rules.touched(packed, customer_id, product_ids, as_of)
        asked = touched(self.rules, product_ids, packed.products)
        if not asked:
            return []
        return self.decide(packed.unpacked(customer_id), asked, as_of)

    def suppressions(self, state: PurchaseState, as_of: int) -> list[Suppression]:
        """Return one customer's suppression list, by scope and target."""
        return CustomerScopes(self.rules, state).rows(as_of)

    # --- recommendation ---

    def recommend(
        self,
        state: PurchaseState,
        k: int,
        as_of: int,
        *,
        moment: str = "follow_up",
        anchors: Sequence[str] | None = None,
        exclude: Collection[str] = (),
        include_due: bool = False,
        fill: bool = True,
    ) -> list[Pick]:
        """Return what to show one customer; see `Engine.recommend`.

        Raises
        ------
        InvalidConfigError
            If `k` or `moment` is none.
        """
        check_k(k)
        check_moment(moment)
        if anchors is None:
            anchors = state.newest_order if moment in ABOUT_AN_ORDER else ()
        scopes = CustomerScopes(self.rules, state)
        barred = Barred(
            groups={num for num in scopes.members()[0] if _lasts(scopes.group(num), as_of)},
            types={num for num in scopes.members()[1] if _lasts(scopes.type(num), as_of)},
        )
        barred.products.update(self._known(state.occasions))
        barred.products.update(
            self._known(p for p in state.returned if as_of < scopes.returned(p)[1])
        )
        due = self._due(scopes, as_of) if include_due else []
        history = np.array(sorted(self._known(state.occasions)), dtype=np.int64)
        came = int(self.model.demand.came(state.last_order_at))
        question = Question(self.numbers(anchors), history, due, barred, came)
        return self.answer(question, k, exclude=exclude, fill=fill)

    def complements(self, product_ids: Sequence[str], k: int, *, fill: bool = True) -> list[Pick]:
        """Return what goes with the products of one basket, the same for everyone.

        Raises
        ------
        InvalidConfigError
            If `k` is no list length.
        """
        check_k(k)
        question = Question(self.numbers(product_ids), _NOTHING, (), Barred())
        return self.answer(question, k, fill=fill)

    def numbers(self, product_ids: Iterable[str]) -> Ints:
        """Return the distinct numbers of the products that are known, ascending."""
        return np.array(sorted(set(self._known(product_ids))), dtype=np.int64)

    def answer(
        self, question: Question, k: int, *, exclude: Collection[str] = (), fill: bool = True
    ) -> list[Pick]:
        """Return the list for one question; every way to a list ends here."""
        anchors, barred = question.anchors, question.barred
        away = {*self._known(exclude), *anchors.tolist()}
        ready = [(num, chance) for num, chance in question.due if num not in away]
        barred.products.update(away)
        barred.bar_with_kin(anchors.tolist(), self.space, self.keeps_substitutes_out)
        barred.products.update(self._replaced_by(anchors))
        question = question._replace(due=ready)
        return rank(
            self._tiers(question, k, fill=fill),
            k,
            space=self.space,
            is_shown=self.is_shown,
            barred=barred,
            max_per_type=self.max_per_type,
        )

    def _due(self, scopes: CustomerScopes, as_of: int) -> list[tuple[int, float]]:
        """Return what is owned and no longer suppressed, with its chance of a repurchase."""
        found = []
        for product_id in scopes.state.occasions:
            num = self.space.nums.get(product_id)
            if num is None:
                continue
            decision = scopes.decide(product_id, as_of)
            if not decision.suppress:
                found.append((num, decision.repurchase_probability or 0.0))
        return found

    def _tiers(self, question: Question, k: int, *, fill: bool) -> Iterator[Tier]:
        """Yield candidates, the best founded first; each is worked out only when it is needed."""
        anchors = question.anchors
        if question.due:
            yield self._due_tier(question.due, k)
        learned = self._learned_tier(question, k)
        kept = list(self._kept(learned, question, k)) if fill else []
        yield replace(learned, limit=k - sum(tier.limit or 0 for tier in kept))
        yield from kept
        if fill:
            yield self._new_tier(learned, question.barred, max(1, k // _PLACES_PER_NEW))
            seeds = anchors if len(anchors) else question.history
            yield self._borrowed_tier(seeds)
            yield self._type_tier(seeds)
            yield self.popular

    def _known(self, product_ids: Iterable[str]) -> Iterable[int]:
        nums = self.space.nums
        return (nums[each] for each in product_ids if each in nums)

    def seeds(self, nums: Ints) -> Ints:
        """Return those that the model knows and that may seed."""
        seeds = nums[nums < self.space.n_model]
        return seeds[~self.is_sensitive[seeds]]

    def _due_tier(self, due: Sequence[tuple[int, float]], k: int) -> Tier:
        """Return what has come due, most likely first; it leads, and fills half of the list."""
        nums = np.array([num for num, _ in due], dtype=np.int64)
        chances = np.array([max(chance, 1e-9) for _, chance in due])
        limit = (k + 1) // 2
        return Tier(nums, chances, DUE, because=nums, limit=limit, frees_products=True)

    def _learned_tier(self, question: Question, k: int) -> Tier:
        """Return what goes with the anchors, and what the history says comes next.

        Without anchors, what everybody wants competes too, if the history alone could fill the
        list: a thin one should rather be filled with what goes with the little that is known.
        """
        history, came = question.history, question.came
        anchors, seeds = self.seeds(question.anchors), self.seeds(history)
        if not len(anchors):
            after = self._after(seeds, came, self.wanted, k)
            scores = self.model.demand.pulled(after.nums, after.scores, _highest(after, history))
            return Tier(after.nums, scores, OFTEN_NEXT, because=after.because)
        with_it, after = self._with(anchors), self._after(seeds, came)
        return _blended(with_it, after, _history_scale(with_it, after))

    def highest(self, history: Ints, came: int, k: int) -> float:
        """Return the highest score that a history gives a list of `k` without anchors."""
        return _highest(self._after(self.seeds(history), came, self.wanted, k), history)

    def with_anchors(self, anchors: Ints, history: Ints, came: int) -> tuple[Scored, float]:
        """Return what goes with the anchors, and what the history's scores are multiplied with."""
        with_it = self._with(anchors)
        return with_it, _history_scale(with_it, self._after(history, came))

    def _with(self, anchors: Ints) -> Scored:
        products = self.model.products
        found = products.complement_scores(anchors)
        n_orders = float(products.together_orders[anchors].sum())
        scores = self.model.demand.of_complements(found.nums, found.scores, n_orders)
        return found._replace(scores=scores)

    def _after(self, history: Ints, came: int, wanted: Ints = _NOTHING, least: int = 0) -> Scored:
        found = self.model.products.next_scores(history, wanted, least)
        return found._replace(scores=self.model.demand.of_next(found.nums, found.scores, came))

    def _replaced_by(self, anchors: Ints) -> set[int]:
        """Return what replaces the anchors, by their titles; not what is bought with them."""
        away = set(self.model.likeness.replaced_by(anchors, self.space.products).tolist())
        if away:
            with_it = self.model.products.complement_scores(self.seeds(anchors))
            away.difference_update(with_it.nums[with_it.lift >= 1.0].tolist())
        return away

    def is_plain(self, k: int) -> bool:
        """Return whether all places of a list without anchors are the history's to fill."""
        return self._new_places(k) == 0

    def _new_places(self, k: int) -> int:
        """Return how many places of a list are kept for new products."""
        return math.floor(k * self.model.config.new_share + 1e-9)

    def _kept(self, learned: Tier, question: Question, k: int) -> Iterator[Tier]:
        """Yield what places are kept for behind what was learned.

        New products, where the shop asks for it; and what goes with anchors that have no
        complement of their own yet, or their message would speak of the history only.
        """
        room = self._new_places(k)
        if room:
            yield self._new_tier(learned, question.barred, room)
        if len(question.anchors) and GOES_WITH not in learned.reasons:
            borrowed = self._borrowed_tier(question.anchors)
            room = max(min(math.ceil(_BORROWED_SHARE * k), k - 1 - room), 0)
            yield replace(borrowed, limit=min(room, len(borrowed.nums)))

    def _new_tier(self, learned: Tier, barred: Barred, room: int) -> Tier:
        """Return the new products most alike to what was learned, as many as there is room for."""
        found = self.model.likeness.beside(learned.nums, learned.scores)
        use = self.is_shown[found.nums]
        use[[num in barred.products for num in found.nums.tolist()]] = False
        best = np.flatnonzero(use)
        best = best[np.lexsort((found.nums[best], -found.scores[best]))][:room]
        because = np.asarray(learned.because)[found.because[best]]
        nums, scores = found.nums[best], found.scores[best]
        return Tier(nums, scores, GOES_WITH_TYPE, because=because, limit=len(nums))

    def _borrowed_tier(self, seeds: Ints) -> Tier:
        """Return what goes with the alikes of the seeds, those that are new to the model too."""
        table = self.model.products
        found = self.model.likeness.borrowed(
            seeds[~self.is_sensitive[seeds]],
            self.space.products,
            Pairs(table.together_indptr, table.together_nums, table.together_weights),
            ~self.is_sensitive[: self.space.n_model],
        )
        return Tier(found.nums, found.scores, GOES_WITH_TYPE, because=found.because)

    def _type_tier(self, seeds: Ints) -> Tier:
        """Return popular products of the types that go with the seeds' types."""
        seeds = seeds[~self.is_sensitive[seeds]]
        kinds = self.space.array("type")[seeds]
        n_model_types = self.model.types.n_products
        usable = (kinds >= 0) & (kinds < n_model_types)
        seeds, kinds = seeds[usable], kinds[usable]
        distinct, first = np.unique(kinds, return_index=True)
        scored = self.model.types.complement_scores(distinct)
        popularity = np.asarray(self.model.demand.popularity)
        nums, scores, because = [np.array([], dtype=np.int64)], [np.array([])], [seeds[:0]]
        for place in np.lexsort((scored.nums, -scored.scores))[:_TYPES_BACKED_OFF]:
            members = self.members[int(scored.nums[place])]
            share = popularity[members].astype(np.float64)
            nums.append(members)
            scores.append(scored.scores[place] * share / max(share.sum(), 1e-12))
            seed = seeds[first[np.searchsorted(distinct, scored.because[place])]]
            because.append(np.full(len(members), seed))
        every, found = np.concatenate(scores), np.concatenate(nums)
        use = every > 0
        return Tier(found[use], every[use], GOES_WITH_TYPE, because=np.concatenate(because)[use])


def _lasts(scope: Scope | None, as_of: int) -> bool:
    return scope is not None and as_of < scope.until


def _highest(after: Scored, history: Ints) -> float:
    """Return the highest score of what is not in the history itself; 0 without one."""
    return float(after.scores[~np.isin(after.nums, history)].max(initial=0.0))


def _history_scale(with_it: Scored, after: Scored) -> float:
    """Return the factor that gives the history its share beside the anchors."""
    top = max(after.scores.max(initial=0.0), 1e-300)
    return float(_HISTORY_SHARE * (with_it.scores.max(initial=0.0) or 1.0) / top)


def _blended(with_it: Scored, after: Scored, scale: float) -> Tier:
    """Return one tier of both: each product under the reason that adds more."""
    nums = np.union1d(with_it.nums, after.nums)
    scores, history = np.zeros(len(nums)), np.zeros(len(nums))
    because = np.full(len(nums), -1)
    support = np.full(len(nums), -1)
    lift = np.full(len(nums), np.nan)
    at = np.searchsorted(nums, after.nums)
    history[at] = after.scores * scale
    because[at] = after.because
    at = np.searchsorted(nums, with_it.nums)
    goes = np.zeros(len(nums), dtype=bool)
    goes[at] = with_it.scores >= history[at]
    scores[at] = with_it.scores
    mine = with_it.scores >= history[at]
    because[at[mine]] = with_it.because[mine]
    support[at[mine]] = with_it.support[mine]
    lift[at[mine]] = with_it.lift[mine]
    reasons = np.where(goes, GOES_WITH, OFTEN_NEXT).tolist()
    return Tier(nums, scores + history, reasons, because=because, support=support, lift=lift)
