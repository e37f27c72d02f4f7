"""Drawings of a workflow: the tree, the picture, where nodes stand; templates may hold anything."""

import random
from xml.etree import ElementTree

import pytest

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import Edge, Node, Task, Workflow
from models.workflow.layout import Layout, Measures, lay_out
from models.workflow.picture import workflow_svg
from models.workflow.shape import Shape
from models.workflow.tree import workflow_lines
from models.workflow.words import shortened, wrapped

MEASURES = Measures(width=100.0, height=20.0, beside=10.0, below=30.0, bend=5.0)
HOSTILE = '</title><script>alert("x")</script>&\x1b[31m\x00\ud800\u202e\r\n[red]\ufffe'


def test_tree_shows_steps_branches_and_loops(shop: Workflow) -> None:
    assert list(workflow_lines(shop, lambda key: f"step {key}"))[:12] == [
        "task 1: 90 of 100 sessions (90 %)",
        "  #0 session begins",
        "  #2 1: step 1",
        "  #3 2: step 2",
        "  #4 3: step 3",
        "  #5 4: step 4  ↺ #4 (10 %)",
        "  ├─ 60 %",
        "  │  #6 5: step 5",
        "  └─ 30 %",
        "     #7 6: step 6",
        "  #8 7: step 7",
        "  #1 session ends",
    ]


def test_tree_shows_forks(shop: Workflow) -> None:
    lines = list(workflow_lines(shop, lambda key: f"step {key}"))
    assert lines[lines.index("  #3 20: step 20") :] == [
        "  #3 20: step 20",
        "  └─ all of these, in any order (100 %)",
        "     ├─ #4 21: step 21",
        "     │  #5 22: step 22",
        "     └─ #6 23: step 23",
        "  #7 24: step 24",
        "  #1 session ends",
        "",
    ]


def test_hostile_templates_reach_neither_terminal_nor_markup(shop: Workflow) -> None:
    for line in workflow_lines(shop, lambda _: HOSTILE, 200):
        assert line.isprintable()
    picture = workflow_svg(shop, lambda _: HOSTILE)
    root = ElementTree.fromstring(picture)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "style", "defs", "marker", "path", "rect", "text", "tspan", "g"}
    assert '<script>alert("x")' in "".join(root.itertext())
    picture.encode("utf-8")


def test_picture_holds_every_step_edge_and_share(shop: Workflow) -> None:
    root = ElementTree.fromstring(workflow_svg(shop, lambda key: f"step {key}"))
    space = "{http://www.w3.org/2000/svg}"
    titles = [element.text or "" for element in root.iter(f"{space}title")]
    assert [title.split("\n")[0] for title in titles[1:]] == [f"step {key}" for key in (1, 2, 3, 4, 5, 6, 7)] + [
        f"step {key}" for key in (1, 20, 21, 22, 23, 24)
    ]
    drawn = [element for element in root.iter(f"{space}path") if (element.get("marker-end") or "") != ""]
    assert len(drawn) == 4 + sum(len(task.edges) for task in shop.tasks)
    words = [element.text for element in root.iter(f"{space}text")]
    assert {"60%", "30%", "10%"} <= set(words)


def test_picture_of_nothing(shop: Workflow) -> None:
    ElementTree.fromstring(workflow_svg(Workflow((), "model", {}), str))
    assert list(workflow_lines(Workflow((), "model", {}), str)) == []


def test_thicket_is_thinned_and_says_so() -> None:
    size = 40
    nodes = (Node(BEFORE_SESSION, 9), Node(END, 9), *(Node(key, 9) for key in range(size)))
    places = range(2, size + 2)
    edges = [Edge(0, 2, "branch", 5), *(Edge(a, b, "branch", (7 * a + b) % 11) for a in places for b in places)]
    task = Task(9, nodes, (*edges, *(Edge(place, 1, "branch", 0) for place in places)))
    workflow = Workflow((task,), "model", {})
    picture = workflow_svg(workflow, str)
    assert picture.count("marker-end") < 350
    assert f"of {len(task.edges)} ways, the rarest, are not drawn" in picture
    lines = list(workflow_lines(workflow, str))
    assert len(lines) < 40 * 16
    assert any("rarer ways to other steps" in line for line in lines)
    assert max(map(len, lines)) < 200


@pytest.mark.parametrize("seed", range(8))
def test_nodes_stand_apart_and_forward_edges_lead_down(seed: int) -> None:
    task = tangle(random.Random(seed))
    layout = lay_out(task, MEASURES)
    apart(layout)
    shape = Shape.of(task)
    for edges in shape.forward.values():
        for edge in edges:
            ys = [layout.nodes[edge.source][1], *(y for _, y in layout.ways[edge]), layout.nodes[edge.target][1]]
            assert ys == sorted(set(ys))
    assert set(layout.ways) == set(task.edges)
    list(workflow_lines(Workflow((task,), "model", {}), str))


def test_shape_has_no_cycle_and_knows_where_ways_meet(shop: Workflow) -> None:
    shape = Shape.of(shop.tasks[0])
    assert [(edge.source, edge.target) for edges in shape.back.values() for edge in edges] == [(5, 4)]
    assert shape.order == [0, 2, 3, 4, 5, 6, 7, 8, 1]
    assert shape.meetings()[5] == 8
    assert shape.always() == {0, 2, 3, 4, 5, 8, 1}
    assert Shape.of(shop.tasks[1]).always() == {0, 2, 3, 7, 1}


def test_ways_that_only_lead_back_do_not_hide_where_the_others_meet() -> None:
    task = Task(
        10,
        (Node(BEFORE_SESSION, 10), Node(END, 10), Node(1, 12), Node(2, 2), Node(3, 10)),
        (
            Edge(0, 2, "sequence", 10), Edge(2, 3, "branch", 2), Edge(3, 2, "loop", 2), Edge(2, 4, "branch", 10),
            Edge(4, 1, "sequence", 10),
        ),
    )  # fmt: skip
    assert Shape.of(task).meetings()[2] == 4
    assert 3 not in Shape.of(task).meetings()


def test_words_are_cut_by_columns() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert shortened("日本語", 4) == "日…"
    assert wrapped("one two three four", 9, 2) == ["one two", "three fo…"]
    assert wrapped("x" * 30, 10, 2) == ["x" * 10, "x" * 9 + "…"]
    assert wrapped("", 10, 2) == []


def apart(layout: Layout) -> None:
    """No two nodes overlap, and all lie in the drawing."""
    places = list(layout.nodes.values())
    for number, (x, y) in enumerate(places):
        assert MEASURES.width / 2 - 1e-6 <= x <= layout.width - MEASURES.width / 2 + 1e-6
        assert 0.0 < y < layout.height
        for other_x, other_y in places[number + 1 :]:
            assert y != other_y or abs(x - other_x) >= MEASURES.width + MEASURES.beside - 1e-6


def tangle(chance: random.Random) -> Task:
    """A graph of edges drawn by lot, back and forth, every node on a way from the start to the end."""
    size = chance.randint(3, 25)
    pairs = {(0, 2), (size + 1, 1)} | {(place, place + 1) for place in range(2, size + 1)}
    pairs |= {(chance.randint(2, size + 1), chance.randint(1, size + 1)) for _ in range(2 * size)}
    nodes = (Node(BEFORE_SESSION, 9), Node(END, 9), *(Node(place, 9) for place in range(2, size + 2)))
    task = Task(9, nodes, tuple(Edge(a, b, "branch", chance.randint(0, 9)) for a, b in sorted(pairs)))
    task.check()
    return task
