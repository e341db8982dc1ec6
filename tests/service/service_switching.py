"""Switch models under load, and hold every answer against what its model answers alone.

Shared by the short test of the suite and by longer runs: `Asked` is what is asked, `alone` what a
version answers by itself, `under_switches` asks a running service while its model changes.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx


class Asked(NamedTuple):
    """One question; it names its ``as_of`` where it has one, so that its answer stands still."""

    method: str
    path: str
    body: str | None = None
    """JSON."""


JSON = {"content-type": "application/json"}
Answers = dict[tuple[str, Asked], Any]
"""What each version answers to each question, by itself."""


def told(answer: httpx.Response) -> Any:
    """Return an answer without what is new in each one."""
    content = answer.json()
    content.pop("recommendation_id", None)
    return content


def alone(ask: Callable[..., httpx.Response], questions: Sequence[Asked]) -> Answers:
    """Return the answers of a service whose model stays the same; `ask` takes method and path."""
    found: Answers = {}
    for asked in questions:
        answer = ask(asked.method, asked.path, content=asked.body, headers=JSON)
        assert answer.status_code == 200, answer.text
        content = told(answer)
        found[content["model_version"], asked] = content
    return found


@dataclass
class Outcome:
    """What happened under switches.

    Parameters
    ----------
    n_answers : Counter of str
        Answers by the model that gave them.
    failures : list of str
        Requests that were not answered with 200, or not at all.
    mixed : list of (Asked, answer)
        Answers that differ from what the model they name answers alone.
    n_switches : int
    """

    n_answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    mixed: list[tuple[Asked, Any]] = field(default_factory=list)
    n_switches: int = 0


def under_switches(
    url: str,
    expected: Answers,
    switches: Sequence[Callable[[], None]],
    *,
    seconds: float,
    every: float,
    n_clients: int = 4,
) -> Outcome:
    """Ask `url` from several clients while the switches are made in turns; return what happened.

    Parameters
    ----------
    expected : Answers
        Of every version that may answer.
    switches : sequence of callable
        Each makes another version current.
    seconds, every : float, seconds
        How long, and between two switches.
    n_clients : int
        Each asks as fast as it is answered, on a new connection now and then: so all workers are
        asked.
    """
    outcome = Outcome()
    lock = threading.Lock()
    with _asking(url, expected, outcome, lock, n_clients):
        end = time.monotonic() + seconds
        for switch in itertools.cycle(switches):
            if time.monotonic() >= end:
                break
            try:
                switch()
            except Exception as error:  # noqa: BLE001 - a switch that fails is a finding
                with lock:
                    outcome.failures.append(f"switch: {error!r}")
            outcome.n_switches += 1
            time.sleep(every)
    return outcome


@contextmanager
def _asking(
    url: str, expected: Answers, outcome: Outcome, lock: threading.Lock, n_clients: int
) -> Iterator[None]:
    stop = threading.Event()
    questions = sorted({asked for _, asked in expected}, key=str)

    def run(number: int) -> None:
        turns = itertools.islice(itertools.cycle(questions), number, None)
        while not stop.is_set():
            with httpx.Client(base_url=url, timeout=30) as http:
                for asked in itertools.islice(turns, 25):
                    _judge(http, asked, expected, outcome, lock)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n_clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _judge(
    http: httpx.Client, asked: Asked, expected: Answers, outcome: Outcome, lock: threading.Lock
) -> None:
    try:
        answer = http.request(asked.method, asked.path, content=asked.body, headers=JSON)
    except httpx.HTTPError as error:
        with lock:
            outcome.failures.append(f"{asked.method} {asked.path}: {error!r}")
        return
    with lock:
        if answer.status_code != 200:
            outcome.failures.append(f"{asked.method} {asked.path}: {answer.text}")
            return
        content = told(answer)
        outcome.n_answers[content["model_version"]] += 1
        if content != expected.get((content["model_version"], asked)):
            outcome.mixed.append((asked, content))
