"""The HTTP service: ``python -m service``, or `create_app` under a server of your own."""

from __future__ import annotations

from service.app import create_app
from service.settings import Settings

__all__ = ["Settings", "create_app"]
