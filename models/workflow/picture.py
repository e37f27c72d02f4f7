"""A workflow as an SVG picture: every task a graph from the session's start down to its end.

Owns colours, words' places and the format. It is one self-contained document without scripts, links or fonts of its
own; all text is escaped. Does not know where nodes stand (``models.workflow.layout``).
"""

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from itertools import pairwise

from models.workflow.graph import END_NODE, START_NODE, Edge, Kind, Node, Task, Workflow
from models.workflow.layout import Layout, Measures, Point, lay_out
from models.workflow.shape import Shape
from models.workflow.words import TextOf, node_text, printable, share, wrapped

_MEASURES = Measures(width=238.0, height=38.0, beside=34.0, below=34.0, bend=12.0)
_MARGIN = 28.0
_HEADING = 44.0
_LEGEND = 40.0
_COLUMNS = 33
"""Characters in a line of a node, in a font of 10.5 units."""
_EDGES = 250
"""Of a task with more edges only so many are drawn, besides one into and one out of every step: more would be a
thicket, and slow to lay out."""
_PORT = 0.28
"""Where edges that lead back leave and enter a node, as a share of its width from the middle."""

_COLOURS: dict[Kind, str] = {
    "sequence": "#475569",
    "branch": "#1d4ed8",
    "loop": "#b45309",
    "fork": "#15803d",
    "join": "#15803d",
}
_MEANINGS: dict[Kind, str] = {
    "sequence": "always next",
    "branch": "one of several",
    "loop": "again",
    "fork": "all, in any order",
}
_STYLE = (
    "text{font-family:ui-sans-serif,system-ui,'DejaVu Sans',sans-serif;font-size:10.5px;fill:#0f172a}"
    ".h{font-size:15px;font-weight:600}.s{font-size:12px;fill:#475569}"
    ".n{fill:#fff;stroke:#94a3b8}.a{fill:#eef2ff;stroke:#475569;stroke-width:1.5}"
    ".m{fill:#e2e8f0;stroke:#475569}.e{fill:none}"
    ".l{font-size:9.5px;paint-order:stroke;stroke:#fff;stroke-width:3px}.c{text-anchor:middle}"
)


def workflow_svg(workflow: Workflow, text_of: TextOf) -> str:
    """The picture, tasks below each other. ``text_of`` gives a template's text, which may hold anything."""
    drawn = [_thinned(task) for task in workflow.tasks]
    layouts = [lay_out(task, _MEASURES) for task in drawn]
    whole = sum(task.sessions for task in workflow.tasks)
    width = max([720.0, *(layout.width for layout in layouts)]) + 2 * _MARGIN
    parts: list[str] = list(_legend())
    y = _LEGEND
    for number, (given, task, layout) in enumerate(zip(workflow.tasks, drawn, layouts, strict=True), 1):
        y += _HEADING
        rarer = len(given.edges) - len(task.edges)
        note = f"; {rarer} of {len(given.edges)} ways, the rarest, are not drawn" if rarer else ""
        parts.append(
            f'<text class="h" x="{_MARGIN:g}" y="{y - 16:g}">Task {number} '
            f'<tspan class="s">{task.sessions} of {whole} sessions ({escape(share(task.sessions, whole))}){note}'
            "</tspan></text>"
        )
        parts.append(f'<g transform="translate({_MARGIN:g} {y:g})">')
        parts += _task(task, layout, text_of)
        parts.append("</g>")
        y += layout.height + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {y:.0f}" width="{width:.0f}" '
        f'height="{y:.0f}" role="img"><title>Workflow</title><style>{_STYLE}</style><defs>{"".join(_heads())}</defs>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _heads() -> Iterator[str]:
    """Arrow heads, one a colour."""
    for kind, colour in _COLOURS.items():
        yield (
            f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 8 4 0 7.5Z" fill="{colour}"/></marker>'
        )


def _legend() -> Iterator[str]:
    x = _MARGIN
    for kind, meaning in _MEANINGS.items():
        yield f'<path class="e" d="M{x:g} 24h30" {_pen(kind, 1.5)}/><text x="{x + 37:g}" y="28">{meaning}</text>'
        x += 60 + 6.2 * len(meaning)
    yield f'<rect class="a" x="{x:g}" y="16" width="22" height="14" rx="4"/>'
    yield f'<text x="{x + 29:g}" y="28">every session passes</text>'


def _thinned(task: Task) -> Task:
    """A task without its rarest edges, where it has too many to draw; every step keeps a way in and a way out."""
    if len(task.edges) <= _EDGES:
        return task
    usual = sorted(task.edges, key=lambda edge: -edge.count)
    kept = set(usual[:_EDGES]) | {edge for edge in task.edges if edge.kind not in ("branch", "loop")}
    into: set[int] = {edge.target for edge in kept}
    out: set[int] = {edge.source for edge in kept}
    for edge in usual:
        if edge.target not in into or edge.source not in out:
            kept.add(edge)
            into.add(edge.target)
            out.add(edge.source)
    return replace(task, edges=tuple(edge for edge in task.edges if edge in kept))


def _task(task: Task, layout: Layout, text_of: TextOf) -> Iterator[str]:
    for edges in task.leaving.values():
        visits = sum(edge.count for edge in edges)
        for edge in edges:
            yield _edge(edge, layout, visits)
    always = Shape.of(task).always()
    for place, node in enumerate(task.nodes):
        yield _node(place, node, place in always, layout.nodes[place], text_of)
    for edges in task.leaving.values():
        visits = sum(edge.count for edge in edges)
        for edge in edges:
            if edge.kind in ("branch", "loop"):
                yield _label(edge, layout, share(edge.count, visits).replace(" ", ""))


def _node(place: int, node: Node, always: bool, centre: Point, text_of: TextOf) -> str:
    x, y = centre[0] - _MEASURES.width / 2, centre[1] - _MEASURES.height / 2
    words = node_text(node, text_of)
    if place in (START_NODE, END_NODE):
        return (
            f'<rect class="m" x="{centre[0] - 62:.1f}" y="{centre[1] - 13:.1f}" width="124" height="26" rx="13"/>'
            f'<text class="c" x="{centre[0]:.1f}" y="{centre[1] + 3.5:.1f}">{escape(words)}</text>'
        )
    rows = wrapped(words, _COLUMNS, 2)
    top = centre[1] + 3.5 - 6.5 * (len(rows) - 1)
    lines = "".join(
        f'<tspan x="{x + 9:.1f}" y="{top + 13 * number:.1f}">{escape(row)}</tspan>' for number, row in enumerate(rows)
    )
    told = f"{printable(text_of(node.template_id))}\ntemplate {node.template_id}, seen {node.count} times"
    return (
        f'<g><title>{escape(told)}</title><rect class="{"a" if always else "n"}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{_MEASURES.width:g}" height="{_MEASURES.height:g}" rx="6"/><text>{lines}</text></g>'
    )


def _edge(edge: Edge, layout: Layout, visits: int) -> str:
    # Rare ways are thin, so that the usual course stands out.
    weight = 0.8 + 1.2 * edge.count / max(visits, 1)
    return f'<path class="e" d="{_way(_points(edge, layout))}" {_pen(edge.kind, weight)}/>'


def _pen(kind: Kind, weight: float) -> str:
    dashes = ' stroke-dasharray="5 3"' if kind == "loop" else ""
    return f'stroke="{_COLOURS[kind]}" stroke-width="{weight:.2f}"{dashes} marker-end="url(#{kind})"'


def _points(edge: Edge, layout: Layout) -> list[Point]:
    """From the border of one node to that of the other, by the bends between; loops keep to the right."""
    (x0, y0), (x1, y1) = layout.nodes[edge.source], layout.nodes[edge.target]
    half = _MEASURES.height / 2
    if edge.source == edge.target:
        side = x0 + _MEASURES.width / 2
        return [(side, y0 - half / 2), (side + _MEASURES.beside * 0.8, y0), (side, y0 + half / 2)]
    up = y1 < y0
    aside = _PORT * _MEASURES.width if up else 0.0
    leave = (x0 + aside, y0 + (-half if up else _reach(edge.source)))
    enter = (x1 + aside, y1 + (half if up else -_reach(edge.target)))
    return [leave, *layout.ways[edge], enter]


def _reach(place: int) -> float:
    """From a node's centre to its upper or lower border."""
    return 13.0 if place in (START_NODE, END_NODE) else _MEASURES.height / 2


def _way(points: list[Point]) -> str:
    """A curve through all points, upright at each."""
    if len(points) == 3 and points[0][0] == points[2][0] and points[1][0] > points[0][0]:
        (x, top), (side, _), (_, bottom) = points
        return f"M{x:.1f} {bottom:.1f}C{side + 8:.1f} {bottom:.1f} {side + 8:.1f} {top:.1f} {x:.1f} {top:.1f}"
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        parts.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    return "".join(parts)


def _label(edge: Edge, layout: Layout, words: str) -> str:
    points = _points(edge, layout)
    if edge.source == edge.target:
        x, y = points[0][0] + 4, points[0][1] - 4
        return f'<text class="l" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
    (x0, y0), (x1, y1) = points[0], points[1]
    return f'<text class="l c" x="{x0 + 0.5 * (x1 - x0):.1f}" y="{y0 + 0.5 * (y1 - y0) + 3:.1f}">{escape(words)}</text>'
