"""A small workflow with every kind of edge."""

import pytest

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import Edge, Node, Task, Workflow


@pytest.fixture
def shop() -> Workflow:
    """Task 1: 1 2 3 4, then 5 or 6, then 7; the middle 3 4 may repeat. Task 2: 1 20, then 21 22 beside 23, then 24."""
    buying = Task(
        90,
        (Node(BEFORE_SESSION, 90), Node(END, 90), *(Node(key, 90) for key in (1, 2, 3, 4, 5, 6, 7))),
        (
            Edge(0, 2, "sequence", 90), Edge(2, 3, "sequence", 90, 1.5), Edge(3, 4, "sequence", 90),
            Edge(4, 5, "sequence", 100), Edge(5, 4, "loop", 10), Edge(5, 6, "branch", 60), Edge(5, 7, "branch", 30),
            Edge(6, 8, "sequence", 60), Edge(7, 8, "sequence", 30), Edge(8, 1, "sequence", 90),
        ),
        (1, 2, 3, 4, 7),
    )  # fmt: skip
    shipping = Task(
        10,
        (Node(BEFORE_SESSION, 10), Node(END, 10), *(Node(key, 10) for key in (1, 20, 21, 22, 23, 24))),
        (
            Edge(0, 2, "sequence", 10), Edge(2, 3, "sequence", 10), Edge(3, 4, "fork", 6), Edge(3, 6, "fork", 4),
            Edge(4, 5, "sequence", 10), Edge(5, 7, "join", 4), Edge(6, 7, "join", 6), Edge(7, 1, "sequence", 10),
        ),
        (1, 20, 21, 22, 23, 24),
    )  # fmt: skip
    return Workflow((buying, shipping), "model", {"tasks": 2})
