"""Fetches one file over HTTP: resumes what was begun, checks size and sum.

Owns the partial file. Does not know what is in the file.
"""

import hashlib
from pathlib import Path

import httpx

from models.errors import ConfigError, DataError
from training.corpus import Progress, silent

CHUNK = 1 << 20
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
PARTIAL, DONE = 206, 200
BEYOND = 416


def download(url: str, target: Path, size: int, md5: str, progress: Progress = silent) -> Path:
    """``url`` at ``target``, ``size`` bytes with this ``md5`` (hex). What lies there with the right sum is kept.

    Continues ``target.part`` where one is left. Raises ConfigError where the publisher cannot be reached, DataError
    where it sends something else.
    """
    if target.exists() and _md5(target) == md5:
        progress(size, size)
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, size, progress)
    except httpx.HTTPStatusError as error:
        raise ConfigError(f"{url} answered {error.response.status_code}; fetch it elsewhere to {target}") from error
    except httpx.HTTPError as error:
        raise ConfigError(
            f"{url} cannot be reached from here ({error or type(error).__name__}); fetch it on a machine that can, put "
            f"it to {target}, and run this again (what was received stays and is continued)"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot write {part}: {error.strerror}") from error
    received, found = part.stat().st_size, _md5(part)
    if (received, found) != (size, md5):
        part.unlink()
        raise DataError(
            f"{url} is not what its publisher describes ({received:,} bytes of {size:,}, MD5 {found} instead of "
            f"{md5}); it was removed: run this again"
        )
    part.replace(target)
    return target


def _receive(url: str, part: Path, size: int, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code == BEYOND:
            part.unlink()
            _receive(url, part, size, progress)
            return
        response.raise_for_status()
        continues = response.status_code == PARTIAL
        done = have if continues else 0
        with part.open("ab" if continues else "wb") as file:
            for chunk in response.iter_bytes():
                done += len(chunk)
                if done > size:
                    raise DataError(f"{url} sends more than the {size:,} bytes that its publisher describes")
                file.write(chunk)
                progress(done, size)


def _md5(path: Path) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
