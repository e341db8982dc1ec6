"""Log lines for machines and for people: one event, one line, on stderr.

A line has the id of the request that it belongs to. It never has the message of an exception
that was not written for people, since that may name a customer, and never a stack of its own
lines: where an error came from is one field.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final

from pydantic_core import to_json

from service.headers import current_request_id
from service.settings import Settings

FIELDS: Final = ("method", "route", "status", "milliseconds", "error", "stack")
"""What a line may have beside time, level, logger, message and request_id."""


def install(settings: Settings) -> None:
    """Log to stderr in the format of the settings; once, however often this is called.

    Our own lines come from ``log_level`` on, other people's from warnings on.
    """
    wanted = settings.log_format
    if wanted == "auto":
        wanted = "text" if sys.stderr.isatty() else "json"
    root = logging.getLogger()
    handlers = [handler for handler in root.handlers if isinstance(handler, _ToStderr)]
    if not handlers:
        handlers = [_ToStderr()]
        root.addHandler(handlers[0])
    handlers[0].setFormatter(_Json() if wanted == "json" else _Text())
    logging.getLogger("personalize").setLevel(settings.log_level.upper())


def stack_of(found: TracebackType | None) -> list[str]:
    """Return where an error was raised, outermost first, without a word of what it said."""
    return [
        f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(found)
    ]


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to whatever stderr is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the members of an event."""
    at = dt.datetime.fromtimestamp(record.created, dt.UTC)
    out: dict[str, Any] = {
        "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage().rstrip(),
        "request_id": getattr(record, "request_id", None) or current_request_id.get(),
    }
    out |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    if record.exc_info and record.exc_info[0] is not None:
        out["error"] = record.exc_info[0].__name__
        out["stack"] = stack_of(record.exc_info[2])
    return {name: value for name, value in out.items() if value is not None}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return to_json(_fields_of(record)).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields_of(record)
        first = [fields.pop(name) for name in ("time", "level", "logger", "message")]
        stack = fields.pop("stack", [])
        rest = [f"{name}={value}" for name, value in fields.items()]
        rest += [f"stack={' < '.join(reversed(stack))}"] if stack else []
        return " ".join([*first, *rest]).replace("\r", "\\r").replace("\n", "\\n")
