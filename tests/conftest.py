"""Fixtures that every floor uses: where public data sets lie, and what to do when a part is missing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine pauses a test for longer than any deadline that would tell of slow code; benchmarks measure that.
settings.register_profile("tocsin", deadline=None)
settings.load_profile("tocsin")


def skip_or_fail(reason: str) -> None:
    """Skip, or fail where ``TOCSIN_REQUIRE_ALL`` says that every part must be there."""
    if os.environ.get("TOCSIN_REQUIRE_ALL") == "1":
        pytest.fail(f"TOCSIN_REQUIRE_ALL=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def datasets_dir() -> Path:
    """The folder of public data sets; skips where it is absent."""
    root = Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser()
    if not (root / "hdfs_keys" / "train_normal.txt").is_file():
        skip_or_fail(f"no public data sets under {root} (set TOCSIN_DATASETS_DIR)")
    return root


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Path of a program on PATH; skips where it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            skip_or_fail(f"{name} is not installed")
        assert path is not None
        return path

    return find
