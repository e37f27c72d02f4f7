"""What a body comes to in memory, told before it is read: many tiny values or lines weigh many times their text.

Owns the estimate. Does not know what a body means.
"""

CONTAINER_BYTES = 64
"""An empty list or dict in CPython, and its place in the list around it."""
STRING_BYTES = 60
"""A short string."""
MOST_BYTES = 512 * 2**20
"""Eight times the largest body that is taken unless settings say otherwise: lines of log weigh two or three times."""


def weighs_too_much(body: bytes) -> bool:
    """Whether reading ``body`` may take over ``MOST_BYTES``: 64 MiB of ``[],`` would take 1.4 GB.

    Counted are signs wherever they stand, so lines that are JSON themselves weigh more than they do.
    """
    if len(body) * CONTAINER_BYTES <= MOST_BYTES:
        return False
    containers = body.count(b"[") + body.count(b"{")
    return containers * CONTAINER_BYTES + body.count(b'"') // 2 * STRING_BYTES > MOST_BYTES


def line_ends(body: bytes) -> int:
    """How many line ends there are, as ``bytes.splitlines`` finds them."""
    return body.count(b"\n") + body.count(b"\r") - body.count(b"\r\n")
