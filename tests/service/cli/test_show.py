"""How commands show things: one JSON document, hostile text made harmless, bars only where somebody looks."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.show import harmless, lines_of, print_json, progress


def test_json_is_one_document_with_a_line_feed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json({"a": [1.5, None, "ü"]})
    out, _ = capfdbinary.readouterr()
    assert out.endswith(b"\n")
    assert json.loads(out) == {"a": [1.5, None, "ü"]}


@given(st.text(st.characters()))
def test_nothing_that_drives_a_terminal_is_left(text: str) -> None:
    assert harmless(text).isprintable()
    assert harmless(harmless(text)) == harmless(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ü [red] <b>", "plain ü [red] <b>"), ("\x1b[2J\r\n", "\\x1b[2J\\r\\n"), ("\u202egnp", "\\u202egnp")],
)
def test_control_signs_are_written_out(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize("quiet", [True, False])
def test_progress_prints_nothing_where_nobody_looks(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet) as shown:
        advance = lines_of(shown, "lines")
        advance(1, 3)
        advance(3, 3)
        (task,) = shown.tasks
        assert (task.completed, task.total) == (3, 3)
    assert capsys.readouterr() == ("", "")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_drives_no_terminal_and_says_the_same(text: str) -> None:
    said = {"line": text + "\x9b31m\u202e\U000e0041"}
    stream = io.BytesIO()
    out = io.TextIOWrapper(stream, encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        print_json(said)
    written = stream.getvalue().decode()
    assert json.loads(written) == said
    assert written.replace("\n", "").isprintable()
