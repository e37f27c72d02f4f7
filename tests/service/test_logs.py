"""Whatever a record of the log quotes, it stays one line; no line of a traceback passes for a record."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.logs import FORM, Harmless

FORGED = "gone\nERROR tocsin: all is well\r\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Harmless(FORM))
    logger = logging.Logger("tocsin.tests")
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def test_a_record_is_one_line(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("source %s: %s", "web", FORGED)
    [line] = stream.getvalue().splitlines()
    assert line.isprintable()
    assert line.startswith("WARNING tocsin.tests: source web: gone\\nERROR tocsin")


def test_no_line_of_a_traceback_passes_for_a_record(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError(FORGED)
    except ValueError:
        logger.exception("failed: %s", "a\nb", stack_info=True)
    first, *others = stream.getvalue().splitlines()
    assert first == "ERROR tocsin.tests: failed: a\\nb"
    assert any("ERROR tocsin: all is well" in line for line in others)
    assert all(line.startswith("  ") and line.isprintable() for line in others)


@given(text=st.text(), detail=st.text())
def test_any_text_is_harmless(text: str, detail: str) -> None:
    record = logging.LogRecord("tocsin", logging.ERROR, "", 0, "%s %s", (text, detail), None)
    assert Harmless(FORM).format(record).isprintable()


def test_the_log_goes_to_standard_error() -> None:
    code = f"import logging; from service import logs; logs.begin(); logging.getLogger('tocsin').info({FORGED!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip("\n").isprintable()
