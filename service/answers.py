"""How an answer is written: straight from the library's rows to bytes, no model between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import Response

import personalize as pz

_FIRST: Final = pz.to_micros("0001-01-01")
_LAST: Final = pz.to_micros("9999-12-31T23:59:59.999999")
_NO_STORE: Final = {"Cache-Control": "no-store"}
_NOTHING: Final = pz.Product("")
_FREE_DECISION: Final = pz.unowned("", "")
_FREE_REASON: Final = _FREE_DECISION.reason
_FREE_JSON: Final = to_json(_FREE_DECISION._asdict()).partition(b'"product_id":""')[2]
"""How a decision about a product that is not owned ends: nearly all of them do."""
_SHOWN: Final = _FREE_JSON.replace(b"null}", b"%b}")
"""The same of one that is owned, and due: with its chance to be bought again."""
_REST: Final = (
    b',"suppress":%b,"reason":"%b","since":%b,"until":%b,"basis":%b,"repurchase_probability":%b}'
)
"""How a decision goes on behind its two ids; its words are ours, and need no escapes."""
_MANY_BEGIN: Final = b'{"model_version":%b,"decisions":['
_MANY_END: Final = b"]}"


def reply(
    content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] = _NO_STORE
) -> Response:
    """Return a JSON response; nobody may keep it unless `headers` says so."""
    return Response(to_json(content), status, headers, media_type="application/json")


def moment(micros: int | None) -> str | None:
    """Return a moment as RFC 3339 text; what lies outside the years 1 to 9999 is drawn in."""
    return None if micros is None else pz.to_rfc3339(min(max(micros, _FIRST), _LAST))


def json_headers(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of `written`, as bytes."""
    return [
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(content)),
        (b"content-type", b"application/json"),
    ]


def written(content: bytes) -> Response:
    """Return JSON text as a response; nobody may keep it."""
    return Response(content, 200, _NO_STORE, media_type="application/json")


def one(decided: pz.Answer[pz.Decision]) -> bytes:
    """Return the JSON text of a single decision."""
    return check_one(*decided[0][:2], decided)


def many(decided: pz.Answer[pz.Decision]) -> bytes:
    """Return the JSON text of decisions, in their order."""
    begin, rows = _MANY_BEGIN % to_json(decided.model_version), map(_decision, decided)
    return begin + b",".join(rows) + _MANY_END


def check_one(customer_id: str, product_id: str, touched: pz.Answer[pz.Decision]) -> bytes:
    """Return what `one` does; without a decision the product is nothing like what is owned."""
    return b'{"model_version":%b,"customer_id":%b,"product_id":%b%b' % (
        to_json(touched.model_version),
        to_json(customer_id),
        to_json(product_id),
        _rest(touched[0]) if touched else _FREE_JSON,
    )


def check(customer_id: str, product_ids: Sequence[str], touched: pz.Answer[pz.Decision]) -> bytes:
    """Return what `many` does of one customer's decisions, those that are left out included."""
    # All ids are written at once and taken apart: where there is no backslash, no quotation mark is
    # part of an id.
    joined = to_json(product_ids)
    if b"\\" in joined:
        ids = [to_json(product_id)[1:-1] for product_id in product_ids]
    else:
        ids = joined[2:-2].split(b'","')
    begin = b'{"customer_id":%b,"product_id":"' % to_json(customer_id)
    end = b'"' + _FREE_JSON
    between = end + b"," + begin
    rows: list[bytes] = []
    place = 0
    for row in touched:  # they come in the order of `product_ids`
        start, place = place, product_ids.index(row.product_id, place)
        if start < place:
            rows.append(begin + between.join(ids[start:place]) + end)
        rows.append(begin + ids[place] + b'"' + _rest(row))
        place += 1
    if place < len(ids):
        rows.append(begin + between.join(ids[place:]) + end)
    # The whole is copied once, not three times.
    rows[0] = _MANY_BEGIN % to_json(touched.model_version) + rows[0]
    rows[-1] += _MANY_END
    return b",".join(rows)


def one_degraded(decided: pz.Answer[pz.Decision]) -> bytes:
    """Return the JSON text of a single decision that was made without the store."""
    return to_json({"model_version": decided.model_version, **_degraded(decided[0])})


def many_degraded(decided: pz.Answer[pz.Decision]) -> bytes:
    """Return the JSON text of decisions that were made without the store."""
    rows = [_degraded(row) for row in decided]
    return to_json({"model_version": decided.model_version, "degraded": True, "decisions": rows})


def _degraded(row: pz.Decision) -> dict[str, Any]:
    return {**row._asdict(), "until": moment(row.until), "degraded": True}


def _decision(row: pz.Decision) -> bytes:
    return b'{"customer_id":%b,"product_id":%b%b' % (
        to_json(row.customer_id),
        to_json(row.product_id),
        _rest(row),
    )


def _rest(row: pz.Decision) -> bytes:
    """Return a decision behind its two ids."""
    _, _, suppress, reason, since, until, basis, chance = row
    if not suppress and reason == _FREE_REASON:
        return _FREE_JSON if chance is None else _SHOWN % to_json(chance)
    return _REST % (
        b"true" if suppress else b"false",
        reason.encode(),
        _told(since),
        _told(until),
        b"null" if basis is None else b'"%b"' % basis.encode(),
        b"null" if chance is None else to_json(chance),
    )


def _told(micros: int | None) -> bytes:
    return b"null" if micros is None else b'"%b"' % str(moment(micros)).encode()


def suppression(row: pz.Suppression) -> dict[str, Any]:
    """Return one row of the suppression list as JSON; whose list it is, the page says."""
    out = row._asdict()
    del out["customer_id"]
    out["since"], out["until"] = moment(row.since), moment(row.until)
    return out


def items(picks: pz.Answer[pz.Pick], *, evidence: bool = False) -> list[dict[str, Any]]:
    """Return picks as JSON, each with what the catalogue that answered knows of it."""
    return [_item(pick, picks.product(pick.product_id) or _NOTHING, evidence) for pick in picks]


def _item(pick: pz.Pick, product: pz.Product, evidence: bool) -> dict[str, Any]:
    out = {
        "product_id": pick.product_id,
        "rank": pick.rank,
        "score": pick.score,
        "reason": pick.reason,
        "because_product_id": pick.because_product_id,
        "title": product.title,
        "link": product.link,
        "image_link": product.image_link,
        "price": product.price,
        "currency": product.currency,
    }
    if evidence:
        out.update(support=pick.support, lift=pick.lift)
    return out


def order(stored: pz.StoredOrder) -> dict[str, Any]:
    """Return an order as it stands as JSON."""
    return {
        **stored._asdict(),
        "ordered_at": moment(stored.ordered_at),
        "updated_at": moment(stored.updated_at),
        "lines": [_order_line(line) for line in stored.lines],
    }


def _order_line(line: pz.StoredLine) -> dict[str, Any]:
    is_returned = line.returned_quantity > 0
    return {**line._asdict(), "returned_at": moment(line.returned_at) if is_returned else None}


def batch(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what became of a batch: counts, and one result per line."""
    results = sorted(lines, key=lambda line: int(line["line"]))
    n_applied = sum(line["applied"] for line in results)
    n_rejected = sum("problem" in line for line in results)
    return {
        "n_applied": n_applied,
        "n_stale": len(results) - n_applied - n_rejected,
        "n_rejected": n_rejected,
        "results": results,
    }
