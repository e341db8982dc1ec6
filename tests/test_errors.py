"""One exception tree: what an error is, and what it carries."""

from __future__ import annotations

from pathlib import Path

import pytest

import personalize as pz

PROBLEM = pz.Problem("quantity", "quantity_below_1", 2, ((17, "-1"), (40, "0")), "2 of 90 rows")


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        (pz.InvalidOrdersError, ValueError),
        (pz.InvalidCatalogError, ValueError),
        (pz.InvalidConfigError, ValueError),
        (pz.ArtifactError, pz.PersonalizeError),
        (pz.StoreError, pz.PersonalizeError),
        (pz.UnknownProductError, LookupError),
    ],
)
def test_the_tree(kind: type[Exception], also: type[Exception]) -> None:
    """Every error is a `PersonalizeError`, and what Python would call it besides."""
    assert issubclass(kind, pz.PersonalizeError)
    assert issubclass(kind, also)
    assert str(kind("p")).startswith(("p", "product 'p' is unknown"))


def test_the_warning_is_no_error() -> None:
    """Data that was accepted but changed is a warning for the user."""
    assert issubclass(pz.PersonalizeWarning, UserWarning)
    assert not issubclass(pz.PersonalizeWarning, pz.PersonalizeError)


@pytest.mark.parametrize("kind", [pz.InvalidOrdersError, pz.InvalidCatalogError])
def test_table_errors_carry_their_problems(
    kind: type[pz.InvalidOrdersError] | type[pz.InvalidCatalogError],
) -> None:
    """All problems of a table travel with the error; without any there are none."""
    assert kind("orders: refused", (PROBLEM,)).problems == (PROBLEM,)
    assert kind("orders: refused").problems == ()


def test_a_problem_reads_as_its_message() -> None:
    """Printing a problem tells the whole story."""
    assert str(PROBLEM) == "2 of 90 rows"


def test_config_errors_carry_field_and_value() -> None:
    """Who shows a form can mark the field at fault."""
    error = pz.InvalidConfigError("seed: -1 is none", field="seed", value=-1)
    assert (error.field, error.value, str(error)) == ("seed", -1, "seed: -1 is none")
    bare = pz.InvalidConfigError("no")
    assert (bare.field, bare.value) == (None, None)


def test_artifact_and_store_errors_say_where() -> None:
    """The path of an artifact, the address of a store."""
    assert pz.ArtifactError("damaged", path=Path("m")).path == Path("m")
    assert pz.StoreError("gone", url="sqlite:///s.db").url == "sqlite:///s.db"
    assert (pz.ArtifactError("x").path, pz.StoreError("x").url) == (None, None)


def test_unknown_products_are_named() -> None:
    """An unknown product is named, with what to do about it."""
    error = pz.UnknownProductError("p1")
    assert error.product_id == "p1"
    assert "neither the model nor the catalogue has it; add it" in str(error)
