"""The peers as they are started, and what they need: answers to copy, sets in Redis."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.questions import Answer, Customer
from benchmarks.serving.servers import Server, serving

_PEERS: Final = "benchmarks.serving.peers"


class RedisMissingError(RuntimeError):
    """No Redis answers where it was looked for."""


@contextmanager
def constant(answer: Answer, folder: Path, name: str) -> Iterator[Server]:
    """Run the raw ASGI peer that gives `answer` to everything."""
    file = folder / f"answer-{name}.json"
    file.write_text(json.dumps({"headers": answer.headers, "body": answer.body}), encoding="utf-8")
    with serving(_PEERS, "constant", environment={"PEER_ANSWER": str(file.resolve())}) as server:
        yield server


@contextmanager
def constant_fastapi() -> Iterator[Server]:
    """Run the peer that is FastAPI and nothing else."""
    with serving(_PEERS, "constant_fastapi") as server:
        yield server


@contextmanager
def sqlite_read(file: Path) -> Iterator[Server]:
    """Run FastAPI with one read of the store's own file."""
    environment = {"PEER_SQLITE": str(file.resolve())}
    with serving(_PEERS, "sqlite_read", environment=environment) as server:
        yield server


@contextmanager
def redis_set(url: str, some: Sequence[Customer]) -> Iterator[Server]:
    """Run FastAPI with Redis, which holds what these customers bought until the block ends.

    Raises
    ------
    RedisMissingError
        If no Redis answers at `url`.
    """
    import redis

    prefix = f"personalize-benchmark:{uuid.uuid4().hex}:"
    with closing(redis.Redis.from_url(url)) as client:
        try:
            client.ping()
        except redis.exceptions.ConnectionError as error:
            raise RedisMissingError(f"no Redis answers at {url}: {error}; see --redis") from error
        keys: list[Any] = []
        try:
            pipeline = client.pipeline(transaction=False)
            for one in some:
                keys.append(f"{prefix}{one.customer_id}")
                pipeline.sadd(keys[-1], *one.seen)
            pipeline.execute()
            environment = {"PEER_REDIS": url, "PEER_REDIS_PREFIX": prefix}
            with serving(_PEERS, "redis_set", environment=environment) as server:
                yield server
        finally:
            for start in range(0, len(keys), 1000):
                client.unlink(*keys[start : start + 1000])
