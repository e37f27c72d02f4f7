"""A request's body, read with a limit and within a time. Does not know what is in it."""

import asyncio

from fastapi import Request

from service.api.body import BodyError


async def read_body(request: Request, limit: int, within_s: float) -> bytes:
    """The body, refused as soon as it is over the limit rather than once it has all arrived. Raises BodyError: 413, and
    408 where it has not come within ``within_s`` seconds."""
    announced = request.headers.get("content-length", "")
    too_large = BodyError(413, f"the body is over {limit} bytes; send smaller batches")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise BodyError(408, f"the body did not come within {within_s:g} s; send smaller batches") from None
    return b"".join(chunks)
