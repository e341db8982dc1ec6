"""Purchase-aware personalization: suppress what was bought, complement it, everywhere alike."""

from __future__ import annotations
