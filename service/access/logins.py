"""Log-ins to the page: a random cookie that stands for an API key, which is not kept in the browser.

Owns the cookie's value and how long a process takes another's word for it: whoever logged out elsewhere is out within
``TRUSTED_S``. Redis has its digest only.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable

from redis.asyncio import Redis

from service.access.secret import SECRET_BYTES, digest
from service.state import apikeys

TRUSTED_S = 2.0
KEPT = 1_000
LONGEST = 64


class Logins:
    """Every log-in. ``clock`` gives seconds that never go back."""

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._clock = clock
        self._seen: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def begin(self, key_id: str) -> str:
        """The cookie of a new log-in. Raises StateError."""
        cookie = secrets.token_urlsafe(SECRET_BYTES)
        await apikeys.begin_login(self._redis, digest(cookie), key_id)
        return cookie

    async def key_of(self, cookie: str) -> str | None:
        """Id of the key that a cookie stands for; None where it stands for none any more. Raises StateError."""
        if len(cookie) > LONGEST:
            return None
        name = digest(cookie)
        key_id, seen = self._seen.pop(name, (None, 0.0))
        if key_id is None or self._clock() - seen > TRUSTED_S:
            key_id, seen = await apikeys.login(self._redis, name), self._clock()
        if key_id is not None:
            self._seen[name] = (key_id, seen)
            if len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        return key_id

    async def end(self, cookie: str) -> None:
        """Log out. Raises StateError."""
        self._seen.pop(digest(cookie), None)
        await apikeys.end_login(self._redis, digest(cookie))
