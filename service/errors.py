"""Errors of the service, and the one place where errors become HTTP.

TocsinError
└── ServiceError            status 500
    ├── UnknownSource       404
    ├── NotFound            404
    ├── Conflict            409, with Retry-After where waiting helps
    ├── KeyReused           422: an Idempotency-Key with another body
    ├── WrongValue          422: a parameter that cannot be read
    ├── Gone                410: what the request is about was there and is not any more
    ├── NoKey               401: no API key, or none that lets anybody in
    ├── NotAllowed          403: the API key is not for that
    ├── ForeignPage         403: a browser sends it for a page of another site
    ├── ForeignHost         403: it names a host that this service is not
    ├── NotJson             415: a browser sends what a form could have sent
    ├── QueueFull           429, with Retry-After
    ├── TooMuchFeedback     429, with Retry-After
    ├── TooFast             429, with Retry-After: more than the API key, or an address, may
    └── Unavailable         503, with Retry-After: Redis is away, or the process is stopping
"""

from models.errors import BundleError, ConfigError, StateError, TocsinError


class ServiceError(TocsinError):
    """Base: ``status`` is the HTTP status, ``retry_after_s`` what Retry-After says (None: no header)."""

    status = 500

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownSource(ServiceError):
    """No such source is configured."""

    status = 404


class NotFound(ServiceError):
    """No such incident, feedback item, batch or version."""

    status = 404


class Conflict(ServiceError):
    """The request contradicts what is there, or runs already."""

    status = 409


class KeyReused(ServiceError):
    """An Idempotency-Key came back with another body."""

    status = 422


class WrongValue(ServiceError):
    """A parameter of the request cannot be read."""

    status = 422


class QueueFull(ServiceError):
    """More lines wait than the queue takes."""

    status = 429


class Gone(ServiceError):
    """What the request is about is not kept any more."""

    status = 410


class NoKey(ServiceError):
    """Nobody who may come in."""

    status = 401


class NotAllowed(ServiceError):
    """Somebody who may come in, but not do that, or not see that source."""

    status = 403


class ForeignHost(ServiceError):
    """It names a host that this service is not known to be."""

    status = 403


class ForeignPage(ServiceError):
    """A browser sends it on behalf of another site's page."""

    status = 403


class NotJson(ServiceError):
    """A browser sends something else than JSON."""

    status = 415


class TooMuchFeedback(ServiceError):
    """An author, or an hour, has moved as much as it may."""

    status = 429


class TooFast(ServiceError):
    """An API key sends more than it may, or an address shows keys that are none."""

    status = 429


class Unavailable(ServiceError):
    """Nothing can be promised now; trying again helps."""

    status = 503


RETRY_AFTER_S = 2
"""What Retry-After says while Redis is away."""


def http_status(error: TocsinError) -> tuple[int, int | None]:
    """HTTP status of an error and what Retry-After says, in seconds."""
    if isinstance(error, ServiceError):
        return error.status, error.retry_after_s
    if isinstance(error, StateError):
        return 503, RETRY_AFTER_S
    if isinstance(error, ConfigError):
        return 422, None
    if isinstance(error, BundleError):
        return 409, None
    return 500, None
