"""The picture of the workflow around one step."""

from xml.etree import ElementTree

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.diagnosis import diagnose
from models.workflow.graph import Edge, Node, Task, Workflow
from service.page.graph import around

TEXTS = {1: "open <b>&", 2: "write \u202e", 3: "flush", 4: "close", 9: "never in it"}


def workflow() -> Workflow:
    nodes = (Node(BEFORE_SESSION, 10), Node(END, 10), Node(1, 10), Node(2, 30), Node(3, 10), Node(4, 10))
    edges = (
        Edge(0, 2, "sequence", 10),
        Edge(2, 3, "sequence", 10),
        Edge(3, 3, "loop", 20),
        Edge(3, 4, "branch", 10),
        Edge(4, 5, "sequence", 10),
        Edge(5, 1, "sequence", 10),
    )
    return Workflow((Task(10, nodes, edges),), "test", {})


def drawn(keys: list[int], observed: int) -> list[str]:
    """Texts of the picture's rows, marks first."""
    diagnosis = diagnose(workflow(), [BEFORE_SESSION, *keys], observed).to_dict()
    words = {END: "(session ends)", **TEXTS}
    diagnosis["observed"]["template"] = words[observed]
    svg = around(workflow(), diagnosis, TEXTS.__getitem__)
    assert svg is not None
    root = ElementTree.fromstring(svg)
    groups = [group for group in root.iter() if group.tag.endswith("}g")]
    return [" | ".join("".join(text.itertext()) for text in group if text.tag.endswith("}text")) for group in groups]


def test_what_was_left_out_stands_between_the_last_step_and_what_came() -> None:
    rows = drawn([1, 2], 4)
    marks = {row.split(": ")[-1]: row for row in rows}
    assert "last step that fits" in marks["write \\u202e"]
    assert "left out" in marks["flush"]
    assert "expected" in marks["flush"]
    assert marks["close"].startswith("came |")
    assert [rows.index(marks[text]) for text in ("write \\u202e", "flush", "close")] == sorted(
        rows.index(marks[text]) for text in ("write \\u202e", "flush", "close")
    )


def test_what_is_no_step_comes_instead_at_the_end() -> None:
    rows = drawn([1, 2], 9)
    assert rows[-1] == "came instead | 9: never in it"
    assert any("last step that fits" in row for row in rows)


def test_words_of_a_log_stay_words() -> None:
    rows = drawn([1], 4)
    assert any("1: open <b>&" in row for row in rows)
    assert not any("\u202e" in row for row in rows)


def test_nothing_is_drawn_where_nothing_places_the_session() -> None:
    diagnosis = diagnose(workflow(), [], 9).to_dict()
    if diagnosis["task"] is not None:
        diagnosis["task"] = None
    assert around(workflow(), diagnosis, TEXTS.__getitem__) is None
