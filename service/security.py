"""Who may ask what: API keys with scopes, and no keys at all on this machine alone.

Without keys in the store everything is open, to this machine only; with the first key that is
made, every call needs one. A revoked key counts as made: revoking the last one closes the door.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from fastapi import Depends, Request

import personalize as pz
from service.attempts import Attempts
from service.headers import Head
from service.problems import Invalid, NotAllowed, NotAuthenticated, TooManyFailures
from service.settings import Settings, is_loopback
from service.shop import Shop
from service.vitals import Vitals

_MAX_REMEMBERED: Final = 1024
_MAX_SECRET: Final = 512
_GRACE_SECONDS: Final = 1.0
"""While the store is out of reach, who was let in before is let in, and it is asked so often."""
_BEARER: Final = b"Bearer "
_MAKE_ONE: Final = "make one with `personalize keys create`"


class Gate:
    """Admits requests by their key; what the store said of a key is remembered for a while.

    Parameters
    ----------
    store : Store
    settings : Settings
    vitals : Vitals
        Told of every failure.
    """

    def __init__(self, store: pz.Store, settings: Settings, vitals: Vitals) -> None:
        self._store = store
        self._vitals = vitals
        self._attempts = Attempts(settings.auth_failures)
        self._is_loopback = settings.is_loopback
        self._seconds = settings.key_seconds
        self._known: dict[bytes, tuple[float, frozenset[str]]] = {}
        self._is_open = (0.0, False)
        self._near: set[tuple[str, bytes | None]] = set()

    def remembers(self, head: Head, client: tuple[str, int] | None, scope: str) -> bool:
        """Return whether a request passes by what is remembered; False: `admit` must be asked.

        Parameters
        ----------
        head : Head
        client : (host, port), optional
            Who asks.
        scope : str
            What the key must allow.
        """
        now = time.monotonic()
        if self._is_loopback:
            until, is_open = self._is_open
            if is_open:
                if head.is_forwarded or client is None:  # whoever is behind the proxy decides
                    return False
                return now < until and (client[0], head.host) in self._near
        authorization = head.authorization
        if authorization is None or not authorization.startswith(_BEARER):
            return False
        known = self._known.get(hashlib.sha256(authorization[len(_BEARER) :]).digest())
        return known is not None and now < known[0] and scope in known[1]

    async def admit(self, request: Request, scope: str) -> None:
        """Let a request pass, or raise.

        Raises
        ------
        NotAuthenticated
            Without a key, or with one that is unknown.
        TooManyFailures
            With a key that is not remembered, from an address that tried too many bad ones.
        NotAllowed
            With a key that lacks the scope.
        """
        if self._is_loopback and await self._has_no_keys():
            _refuse_strangers(request)
            if request.client is not None and len(self._near) < _MAX_REMEMBERED:
                self._near.add((request.client.host, Head.of(request.scope).host))
            return
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if not secret:
            self._vitals.not_authenticated("missing")
            raise _unauthenticated("no API key; send `Authorization: Bearer KEY`", "")
        if scheme.lower() != "bearer" or len(secret) > _MAX_SECRET:
            self._failed(request, "malformed")
            raise _unauthenticated("no API key of ours; send `Authorization: Bearer KEY`", "")
        scopes = await self._scopes_of(request, secret)
        if scopes is None:
            self._failed(request, "unknown")
            detail = f"the API key is unknown or revoked; {_MAKE_ONE}"
            raise _unauthenticated(detail, ', error="invalid_token"')
        if scope not in scopes:
            self._vitals.not_authenticated("scope")
            raise NotAllowed(
                f"the API key lacks the scope {scope}; {_MAKE_ONE} that has it",
                headers={
                    "WWW-Authenticate": 'Bearer realm="personalize", '
                    f'error="insufficient_scope", scope="{scope}"'
                },
            )

    async def admit_to_metrics(self, request: Request) -> None:
        """Let anyone on this machine read the metrics; where others can reach us, admins.

        Raises
        ------
        NotAuthenticated, NotAllowed
            As `admit`.
        """
        if not (self._is_loopback and _is_near(request)):
            await self.admit(request, "admin")

    @property
    def n_remembered(self) -> int:
        """How many keys are remembered."""
        return len(self._known)

    def _failed(self, request: Request, reason: str) -> None:
        self._vitals.not_authenticated(reason)
        address = _address_of(request)
        if not is_loopback(address):
            self._attempts.failed(address)

    def _refuse_the_tireless(self, request: Request) -> None:
        """Raise if the address must wait; only keys that the store would be asked for wait."""
        seconds = self._attempts.seconds_to_wait(_address_of(request))
        if seconds:
            self._vitals.not_authenticated("slowed")
            raise TooManyFailures(
                "too many bad API keys came from this address; wait, then try one that is known",
                headers={"Retry-After": str(seconds)},
            )

    async def _has_no_keys(self) -> bool:
        until, is_open = self._is_open
        now = time.monotonic()
        if now >= until:
            try:
                is_open = not await run_sync(self._store.keys)
            except pz.StoreError:
                if not until:  # never known
                    raise
                self._is_open = (now + _GRACE_SECONDS, is_open)
            else:
                self._is_open = (now + self._seconds, is_open)
        return is_open

    async def _scopes_of(self, request: Request, secret: str) -> frozenset[str] | None:
        """Return the scopes of a secret, None if it is unknown or revoked.

        What is compared is SHA-256 of 256 random bits, here and in the store: how long that takes
        tells of the hash alone, from which no secret can be steered towards another one's.
        """
        digest = hashlib.sha256(secret.encode()).digest()
        until, scopes = self._known.get(digest, (0.0, None))
        now = time.monotonic()
        if scopes is not None and now < until:
            return scopes
        if scopes is None:  # a key that was good a moment ago does not wait for others' failures
            self._refuse_the_tireless(request)
        self._vitals.key_looked_up()
        try:
            found = await run_sync(self._store.scopes_of, secret)
        except pz.StoreError:
            if scopes is None:
                raise
            self._known[digest] = (now + _GRACE_SECONDS, scopes)
            return scopes
        self._known.pop(digest, None)
        if found is not None:  # unknown keys are asked for again: a new one works at once
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[digest] = (now + self._seconds, found)
        return found


def _unauthenticated(detail: str, more: str) -> NotAuthenticated:
    return NotAuthenticated(
        detail, headers={"WWW-Authenticate": f'Bearer realm="personalize"{more}'}
    )


def _address_of(request: Request) -> str:
    return request.client.host if request.client else "localhost"


def _is_near(request: Request) -> bool:
    try:
        _refuse_strangers(request)
    except NotAuthenticated:
        return False
    return True


def _refuse_strangers(request: Request) -> None:
    """Raise if a request came from elsewhere: through a proxy, another server's socket, a browser.

    A page of the web can have its own name resolve to this machine (DNS rebinding); the name is
    then in ``Host``.
    """
    try:
        named = urlsplit("//" + request.headers.get("host", "localhost")).hostname or ""
    except ValueError:
        named = ""
    if not is_loopback(named):
        raise _unauthenticated(
            f"there are no API keys, so only this machine may ask, by its own name; {_MAKE_ONE}", ""
        )
    host = _address_of(request)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return  # no address: a socket of this machine, or a test
    if not is_loopback(host):
        raise _unauthenticated(
            f"there are no API keys, so only this machine may ask; {_MAKE_ONE}", ""
        )


def needs(scope: str) -> Callable[[Request], Awaitable[Shop]]:
    """Return the dependency that admits by `scope` and hands out the shop."""

    async def admitted(request: Request) -> Shop:
        shop: Shop = request.app.state.shop
        await shop.gate.admit(request, scope)
        if request.scope["query_string"]:
            _refuse_unknown_parameters(request)
        return shop

    admitted.scope = scope  # type: ignore[attr-defined]
    return admitted


def _refuse_unknown_parameters(request: Request) -> None:
    """Raise for a parameter that the call does not have: a misspelt one must not be ignored."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    wrong = sorted({name for name in request.query_params if name not in known})
    if wrong:
        allowed = ", ".join(sorted(known)) or "none"
        detail = f"unknown parameter; this call has {allowed}"
        errors = [(f"query/{name[:100]}", detail) for name in wrong]
        raise Invalid(f"{errors[0][0]}: {detail}", errors)


Ingest = Annotated[Shop, Depends(needs("ingest"))]
Decide = Annotated[Shop, Depends(needs("decide"))]
Admin = Annotated[Shop, Depends(needs("admin"))]
