"""Bearer tokens of an OpenID Connect issuer: who somebody is, by another's word.

Owns how a token is checked (OpenID Connect Core 1.0, 3.1.3.7; RFC 8725): signed by a key that the issuer publishes, by
an asymmetric algorithm, for this service, and not over. The keys are fetched when they are needed, kept for five
minutes, and asked for again at most every ten seconds, whatever keys tokens name. Does not know how people log in.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx

from models.errors import ConfigError
from service.access.caller import Caller
from service.settings import Settings
from service.state.apikeys import SCOPES

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
KEPT_S, AGAIN_AFTER_S = 300.0, 10.0
TIMEOUT_S = 5.0
LEEWAY_S = 30.0
LONGEST = 16_384
LONGEST_NAME = 100
PREFIX = "tocsin:"
SOURCE = "source:"


def looks_like_token(text: str) -> bool:
    """Whether a text has the shape of a signed JWT."""
    return text.count(".") == 2 and text.startswith("ey") and len(text) <= LONGEST


class Issuer:
    """One issuer as the settings have it. ``clock`` gives seconds that never go back."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        try:
            import jwt
        except ModuleNotFoundError as error:
            raise ConfigError("TOCSIN_OIDC_ISSUER needs PyJWT: pip install 'tocsin[oidc]'") from error
        assert settings.oidc_issuer is not None
        _check_address(settings.oidc_issuer)
        self._jwt = jwt
        self._issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._claim = settings.oidc_claim
        self._name = settings.oidc_name
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._asked_at = -KEPT_S
        self._asking = asyncio.Lock()

    async def caller(self, token: str) -> Caller | None:
        """Whose token it is, and what that lets them do; None where it lets nobody in."""
        try:
            header = self._jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            if key is None:
                return None
            claims = self._jwt.decode(
                token, key, algorithms=list(ALGORITHMS), audience=self._audience, issuer=self._issuer,
                leeway=LEEWAY_S, options={"require": ["exp", "iss", "aud", "sub"]},
            )  # fmt: skip
        except self._jwt.PyJWTError:
            return None
        return self._told(claims)

    def _told(self, claims: Mapping[str, Any]) -> Caller | None:
        name = claims.get(self._name, claims["sub"])
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name.strip()) <= LONGEST_NAME:
            return None
        given = claims.get(self._claim, "")
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
        own = [word.removeprefix(PREFIX) for word in words if isinstance(word, str) and word.startswith(PREFIX)]
        sources = tuple(word.removeprefix(SOURCE) for word in own if word.startswith(SOURCE))
        scopes = tuple(scope for scope in SCOPES if scope in own)
        return Caller(name.strip(), scopes, sources, id=f"oidc {claims['sub']}", by_browser=True)

    async def _key(self, key_id: str) -> Any:
        age = self._clock() - self._asked_at
        if age >= KEPT_S or (key_id not in self._keys and age >= AGAIN_AFTER_S):
            async with self._asking:
                age = self._clock() - self._asked_at
                if age >= KEPT_S or (key_id not in self._keys and age >= AGAIN_AFTER_S):
                    self._asked_at = self._clock()
                    await self._ask()
        return self._keys.get(key_id)

    async def _ask(self) -> None:
        """Take the issuer's keys as they are now; where it does not answer, those of before stay."""
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
                about = await http.get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                where = about.raise_for_status().json()
                if where.get("issuer") != self._issuer:
                    return
                _check_address(where["jwks_uri"])
                found = (await http.get(where["jwks_uri"])).raise_for_status().json()["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ConfigError, ValueError, KeyError, TypeError, AttributeError):
            return
        self._keys = {key_id: key for key_id, key in map(self._read, found) if key is not None}

    def _read(self, told: Any) -> tuple[str, Any]:
        """Id and key; None for what is no key to sign with, a shared secret above all."""
        if not isinstance(told, dict) or told.get("kty") == "oct" or told.get("use", "sig") != "sig":
            return "", None
        try:
            return str(told.get("kid", "")), self._jwt.PyJWK(told)
        except self._jwt.PyJWTError:
            return "", None


def _check_address(address: str) -> None:
    """Raises ConfigError for an address whose answers anybody on the way could change."""
    parts = urlsplit(address)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise ConfigError(f"TOCSIN_OIDC_ISSUER and its keys must be at an https address, not {address[:100]!r}")
