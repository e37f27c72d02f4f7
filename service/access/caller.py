"""Who asks: a name, what they may do, and which sources they may see. Does not know how that was found out."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from service.state.apikeys import SCOPES, ApiKey, KeyScope
from service.state.feedback import Sees as Sees


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` None: no key is asked for, so nobody is known. ``rate``: lines a second. ``by_cookie``: a browser brings
    the log-in by itself, whatever page makes it send the request; ``by_browser``: it may, by a proxy that logs in."""

    name: str | None
    scopes: tuple[KeyScope, ...]
    sources: tuple[str, ...] = ()
    id: str = ""
    rate: float | None = None
    by_cookie: bool = False
    by_browser: bool = False

    @classmethod
    def of(cls, key: ApiKey, *, by_cookie: bool = False) -> "Caller":
        """Whoever has a key."""
        return cls(key.name, key.scopes, key.sources, key.id, key.rate, by_cookie, by_cookie)

    @property
    def limited(self) -> bool:
        """Whether there are sources that they may not see."""
        return bool(self.sources)

    def may(self, scope: KeyScope) -> bool:
        """Whether they may do something."""
        return scope in self.scopes

    def sees(self, source: str) -> bool:
        """Whether they may see a source."""
        return not self.sources or any(fnmatchcase(source, pattern) for pattern in self.sources)

    @property
    def view(self) -> Sees | None:
        """``sees`` for what looks at many sources; None: all of them."""
        return self.sees if self.sources else None


ANYBODY = Caller(None, SCOPES)
"""Where no key is asked for."""
