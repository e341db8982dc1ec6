"""Where the service finds things and what it allows; infrastructure only.

What the shop decides is policy, and what is learned is in the model: neither is a setting. Every
setting can be given as ``PERSONALIZE_`` and its name in capitals; the environment is read when a
`Settings` is made, never at import.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1 << 20


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
    key_seconds: float = Field(
        default=5.0, ge=0, le=60, description="How long the scopes of a key are remembered"
    )
    shutdown_seconds: int = Field(
        default=10, ge=1, le=600, description="How long requests under way may take at shutdown"
    )
    access_log: bool = Field(default=False, description="Log one line per request")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important line that is logged"
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)


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
