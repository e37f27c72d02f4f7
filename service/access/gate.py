"""Who comes in: a request's key or log-in against those that are known, its scope, its sources and its pace.

Owns every refusal, its reason in the metrics, and that nothing of it waits for Redis where the key is known. Does not
know which call needs what (``service.api.guarded``).
"""

import logging
from collections.abc import Callable, Mapping
from time import monotonic

from redis.asyncio import Redis

from service.access import binding, declared
from service.access.caller import Caller
from service.access.keyring import KeyRing
from service.access.logins import Logins
from service.access.oidc import Issuer, looks_like_token
from service.access.pace import Paces
from service.access.presented import presented
from service.access.secret import is_secret_of, parts
from service.errors import ForeignHost, NoKey, NotAllowed, ServiceError, TooFast, Unavailable
from service.metrics import Metrics
from service.settings import Settings
from service.state.apikeys import ApiKey, KeyScope

FAILURES, FAILURE_EVERY_S = 20.0, 6.0
"""Keys that let nobody in: so many at once from one address, then one in so many seconds is told so."""
HOW = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; `tocsin keys create` makes one"
TOLD_EVERY_S = 60.0

log = logging.getLogger("tocsin")


class Gate:
    """One process' view of who may come in. ``clock``: wall clock in seconds."""

    def __init__(self, redis: Redis, settings: Settings, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.ring = KeyRing(redis, declared.load(settings.api_keys_file))
        self.logins = Logins(redis, monotonic)
        self._issuer = None if settings.oidc_issuer is None else Issuer(settings)
        self._off = settings.auth == "off"
        self._always = binding.asks_for_keys(settings) or self._issuer is not None
        self._hosts = settings.hosts
        self._requests_per_s = settings.key_requests_per_s
        self._metrics = metrics
        self._clock = clock
        self._paces = Paces(monotonic)
        self._failures = Paces(monotonic)
        self._told_at = -TOLD_EVERY_S

    @property
    def undecided(self) -> bool:
        """Whether it depends on keys that nobody has seen yet if a key is asked for: until Redis answers first."""
        return not (self._off or self._always or self.ring.any or self.ring.known)

    @property
    def asks(self) -> bool:
        """Whether a key is asked for. Raises Unavailable where that is ``undecided``."""
        if self._off:
            return False
        if self._always or self.ring.any:
            return True
        if self.undecided:
            raise Unavailable("Redis is away: whether there are API keys is not known yet", 2)
        return False

    def host(self, named: str) -> None:
        """Raises ForeignHost where no key is asked for and a request names a host that this is not."""
        if not binding.is_own_host(named, self._hosts):
            self._count("host")
            raise ForeignHost(f"{named[:100]!r} is no name of this service; TOCSIN_HOSTS takes those that are")

    async def caller(self, headers: Mapping[str, str], cookie: str | None, address: str) -> Caller:
        """Who sends a request: a key in its headers, else a log-in. Raises NoKey, TooFast where an address goes on and
        on with keys that are none or a key with requests, StateError where a log-in cannot be looked up."""
        found = await self.known(headers, cookie)
        if found is None:
            raise self._refused(headers, cookie, address)
        wait_s = self._paces.draw(f"requests {found.id}", 1.0, self._requests_per_s, self._requests_per_s)
        if wait_s:
            self._count("requests")
            raise TooFast(f"{found.name} sends more than {self._requests_per_s:g} requests a second", wait_s)
        return found

    async def known(self, headers: Mapping[str, str], cookie: str | None) -> Caller | None:
        """Who sends a request; None where nobody knows. Raises StateError."""
        text = presented(headers)
        if text is not None:
            return await self.owner(text)
        if self._issuer is not None:
            token = headers.get("authorization", "").partition(" ")[2].strip()
            if looks_like_token(token):
                return await self._issuer.caller(token)
        key_id = None if cookie is None else await self.logins.key_of(cookie)
        key = None if key_id is None else self.ring.find(key_id)
        return None if key is None or self._expired(key) else Caller.of(key, by_cookie=True)

    async def owner(self, text: str) -> Caller | None:
        """Whose key a text is; None: nobody's."""
        told = parts(text)
        if told is None:
            return None
        key = await self.ring.sought(told[0])
        if not is_secret_of(told[1], None if key is None else key.digest):
            return None
        return None if key is None or self._expired(key) else Caller.of(key)

    def check(self, caller: Caller, scope: KeyScope) -> None:
        """Raises NotAllowed where somebody may not do that."""
        if not caller.may(scope):
            self._count("scope")
            raise NotAllowed(f"the API key {caller.name} has no scope {scope}; it has {', '.join(caller.scopes)}")

    def check_source(self, caller: Caller, source: str) -> None:
        """Raises NotAllowed where somebody may not see a source."""
        if not caller.sees(source):
            self._count("source")
            raise NotAllowed(f"the API key {caller.name} is not for source {source[:80]!r}")

    def check_whole(self, caller: Caller) -> None:
        """Raises NotAllowed where somebody may not see all sources."""
        if caller.limited:
            self._count("source")
            raise NotAllowed(
                f"the API key {caller.name} is for {', '.join(caller.sources)} only; this is about all sources"
            )

    def charge(self, caller: Caller, lines: int) -> None:
        """Count lines that somebody sends. Raises TooFast where they are more than their key may."""
        if caller.rate is None:
            return
        wait_s = self._paces.draw(f"lines {caller.id}", float(lines), caller.rate, caller.rate)
        if wait_s:
            self._count("lines")
            raise TooFast(f"the API key {caller.name} may send {caller.rate:g} lines a second", wait_s)

    def failed(self, address: str, reason: str) -> ServiceError:
        """The refusal of a key that is none, shown from an address."""
        wait_s = self._failures.draw(address, 1.0, 1.0 / FAILURE_EVERY_S, FAILURES)
        self._count("too_many" if wait_s else reason)
        if self._clock() - self._told_at >= TOLD_EVERY_S:
            self._told_at = self._clock()
            log.warning("an API key that lets nobody in, from %s; tocsin_refused_total counts them", address)
        if wait_s:
            return TooFast("too many API keys from this address that let nobody in", wait_s)
        return NoKey(f"this API key lets nobody in: it is unknown, revoked or over; {HOW}")

    def _refused(self, headers: Mapping[str, str], cookie: str | None, address: str) -> ServiceError:
        if presented(headers) is not None or "authorization" in headers:
            return self.failed(address, "key")
        self._count("no_key" if cookie is None else "login")
        return NoKey(f"an API key is needed; {HOW}" if cookie is None else "this log-in is over; log in again")

    def _expired(self, key: ApiKey) -> bool:
        return key.expires is not None and key.expires <= self._clock()

    def _count(self, reason: str) -> None:
        self._metrics.refused.labels(reason).inc()
