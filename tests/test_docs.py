"""What is public is documented: names, commands, options, settings, routes, parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

import personalize as pz
from personalize.cli import app
from personalize.config import RANGES
from personalize.policy import RULES, THRESHOLDS
from service import Settings, create_app

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
ALL = "\n".join(PAGES.values())
COMMANDS = typer.main.get_command(app)


def _commands(group: object, path: tuple[str, ...] = ()) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in getattr(group, "commands", {}).items():
        below = _commands(command, (*path, name))
        found |= below or {" ".join((*path, name)): command}
    return found


def _missing(names: list[str], text: str = ALL) -> list[str]:
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def test_public_names_are_documented() -> None:
    """Every name that `personalize` exports is in the documentation."""
    assert _missing(sorted(pz.__all__)) == []


def test_methods_of_the_engine_are_documented() -> None:
    """Every public method of the engine, the store, orders and the personalizer is documented."""
    owners = (pz.Engine, pz.Store, pz.Orders, pz.Catalog, pz.Personalizer, pz.Policy)
    names = {
        name for owner in owners for name in vars(owner) if callable(getattr(owner, name, None))
    }
    assert _missing(sorted(name for name in names if not name.startswith("_"))) == []


def test_commands_are_documented() -> None:
    """Every command is in docs/command-line.md, with all of its options."""
    page = PAGES["docs/command-line.md"]
    sections = dict(re.findall(r"^## `personalize ([^`]+)`\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    common = sections.pop("...", "")
    commands = _commands(COMMANDS)
    told = {name for title in sections for name in _spread(title)}
    assert sorted(told) == sorted(commands)
    for title, text in sections.items():
        for name in _spread(title):
            options = [option for param in commands[name].params for option in param.opts]  # type: ignore[attr-defined]
            options = [option for option in options if option.startswith("-")]
            assert _missing(options, text + common) == [], name


def _spread(title: str) -> list[str]:
    """Return the commands of a title such as ``models list | use | show``."""
    first, *others = title.split(" | ")
    group = first.rpartition(" ")[0]
    return [first, *(f"{group} {other}".strip() for other in others)]


def test_parameters_are_documented() -> None:
    """docs/python.md gives every engine parameter with its default and its range."""
    config = pz.EngineConfig().to_dict()
    expected = [
        f"| `{name}` | {config[name]:,.10g} | {allowed.low:,.10g} to {allowed.high:,.10g} |"
        for name, allowed in RANGES.items()
    ]
    assert [row for row in expected if row not in PAGES["docs/python.md"]] == []


def test_what_a_policy_may_say_is_documented() -> None:
    """Every policy rule and threshold is in docs/concepts.md."""
    assert _missing([*RULES, *THRESHOLDS], PAGES["docs/concepts.md"]) == []


def test_settings_are_documented() -> None:
    """Every setting of the service is in the documentation, as it stands in the environment."""
    assert _missing([f"PERSONALIZE_{name.upper()}" for name in Settings.model_fields]) == []


def test_routes_are_documented(tmp_path: Path) -> None:
    """Every route is in the documentation, method and path."""
    settings = Settings(store=f"sqlite:///{tmp_path}/shop.db", models=str(tmp_path / "models"))
    paths = create_app(settings).openapi()["paths"]
    routes = [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method in {"get", "put", "post", "delete", "patch"}
    ]
    missing = [
        f"{method} {path}"
        for method, path in routes
        if not any(method in line and path in line for line in ALL.splitlines())
    ]
    assert missing == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of a page names a file that is there."""
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page])
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (folder / link).exists()] == []
