"""Questions against the live store: which facts they see, and when a change is in force."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import personalize as pz
from personalize.live import REBUILD_ABOVE
from personalize.view import MANY

DAY = 86_400_000_000
NOW = pz.to_micros("2026-11-22T12:00:00Z")
COAT, COAT_2, TROUSERS, TIE, SOCKS = "coat-50", "coat-52", "trousers", "tie", "socks"


@pytest.fixture(scope="module")
def engine() -> pz.Engine:
    """Return an engine that knows coats (two variants), trousers and ties, bought together."""
    rows = [
        (f"t{n}", f"learned-{n}", product_id, dt.datetime(2026, 1 + n, 1, tzinfo=dt.UTC), 1)
        for n in range(8)
        for product_id in ((COAT if n % 2 else COAT_2), TROUSERS, TIE)
    ]
    columns = ["order_id", "customer_id", "product_id", "ordered_at", "quantity"]
    products = [
        pz.Product(COAT, "coat", product_type="Coats"),
        pz.Product(COAT_2, "coat", product_type="Coats"),
        pz.Product(TROUSERS, product_type="Trousers"),
        pz.Product(TIE, product_type="Ties", title="as the model knew it"),
    ]
    orders = pz.Orders.from_frame(pd.DataFrame(rows, columns=columns))
    return pz.Engine.fit(orders, pz.Catalog.from_products(products))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[pz.Store]:
    """Return an empty store."""
    with pz.Store.open(f"sqlite:///{tmp_path}/shop.db") as opened:
        yield opened


@pytest.fixture
def live(store: pz.Store, engine: pz.Engine) -> pz.Personalizer:
    """Return a personalizer whose clock stands still, and which never looks by itself."""
    return pz.Personalizer(store, engine, clock=lambda: NOW, refresh_seconds=3600)


def put(
    store: pz.Store, order_id: str, customer_id: str | None, *products: str, **given: Any
) -> None:
    """Store an order of one each, placed a day ago, or `at`."""
    at = given.get("at", NOW - DAY)
    returned, gift = given.get("returned_at"), given.get("gift", False)
    lines = tuple(
        pz.SnapshotLine(p, 1, 0 if returned is None else 1, returned or pz.MISSING, gift=gift)
        for p in products
    )
    assert store.put_order(pz.OrderSnapshot(order_id, customer_id, at, NOW, lines=lines))


def test_answers_are_the_engines(store: pz.Store, live: pz.Personalizer) -> None:
    """The store's lines under the engine's rule: the same as asking the engine with orders."""
    put(store, "o-1", "c-1", COAT, SOCKS)
    put(store, "o-2", "c-2", TIE, at=NOW - 3 * DAY)
    products = [COAT, COAT_2, TROUSERS, TIE, SOCKS, "never-heard-of"]
    orders, moment = store.orders(), pz.to_datetime(NOW)
    for customer_id in ("c-1", "c-2", "c-3"):
        state = pz.PurchaseState.from_orders(orders, customer_id, moment)
        expected = live.in_force.engine.decide(state, products, moment)
        assert live.decide(customer_id, products) == expected
        assert live.check([(customer_id, p) for p in products]) == expected
        assert live.decide(customer_id, products, as_of=NOW) == expected
    listed = live.suppressions("c-1")
    table = live.in_force.engine.suppress(orders, ["c-1"], moment)
    assert [row.target_id for row in listed] == table["target_id"].tolist()
    picks = live.recommend("c-2", 3, moment="ad")
    table = live.in_force.engine.recommend(orders, ["c-2"], 3, moment, moment="ad")
    assert [pick.product_id for pick in picks] == table["product_id"].tolist()


def test_pairs_keep_their_order(store: pz.Store, live: pz.Personalizer) -> None:
    """Pairs of several customers, mixed and repeated, are answered as they were asked."""
    put(store, "o-1", "c-1", COAT)
    put(store, "o-2", "c-2", TIE)
    pairs = [("c-2", TIE), ("c-1", COAT), ("c-2", COAT), ("c-1", TIE), ("c-2", TIE)]
    answer = live.check(iter(pairs))
    assert [(row.customer_id, row.product_id) for row in answer] == pairs
    assert [row.suppress for row in answer] == [True, True, False, False, True]
    assert live.check([]) == []


def test_answers_name_their_model(live: pz.Personalizer, engine: pz.Engine) -> None:
    """Every answer names the model of the view that answered, and what its catalogue knows."""
    for answer in (
        live.decide("c", [COAT]), live.check([("c", COAT)]), live.suppressions("c"),
        live.recommend("c"), live.complements(COAT),
    ):  # fmt: skip
        assert answer.model_version == engine.model_version == live.model_version
        known = answer.product(TIE)
        assert known is not None
        assert known.title == "as the model knew it"
        assert answer.product("never-heard-of") is None
    assert live.model_as_of == engine.as_of


def test_explicit_moment_looks_only_at_facts_before_it(
    store: pz.Store, live: pz.Personalizer
) -> None:
    """With `as_of` an order or a return at or after it has not happened."""
    put(store, "o-1", "c-1", COAT, at=NOW - DAY, returned_at=NOW - 2)
    as_of = {"bought": NOW - DAY, "owned": NOW - DAY + 1, "back": NOW - 2, "returned": NOW - 1}
    reasons = {name: live.decide("c-1", [COAT], at)[0].reason for name, at in as_of.items()}
    assert reasons == {
        "bought": "not_suppressed", "owned": "purchased", "back": "purchased",
        "returned": "returned",
    }  # fmt: skip
    assert live.decide("c-1", [COAT])[0].reason == "returned"
    assert live.decide("c-1", [COAT], pz.to_datetime(NOW - DAY + 1))[0].reason == "purchased"


@pytest.mark.parametrize(
    ("units", "reasons"),
    [
        ({5: -2, 8: 1}, {5: "purchased", 6: "returned", 8: "returned", 9: "purchased"}),
        ({5: -1, 20: -1}, {6: "purchased", 10: "purchased", 20: "purchased", 21: "returned"}),
        ({5: -1, 7: -1, 20: -1}, {6: "purchased", 10: "returned", 21: "returned"}),
    ],
)
def test_later_adjustments_do_not_change_the_past(
    store: pz.Store, live: pz.Personalizer, units: dict[int, int], reasons: dict[int, str]
) -> None:
    """Units returned, or taken back, at or after `as_of` have not happened, in every question."""
    start = NOW - 30 * DAY
    for order_id, customer_id in (("o-1", "c-1"), ("o-guest", None)):
        coats = (pz.SnapshotLine(COAT, 2),)
        store.put_order(pz.OrderSnapshot(order_id, customer_id, start, start, lines=coats))
        for day, quantity in units.items():
            change = pz.Adjustment(order_id, f"{day}", start + day * DAY, ((COAT, quantity),))
            store.adjust(change)
    for day, reason in reasons.items():
        at = start + day * DAY
        assert live.decide("c-1", [COAT], at)[0].reason == reason
        assert live.check([("c-1", COAT)], at)[0].reason == reason
        listed = {row.target_id: row.reason for row in live.suppressions("c-1", at)}
        assert listed[COAT] == reason
        for order_id in ("o-1", "o-guest"):
            picks = live.recommend(as_of=at, order_id=order_id, moment="follow_up")
            anchors = {pick.because_product_id for pick in picks} - {None}
            assert anchors == ({COAT} if reason == "purchased" else set())
    assert live.decide("c-1", [COAT])[0].reason == reasons[max(reasons)]


def test_order_dated_ahead_counts_now(store: pz.Store, live: pz.Personalizer) -> None:
    """Without `as_of` all up to the customer's newest order counts; with it, nothing ahead."""
    put(store, "o-1", "c-1", TIE, at=NOW + 30 * DAY)
    put(store, "o-2", "c-1", COAT, at=NOW + 60 * DAY)
    decisions = live.decide("c-1", [TIE, COAT])
    assert [row.suppress for row in decisions] == [True, True]
    assert decisions[1].since == NOW + 60 * DAY
    assert {row.target_id for row in live.suppressions("c-1")} >= {TIE, COAT, "coat"}
    assert live.check([("c-1", COAT)])[0].suppress is True
    assert [row.suppress for row in live.decide("c-1", [TIE, COAT], NOW)] == [False, False]
    assert [row.suppress for row in live.decide("c-2", [TIE])] == [False]


def test_ends_are_compared_with_now(store: pz.Store, engine: pz.Engine) -> None:
    """An order dated ahead does not move the present: what has ended by now has ended."""
    store.put_policy(pz.Policy.from_dict({"types": {"Ties": {"cooldown_days": 10}}}))
    live = pz.Personalizer(store, engine, clock=lambda: NOW)
    put(store, "o-1", "c-1", TIE, at=NOW - 9 * DAY)
    put(store, "o-2", "c-1", SOCKS, at=NOW + 5 * DAY)
    decision = live.decide("c-1", [TIE])[0]
    assert (decision.suppress, decision.until) == (True, NOW + DAY)
    later = pz.Personalizer(store, engine, clock=lambda: NOW + DAY)
    assert later.decide("c-1", [TIE])[0].suppress is False


def test_return_dated_beyond_everything_has_not_happened(
    store: pz.Store, live: pz.Personalizer
) -> None:
    """A return after both now and the newest order is still to come; up to the order it counts."""
    put(store, "o-1", "c-1", TIE, at=NOW - DAY, returned_at=NOW + DAY)
    assert live.decide("c-1", [TIE])[0].reason == "purchased"
    put(store, "o-2", "c-1", SOCKS, at=NOW + DAY)
    assert live.decide("c-1", [TIE])[0].reason == "returned"


def test_many_products_are_decided_as_things_are_now(
    store: pz.Store, live: pz.Personalizer
) -> None:
    """Orders, returns and the catalogue count at once, for a customer asked about before too."""
    products = [COAT, COAT_2, TROUSERS, TIE, SOCKS, *(f"other-{n}" for n in range(MANY))]

    def agree() -> list[str]:
        for _ in range(3):
            told = live.touched("c-1", products)
            assert told == [
                row for row in live.decide("c-1", products)
                if row.product_id in {each.product_id for each in told}
            ]  # fmt: skip
        return [row.product_id for row in told if row.suppress]

    assert agree() == []
    put(store, "o-1", "c-1", COAT)
    assert agree() == [COAT, COAT_2]
    put(store, "o-2", "c-1", SOCKS, returned_at=NOW + DAY)  # a return that has not happened
    assert agree() == [COAT, COAT_2, SOCKS]
    store.put_products([pz.Product("other-3", "coat", product_type="Coats")])
    live.refresh()
    assert agree() == [COAT, COAT_2, SOCKS, "other-3"]
    store.delete_order("o-1", NOW + 1)
    assert agree() == [SOCKS]


def test_one_text_is_no_list_of_products(live: pz.Personalizer) -> None:
    """Letters are no products."""
    with pytest.raises(pz.InvalidConfigError, match="is one text; give a list of ids"):
        live.decide("c-1", COAT)


@pytest.mark.parametrize("n", [1, MANY])
@pytest.mark.parametrize("bad", [5, None, b"tie", ["tie"]])
def test_ids_are_texts(live: pz.Personalizer, n: int, bad: object) -> None:
    """However many are asked about, what is no text is named."""
    with pytest.raises(pz.InvalidConfigError, match=re.escape(f"product_ids: {bad!r} is no text")):
        live.touched("c-1", [COAT] * n + [bad])  # type: ignore[list-item]


def test_touched_in_the_past(store: pz.Store, live: pz.Personalizer) -> None:
    """Of a moment of the past too, only what purchases may have a say about is told."""
    put(store, "o-1", "c-1", COAT)
    assert [row.product_id for row in live.touched("c-1", [COAT_2, TIE], NOW)] == [COAT_2]
    assert live.touched("c-1", [COAT_2, TIE], NOW - 2 * DAY) == []


def test_clock_may_speak_in_datetimes(store: pz.Store, engine: pz.Engine) -> None:
    """The clock returns a moment or microseconds; by default it is the machine's."""
    live = pz.Personalizer(store, engine, clock=lambda: "2026-11-22T12:00:00Z")
    assert live.now() == NOW
    before = time.time_ns() // 1000
    assert before <= pz.Personalizer(store).now() <= time.time_ns() // 1000


def test_no_moment_is_an_error(live: pz.Personalizer) -> None:
    """What is no moment is refused, not guessed."""
    with pytest.raises(pz.InvalidConfigError, match="'yesterday' is no moment"):
        live.decide("c-1", [COAT], "yesterday")


def test_without_a_model_nothing_is_answered(store: pz.Store, engine: pz.Engine) -> None:
    """Every question raises until `use`, and again after the engine is taken away."""
    live = pz.Personalizer(store)
    asked = (
        lambda: live.decide("c", [COAT]), lambda: live.check([]), lambda: live.suppressions("c"),
        live.recommend, lambda: live.complements(COAT),
    )  # fmt: skip
    for ask in asked:
        with pytest.raises(pz.ArtifactError, match=r"there is none yet.*personalize train"):
            ask()
    live.refresh()
    assert (live.model_version, live.model_as_of) == (None, None)
    live.use(engine)
    assert live.decide("c", [COAT]).model_version == engine.model_version
    live.use(None)
    assert live.model_version is None


def test_recommendation_about_an_order(store: pz.Store, live: pz.Personalizer) -> None:
    """Anchors are what was bought in it for the customer; the customer comes with the order."""
    put(store, "o-1", "c-1", COAT)
    picks = live.recommend(order_id="o-1", moment="order_confirmation", fill=False)
    assert {pick.product_id for pick in picks} == {TROUSERS, TIE}
    assert {pick.because_product_id for pick in picks} == {COAT}
    again = live.recommend("c-1", order_id="o-1", moment="order_confirmation", fill=False)
    assert again == picks
    put(store, "o-2", "c-1", TIE)
    picks = live.recommend(order_id="o-1", moment="order_confirmation", fill=False)
    assert {pick.product_id for pick in picks} == {TROUSERS}


def test_recommendation_about_a_guests_order(store: pz.Store, live: pz.Personalizer) -> None:
    """A guest has no history but this order: its products, their variants too, do not come."""
    put(store, "o-1", None, COAT)
    picks = live.recommend(order_id="o-1", moment="order_confirmation")
    assert {pick.product_id for pick in picks} == {TROUSERS, TIE}


@pytest.mark.parametrize("line", [{"gift": True}, {"returned_at": NOW - 1}])
def test_gifts_and_returns_are_no_anchors(
    store: pz.Store, live: pz.Personalizer, line: dict[str, Any]
) -> None:
    """What was bought for somebody else or went back seeds nothing, and is not shown either."""
    put(store, "o-1", None, COAT, **line)
    picks = live.recommend(order_id="o-1", moment="order_confirmation", k=100)
    assert COAT not in {pick.product_id for pick in picks}
    assert not {pick.because_product_id for pick in picks} - {None}


def test_unknown_orders_are_errors(store: pz.Store, live: pz.Personalizer) -> None:
    """An order never seen, of somebody else, of a guest, deleted, or not yet placed."""
    put(store, "o-1", "c-1", COAT, at=NOW + DAY)
    put(store, "o-guest", None, COAT)
    put(store, "o-deleted", "c-1", COAT)
    store.delete_order("o-deleted", NOW + DAY)
    for asked in (
        {"order_id": "never-seen"},
        {"order_id": "o-1", "customer_id": "c-2"},
        {"order_id": "o-guest", "customer_id": "c-1"},
        {"order_id": "o-deleted"},
        {"order_id": "o-1", "as_of": NOW},
    ):
        with pytest.raises(pz.UnknownOrderError, match="is unknown, or of another") as caught:
            live.recommend(**asked)  # type: ignore[arg-type]
        assert isinstance(caught.value, LookupError)
        assert caught.value.order_id == asked["order_id"]
    assert live.recommend(order_id="o-1", moment="shipped")


def test_nobody_gets_what_is_wanted_now(live: pz.Personalizer) -> None:
    """Without customer and anchors there is popularity alone."""
    assert {pick.reason for pick in live.recommend(k=2)} == {"popular"}
    assert live.recommend(fill=False) == []


def test_unknown_product_has_no_complements(live: pz.Personalizer) -> None:
    """Neither the model nor the catalogue knows it."""
    with pytest.raises(pz.UnknownProductError, match="'never-heard-of' is unknown"):
        live.complements("never-heard-of")
    picks = live.complements(COAT, 1, fill=False)
    assert len(picks) == 1
    assert COAT_2 not in {pick.product_id for pick in picks}


def test_store_catalogue_is_the_truth(store: pz.Store, live: pz.Personalizer) -> None:
    """The store's product replaces the artifact's as a whole; others stay as they were."""
    tag = live.in_force.tag
    store.put_products([pz.Product(TIE, availability="out_of_stock"), pz.Product("new")])
    assert live.in_force.tag == tag
    live.refresh()
    assert live.in_force.tag != tag
    assert live.in_force.catalog_revision == store.catalog_revision()
    answer = live.complements(COAT)
    assert TIE not in {pick.product_id for pick in answer}
    assert answer.product(TIE) == pz.Product(TIE, availability="out_of_stock")
    assert answer.product(TROUSERS) == pz.Product(TROUSERS, product_type="Trousers")
    assert live.complements("new").product("new") == pz.Product("new")
    other = pz.Personalizer(store, live.in_force.engine)
    assert other.complements(COAT) == live.complements(COAT)


def test_policy_is_put_in_force(store: pz.Store, live: pz.Personalizer) -> None:
    """A new policy counts from the next look on, with the catalogue as it is by then."""
    put(store, "o-1", "c-1", COAT)
    store.put_products([pz.Product("new")])
    version = store.put_policy(pz.Policy.from_dict({"rules": {"purchased": False}}))
    assert live.decide("c-1", [COAT])[0].reason == "purchased"
    live.refresh()
    assert live.in_force.policy_version == version
    assert live.decide("c-1", [COAT])[0].reason == "purchased_variant"
    assert live.complements("new").product("new") == pz.Product("new")


def test_view_is_looked_over_by_itself(store: pz.Store, engine: pz.Engine) -> None:
    """A question later than the set time finds changes without being told."""
    live = pz.Personalizer(store, engine, refresh_seconds=0.05)
    store.put_products([pz.Product(TIE, availability="out_of_stock")])
    end = time.monotonic() + 5
    while TIE in {pick.product_id for pick in live.complements(COAT)}:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_no_look_without_need(
    store: pz.Store, engine: pz.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the set time no question asks the store for changes, and none compiles a view."""
    live = pz.Personalizer(store, engine, refresh_seconds=3600)
    view = live.in_force.view
    monkeypatch.setattr(store, "policy", lambda: pytest.fail("it looked"))
    monkeypatch.setattr(store, "catalog_revision", lambda: pytest.fail("it looked"))
    live.decide("c", [COAT])
    assert live.in_force.view is view


def test_unchanged_store_keeps_the_view(live: pz.Personalizer) -> None:
    """A look that finds nothing new changes nothing."""
    before = live.in_force
    live.refresh()
    assert live.in_force is before


def test_store_put_back_to_an_older_state(store: pz.Store, live: pz.Personalizer) -> None:
    """A revision from before what is in force means another store: all is laid out anew."""
    before = live.in_force
    live._current = type(before)(before.engine, before.view, 0, 99)
    live.refresh()
    assert live.in_force.catalog_revision == 0


def test_many_changes_at_once(
    store: pz.Store, live: pz.Personalizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole catalogue that changed is compiled anew, with the same result."""
    monkeypatch.setattr("personalize.live.REBUILD_ABOVE", 1)
    assert REBUILD_ABOVE > 1
    store.put_products([pz.Product("a"), pz.Product("b"), pz.Product(TIE, title="new")])
    live.refresh()
    assert live.in_force.catalog_revision == 1
    known = live.complements(COAT).product(TIE)
    assert known == pz.Product(TIE, title="new")


def test_engine_is_swapped_live(store: pz.Store, engine: pz.Engine) -> None:
    """`use` takes effect with the next question, under the policy and catalogue of the store."""
    live = pz.Personalizer(store, engine)
    store.put_products([pz.Product(TIE, title="of the store")])
    other = pz.Engine(engine.model, "another")
    live.use(other)
    answer = live.decide("c", [COAT])
    assert answer.model_version == "another"
    assert answer.product(TIE) == pz.Product(TIE, title="of the store")


def test_failed_swap_changes_nothing(store: pz.Store, engine: pz.Engine) -> None:
    """If the store is out of reach while an engine is swapped in, the one before stays."""
    live = pz.Personalizer(store, engine, refresh_seconds=3600)
    before = live.in_force
    store.close()
    with pytest.raises(pz.StoreError, match="it is closed"):
        live.use(pz.Engine(engine.model, "another"))
    with pytest.raises(pz.StoreError, match="it is closed"):
        live.refresh()
    assert live.in_force is before


def test_nobody_waits_for_a_look(
    store: pz.Store, engine: pz.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread looks for changes the others are answered from the view before."""
    live = pz.Personalizer(store, engine, refresh_seconds=0.0)
    looking, go_on = threading.Event(), threading.Event()
    policy = store.policy

    def slowly() -> Any:
        looking.set()
        assert go_on.wait(10)
        return policy()

    monkeypatch.setattr(store, "policy", slowly)
    thread = threading.Thread(target=live.decide, args=("c", [COAT]))
    thread.start()
    try:
        assert looking.wait(10)
        assert live.decide("c", [COAT]).model_version == engine.model_version
    finally:
        go_on.set()
        thread.join()


def test_threads_see_whole_views_only(store: pz.Store, engine: pz.Engine) -> None:
    """Answers of many threads during swaps each come from one view: its version, its products."""
    live = pz.Personalizer(store, engine, refresh_seconds=0.0)
    engines = [engine, pz.Engine(engine.model, "another")]
    put(store, "o-1", "c-1", COAT)
    wrong: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = live.decide("c-1", [COAT, TIE])
            if answer.model_version not in (engine.model_version, "another"):
                wrong.append(answer.model_version)
            if [row.suppress for row in answer] != [True, False]:
                wrong.append(list(answer))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        live.use(engines[n % 2])
        store.put_products([pz.Product(TIE, price=float(n))])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


histories = st.lists(
    st.tuples(
        st.sampled_from(["c-1", "c-2", None]),
        st.lists(st.sampled_from([COAT, COAT_2, TROUSERS, TIE, SOCKS]), min_size=1, max_size=3),
        st.integers(-400, 3),
        st.none() | st.integers(0, 60),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(history=histories, as_of=st.integers(-400, 10))
def test_store_and_table_agree(
    tmp_path_factory: pytest.TempPathFactory,
    engine: pz.Engine,
    history: Sequence[tuple[str | None, list[str], int, int | None, bool]],
    as_of: int,
) -> None:
    """On any history an explicit moment gives what the engine gives on the store's order table."""
    products = [COAT, COAT_2, TROUSERS, TIE, SOCKS]
    moment = NOW + as_of * DAY
    folder = tmp_path_factory.mktemp("any")
    with pz.Store.open(f"sqlite:///{folder}/shop.db") as store:
        for n, (customer_id, bought, day, back, gift) in enumerate(history):
            at = NOW + day * DAY
            returned_at = None if back is None else at + back * DAY
            put(store, f"o-{n}", customer_id, *bought, at=at, returned_at=returned_at, gift=gift)
        live = pz.Personalizer(store, engine, clock=lambda: NOW)
        orders = store.orders()
        for customer_id in ("c-1", "c-2"):
            state = pz.PurchaseState.from_orders(orders, customer_id, pz.to_datetime(moment))
            expected = engine.decide(state, products, pz.to_datetime(moment))
            assert live.decide(customer_id, products, moment) == expected
            shown = {pick.product_id for pick in live.recommend(customer_id, 10, moment)}
            assert not shown & {row.product_id for row in expected if row.suppress}
