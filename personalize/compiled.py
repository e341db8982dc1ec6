"""Loops compiled by numba on their first call, and only then.

Importing numba takes a third of a second and 140 MB, of which workers share 80: too much for a
command that asks about one product. So no module imports numba; a loop is wrapped in `compiled`,
and the first call imports and compiles it. The machine code is cached on disk where a folder can be
written.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import types
from collections.abc import Callable, Iterable
from pickle import UnpicklingError  # noqa: TID251 - the name of an error, nothing is unpickled
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

log = logging.getLogger("personalize.compiled")

_CACHE_ERRORS: Final = (EOFError, OSError, UnpicklingError)
"""What numba raises where a file of its cache is cut off, or cannot be written."""

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function on arrays and numbers that is compiled when it is first called.

    It releases the interpreter lock, so that rows can be spread over threads. Results are those of
    the plain function: no reordering of sums, no fused shortcuts.

    Parameters
    ----------
    py : callable
        The plain function. It may use numpy, `math` and its own arguments only.
    uses : tuple of callable
        Plain functions that it calls by their names; they are compiled with it.

    Attributes
    ----------
    py : callable
        The plain function, for tests and for calls too small to be worth compiling.
    """

    def __init__(self, py: Callable[P, R], uses: tuple[Callable[..., Any], ...] = ()) -> None:
        self.py = py
        self._uses = uses
        self.__doc__ = py.__doc__
        self.__name__ = py.__name__
        self.__wrapped__ = py
        self._fast: Callable[P, R] | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the plain function returns, compiled."""
        fast = self._fast
        if fast is None:
            fast = self._compile()
        try:
            return fast(*args, **kwargs)
        except _CACHE_ERRORS as error:  # no loop raises these: they are the cache's
            return self._compile_anew(fast, error)(*args, **kwargs)

    @property
    def is_ready(self) -> bool:
        """Whether numba has wrapped it already."""
        return self._fast is not None

    def _compile(self) -> Callable[P, R]:
        with self._lock:
            if self._fast is None:
                self._fast = _wrapped_by_numba(self.py, self._uses)
            return self._fast

    def _compile_anew(self, fast: Callable[P, R], error: Exception) -> Callable[P, R]:
        """Return the loop compiled without the cache, which failed."""
        with self._lock:
            if self._fast is fast:  # nobody else was quicker
                folder = getattr(getattr(fast, "stats", None), "cache_path", None)
                log.warning(
                    "the cache of compiled loops in %s cannot be used (%s); %s is compiled without "
                    "it: delete what is there, or make room",
                    folder,
                    type(error).__name__,
                    self.__name__,
                )
                self._fast = _wrapped_by_numba(self.py, self._uses, cache=False)
            return cast("Callable[P, R]", self._fast)


def compiled(py: Callable[P, R], uses: tuple[Callable[..., Any], ...] = ()) -> Compiled[P, R]:
    """Return `py` as a function that numba compiles when it is first called.

    One rule can so be run by the interpreter for one customer and compiled for millions: the
    plain functions named in `uses` are compiled where a loop calls them, and stay plain elsewhere.

    Examples
    --------
    >>> @compiled
    ... def double(x):
    ...     return 2 * x
    >>> double.py(21), double.is_ready
    (42, False)
    """
    return Compiled(py, uses)


def _wrapped_by_numba(
    py: Callable[P, R], uses: tuple[Callable[..., Any], ...], *, cache: bool = True
) -> Callable[P, R]:
    import numba

    def wrap(cache: bool) -> Callable[P, R]:
        jit = numba.njit(cache=cache, nogil=True)
        inner: dict[str, Any] = {}
        for used in uses:  # in order: a later one may call an earlier one
            inner[used.__name__] = jit(_rebound(used, inner))
        return cast("Callable[P, R]", cast("Any", jit(_rebound(py, inner))))

    try:
        return wrap(cache)
    except RuntimeError:  # numba's answer where neither the package nor the home can be written
        return wrap(cache=False)


def _rebound(py: Callable[..., Any], inner: dict[str, Any]) -> Callable[..., Any]:
    """Return `py` seeing the compiled forms of what it calls."""
    if not inner:
        return py
    plain = cast("types.FunctionType", py)
    twin = types.FunctionType(
        plain.__code__, {**plain.__globals__, **inner}, plain.__name__, plain.__defaults__
    )
    # numba names its cache by this name and renews it when the file of `py` changes: the digest
    # renews it when what `py` calls, in another file, changes too.
    digest = _digest(cast("types.FunctionType", each.py_func) for each in inner.values())
    twin.__module__, twin.__qualname__ = plain.__module__, f"{plain.__qualname__}_{digest}"
    return twin


def _digest(functions: Iterable[types.FunctionType]) -> str:
    """Return a name for what functions do: their code and the constants they see."""
    found = hashlib.sha256()
    for function in functions:
        code = function.__code__
        seen = [function.__globals__.get(name) for name in code.co_names]
        values = [v for v in (*code.co_consts, *seen) if isinstance(v, (str, int, float, tuple))]
        found.update(code.co_code)
        found.update(repr((function.__qualname__, code.co_names, values)).encode())
    return found.hexdigest()[:12]
