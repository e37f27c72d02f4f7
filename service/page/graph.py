"""The part of a workflow around one step as an SVG picture: a step a row, ways as arcs beside them.

Rows fit a phone, and a row has room for a template's words. Owns which steps are shown, their order, and the format;
colours are the style sheet's, and every mark is also a word. Text is escaped. Does not know what departed from the
workflow, nor why (``models.workflow.diagnosis``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from models.sessions import BEFORE_SESSION
from models.workflow.graph import Edge, Task, Workflow
from models.workflow.shape import Shape
from models.workflow.words import TextOf, node_text, printable, share, wrapped

_WIDTH = 380.0
_ROW = 58.0
_TOP = 8.0
_GUTTER = 74.0
_DOT = 6.0
_COLUMNS = 40
"""Characters in a line of a row, in a font of 12 units."""
_BEFORE = 2
_AFTER = 5
_ROWS = 14
_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0.5 8 4 0 7.5Z"/></marker></defs>'
)


@dataclass(slots=True)
class _Row:
    """``place`` is None for what came and is no step here."""

    place: int | None
    words: str
    full: str
    marks: list[str] = field(default_factory=list)


def around(workflow: Workflow, diagnosis: Mapping[str, Any], text_of: TextOf) -> str | None:
    """The picture for a diagnosis in words; None where nothing places the session in the workflow."""
    number, last = diagnosis["task"], diagnosis["last"]
    if number is None or last is None or not 0 <= number < len(workflow.tasks):
        return None
    task = workflow.tasks[number]
    expected = {part["template_id"]: part["probability"] for part in diagnosis["expected"]}
    focus = _focus(task, last["template_id"], expected)
    if focus is None:
        return None
    missing = [part["template_id"] for part in diagnosis["missing"]]
    rows = _rows(task, focus, diagnosis["observed"], missing, expected, text_of)
    return _svg(rows, task)


def _focus(task: Task, template_id: int, expected: Mapping[int, float]) -> int | None:
    """The step with a template that best leads to what was expected next."""

    def fits(place: int) -> tuple[float, int]:
        ahead = {task.nodes[edge.target].template_id for edge in task.leaving[place]}
        return sum(expected.get(key, 0.0) for key in ahead), task.nodes[place].count

    places = [place for place, node in enumerate(task.nodes) if node.template_id == template_id]
    return max(places, key=fits, default=None)


def _rows(
    task: Task,
    focus: int,
    observed: Mapping[str, Any],
    missing: list[int],
    expected: Mapping[int, float],
    text_of: TextOf,
) -> list[_Row]:
    entering: dict[int, list[Edge]] = {}
    for edge in sorted(task.edges, key=lambda edge: -edge.count):
        entering.setdefault(edge.target, []).append(edge)
    shown = {focus: [f"{'start' if task.nodes[focus].template_id == BEFORE_SESSION else 'last step that fits'}"]}
    at = focus
    for _ in range(_BEFORE):
        at = next((edge.source for edge in entering.get(at, ()) if edge.source not in shown), at)
        shown.setdefault(at, [])
    for edge in task.leaving[focus][:_AFTER]:
        chance = expected.get(task.nodes[edge.target].template_id)
        marks = shown.setdefault(edge.target, [])
        if chance is not None:
            marks.append(f"expected {share(round(1e6 * chance), 10**6)}")
    at, came = focus, observed["template_id"]
    for key in missing[: _ROWS - len(shown) - 1]:
        found = _next(task, at, key)
        if found is None:
            break
        shown.setdefault(found, []).append("left out")
        at = found
    place = _next(task, at, came)
    if place is not None:
        shown.setdefault(place, []).append("came")
    order = {node: number for number, node in enumerate(Shape.of(task).order)}
    rows = []
    for node in sorted(shown, key=lambda node: order.get(node, -1)):
        step = task.nodes[node]
        words = node_text(step, text_of)
        rows.append(_Row(node, words, f"{words}, seen {step.count} times", shown[node]))
    if place is None:
        words = printable(f"{came}: {observed['template']}" if came >= 0 else str(observed["template"]))
        rows.append(_Row(None, words, words, ["came instead"]))
    return rows


def _next(task: Task, place: int, template_id: int) -> int | None:
    """The nearest step with a template after ``place``; None where there is none."""
    seen, frontier = {place}, [place]
    while frontier:
        beyond = []
        for at in frontier:
            for edge in task.leaving[at]:
                if task.nodes[edge.target].template_id == template_id:
                    return edge.target
                if edge.target not in seen:
                    seen.add(edge.target)
                    beyond.append(edge.target)
        frontier = beyond
    return None


def _svg(rows: list[_Row], task: Task) -> str:
    height = _TOP + _ROW * len(rows)
    told = "; ".join(f"{row.words} ({', '.join(row.marks)})" if row.marks else row.words for row in rows)
    parts = [*_ways(rows, task), *(_drawn(number, row) for number, row in enumerate(rows))]
    return (
        f'<svg class="graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(f"Steps around it: {told}")}">{_HEAD}{"".join(parts)}</svg>'
    )


def _drawn(number: int, row: _Row) -> str:
    y = _centre(number)
    kind = _kind(row)
    lines = wrapped(row.words, _COLUMNS, 2)
    text = "".join(
        f'<tspan x="{_GUTTER + 16:g}" y="{y + 4 + 14 * line:.1f}">{escape(words)}</tspan>'
        for line, words in enumerate(lines)
    )
    marks = ""
    if row.marks:
        marks = f'<text class="mark" x="{_GUTTER + 16:g}" y="{y - 11:.1f}">{escape(" · ".join(row.marks))}</text>'
    return (
        f'<g class="{kind}"><title>{escape(row.full)}</title><circle cx="{_GUTTER:g}" cy="{y:.1f}" r="{_DOT:g}"/>'
        f"{marks}<text>{text}</text></g>"
    )


def _kind(row: _Row) -> str:
    for mark, kind in (("came", "came"), ("left out", "out"), ("last", "last"), ("start", "last"), ("exp", "next")):
        if any(own.startswith(mark) for own in row.marks):
            return f"step {kind}"
    return "step"


def _ways(rows: list[_Row], task: Task) -> Iterator[str]:
    at = {row.place: number for number, row in enumerate(rows) if row.place is not None}
    for edge in task.edges:
        if edge.source not in at or edge.target not in at:
            continue
        visits = sum(other.count for other in task.leaving[edge.source])
        weight = 0.8 + 1.4 * edge.count / max(visits, 1)
        again = ' stroke-dasharray="4 3"' if at[edge.target] <= at[edge.source] else ""
        yield (
            f'<path class="way" d="{_arc(at[edge.source], at[edge.target])}" stroke-width="{weight:.2f}"{again} '
            'marker-end="url(#head)"/>'
        )
    focus = next((number for number, row in enumerate(rows) if _kind(row) == "step last"), None)
    if rows[-1].place is None and focus is not None:
        yield f'<path class="way odd" d="{_arc(focus, len(rows) - 1)}" stroke-dasharray="2 3" marker-end="url(#head)"/>'


def _arc(source: int, target: int) -> str:
    """From one row's dot to another's; a neighbour below is reached straight."""
    y0, y1 = _centre(source), _centre(target)
    if target == source + 1:
        return f"M{_GUTTER:g} {y0 + _DOT:.1f}V{y1 - _DOT - 1:.1f}"
    if target == source:
        near, far = _GUTTER - 5, _GUTTER - 30
        return f"M{near:g} {y0 + 4:.1f}C{far:g} {y0 + 22:.1f} {far:g} {y0 - 22:.1f} {near - 1:g} {y0 - 4:.1f}"
    out = _GUTTER - min(12.0 + 9.0 * abs(target - source), _GUTTER * 1.25)
    return f"M{_GUTTER - _DOT:g} {y0:.1f}C{out:.1f} {y0:.1f} {out:.1f} {y1:.1f} {_GUTTER - _DOT - 1:g} {y1:.1f}"


def _centre(number: int) -> float:
    return _TOP + _ROW * number + 24.0
