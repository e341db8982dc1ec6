"""Where the service finds things and what it allows; infrastructure only.

What the shop decides is policy, and what is learned is in the model: neither is a setting. Every
setting can be given as ``PERSONALIZE_`` and its name in capitals; the environment is read when a
`Settings` is made, never at import.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import personalize as pz

PATIENCE: Final = pz.Patience(write_seconds=4.0)
"""How long a request waits for the store: a caller has an answer within 6 seconds."""
KIB = 1 << 10
MIB = 1 << 20
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class Settings(BaseSettings):
    """Settings of the service; docs/http-api.md lists them."""

    model_config = SettingsConfigDict(env_prefix="PERSONALIZE_", frozen=True, extra="forbid")

    store: str = Field(default="sqlite:///shop.db", min_length=1, description="URL of the store")
    models: Path = Field(default=Path("models"), description="Folder of model versions")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one"
    )
    workers: int = Field(default=1, ge=1, le=256, description="Worker processes")
    max_body_bytes: int = Field(
        default=4 * MIB, ge=1024, description="Largest body of a single call"
    )
    max_batch_bytes: int = Field(default=64 * MIB, ge=1024, description="Largest body of a batch")
    auth_failures: int = Field(
        default=30,
        ge=0,
        description="Bad keys of an address within a minute before it must wait; 0: any number",
    )
    cors_origins: str = Field(
        default="", description="Origins whose pages may call, separated by commas"
    )
    max_connections: int = Field(
        default=1000, ge=1, le=100_000, description="Most connections at once, per worker"
    )
    max_head_bytes: int = Field(
        default=32 * KIB, ge=KIB, le=MIB, description="Largest head of a request"
    )
    max_headers: int = Field(
        default=100, ge=10, le=10_000, description="Most header fields of a request"
    )
    max_target_bytes: int = Field(
        default=8 * KIB, ge=256, le=MIB, description="Longest address of a request"
    )
    head_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long the head of a request may take to come"
    )
    body_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="How long the body of a request may take to come"
    )
    answer_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="How long an answer may take to begin"
    )
    write_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="How long a caller may take to read an answer"
    )
    keep_alive_seconds: float = Field(
        default=75.0, gt=0, le=3600, description="How long a connection may idle between requests"
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=600,
        description="How long the service goes on, no longer ready, when it is told to stop",
    )
    watch_seconds: float = Field(
        default=1.0,
        gt=0,
        le=4,
        description="How often a new model, policy or catalogue is looked for",
    )
    demand_seconds: float = Field(
        default=0.0,
        ge=0,
        le=86_400 * 365,
        description="How old demand may be before it is refreshed from the store; 0: it is not",
    )
    store_failure: Literal["fail_open", "fail_closed"] = Field(
        default="fail_open",
        description="Decisions while the store cannot be reached: suppress nothing, or everything",
    )
    key_seconds: float = Field(
        default=5.0, ge=0, le=60, description="How long the scopes of a key are remembered"
    )
    shutdown_seconds: int = Field(
        default=10, ge=1, le=600, description="How long requests under way may take at shutdown"
    )
    access_log: bool = Field(default=False, description="Log one line per request")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="How lines are logged; auto: text on a terminal, else json"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important line that is logged"
    )

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_exact(cls, value: str) -> str:
        for origin in _split(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin[:100]!r} is no origin; give each as https://shop.example, with its "
                    "port if it has one, without a path; `*` is not allowed"
                )
        return value

    @property
    def origins(self) -> list[str]:
        """The origins whose pages may call."""
        return _split(self.cors_origins)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine itself, by its name or address.

    Examples
    --------
    >>> is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.com")
    (True, False, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
