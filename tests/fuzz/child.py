"""One target under libFuzzer: ``python -m tests.fuzz.child NAME CORPUS [libFuzzer's options]``, for ``tests.fuzz``."""

import os

# As the service does at its door: polars reads its thread count once, when it is first imported.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import sys

import atheris

with atheris.instrument_imports(include=["service.intake", "service.api.body", "models"]):
    from tests.fuzz.targets import targets


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], targets()[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
