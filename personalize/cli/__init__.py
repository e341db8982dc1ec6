"""`personalize ...`: train, ask, choose a model, fill a store, give out keys.

::

    training.py retraining.py refreshing.py
    asking.py evaluation.py
    models.py keys.py stores.py                 the commands
    options.py reading.py policies.py           what they share: options, files
    console.py wording.py present.py            the terminal, its words, the clock

Exit codes: 0 done, 1 it could not be done (one line says why and what to do, or one for each of
several problems), 2 asked wrongly.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from personalize.cli import (
    asking,
    evaluation,
    keys,
    models,
    refreshing,
    retraining,
    stores,
    training,
)
from personalize.cli.console import fail, say, tell, warnings_told
from personalize.cli.options import spread
from personalize.cli.wording import asked_wrongly, error_lines
from personalize.errors import PersonalizeError
from personalize.version import __version__

app = typer.Typer(
    name="personalize",
    help="Suppress what customers bought, and complement it, the same way in every channel.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("train")(training.train)
app.command("retrain")(retraining.retrain)
app.command("refresh-demand")(refreshing.refresh_demand)
app.command("evaluate")(evaluation.evaluate_)
app.command("recommend")(asking.recommend)
app.command("suppress")(asking.suppress)
app.add_typer(models.app, name="models")
app.command("import")(training.import_)
app.add_typer(keys.app, name="keys")
app.add_typer(stores.app, name="store")


def _tell_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Stand for the options before a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given in [[group.name] for group in app.registered_groups]:
        given.append("--help")
    try:
        with warnings_told():
            code = app(spread(given), prog_name="personalize", standalone_mode=False)
    except typer.TyperException as error:
        asked = getattr(getattr(error, "ctx", None), "command_path", "personalize")
        fail(
            f"{asked_wrongly(error.format_message())}; see {asked} --help".replace(
                ".; see", "; see"
            )
        )
        return error.exit_code
    except PersonalizeError as error:
        first, *others = error_lines(error)
        fail(first)
        for line in others:
            tell(line)
        return 1
    except OSError as error:
        fail(f"{error}; check that the place exists, can be written to and has room")
        return 1
    except Exception as error:  # noqa: BLE001 - what no rule foresaw is a line too, for cron's mail
        if os.environ.get("PERSONALIZE_DEBUG") == "1":
            traceback.print_exc()
        seen = " ".join(f"{type(error).__name__}: {error}".split())
        fail(f"{seen}; this is a fault of ours: report it with what PERSONALIZE_DEBUG=1 adds")
        return 1
    return code if isinstance(code, int) else 0
