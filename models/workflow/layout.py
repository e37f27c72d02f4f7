"""Where the nodes of one task's drawing stand: in layers from the start down, edges bent around what lies between.

The method of Sugiyama, Tagawa and Toda (1981): layers by the longest way from the start, edges over several layers cut
into pieces by bends, order in a layer by the mean of the neighbours, then places as near to the neighbours' as the
order allows. Owns places. Does not know words, colours or the format of a picture.
"""

from bisect import bisect_right, insort
from dataclasses import dataclass
from itertools import pairwise

from models.workflow.graph import END_NODE, Edge, Task
from models.workflow.shape import Shape

_SWEEPS = 12
_SETTLING = 60
_STRAIGHT = 8.0
"""How much more a bend holds to a bend, and a node to one that is always beside it, than others do: long edges and the
usual way are to be straight."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measures:
    """Sizes in the drawing's units: of a node, of the gaps beside and below one, of the room that a bend takes."""

    width: float
    height: float
    beside: float
    below: float
    bend: float


@dataclass(frozen=True, slots=True)
class Layout:
    """``nodes``: centre of each node; ``ways``: for each edge the points it passes, its ends excluded, from its source
    to its target; both in units from the upper left corner of a drawing ``width`` by ``height``."""

    nodes: dict[int, Point]
    ways: dict[Edge, list[Point]]
    width: float
    height: float


@dataclass(slots=True)
class _Cell:
    """A node, or the bend of an edge, in its layer."""

    width: float
    x: float = 0.0


def lay_out(task: Task, measures: Measures) -> Layout:
    """Places for every node and edge of a task."""
    shape = Shape.of(task)
    layer = _layers(shape)
    cells = [_Cell(measures.width) for _ in task.nodes]
    rows: list[list[int]] = [[] for _ in range(max(layer.values()) + 1)]
    for place in shape.order:
        rows[layer[place]].append(place)
    above: dict[int, list[int]] = {place: [] for place in range(len(cells))}
    below: dict[int, list[int]] = {place: [] for place in range(len(cells))}
    bends: dict[Edge, list[int]] = {}
    holds: dict[tuple[int, int], float] = {}
    ends = [(edge, edge.source, edge.target) for edges in shape.forward.values() for edge in edges]
    ends += [(edge, edge.target, edge.source) for edges in shape.back.values() for edge in edges]
    for edge, upper, lower in ends:
        at = upper
        bends[edge] = []
        for row in range(layer[upper] + 1, layer[lower]):
            bend = len(cells)
            cells.append(_Cell(measures.bend))
            rows[row].append(bend)
            above[bend], below[bend] = [], []
            _link(at, bend, above, below)
            bends[edge].append(bend)
            at = bend
        if upper != lower:
            _link(at, lower, above, below)
            holds.update(_holds(edge, upper, lower, bends[edge], task))
    _arrange(rows, above, below)
    _settle(rows, above, below, cells, holds, measures.beside)
    left = min(cell.x - cell.width / 2 for cell in cells)
    pitch = measures.height + measures.below
    row_of = {cell: number for number, row in enumerate(rows) for cell in row}

    def point(cell: int) -> Point:
        return cells[cell].x - left, row_of[cell] * pitch + measures.height / 2

    turned = {edge for edges in shape.back.values() for edge in edges}
    return Layout(
        nodes={place: point(place) for place in range(len(task.nodes))},
        ways={
            edge: [point(cell) for cell in (reversed(way) if edge in turned else way)] for edge, way in bends.items()
        },
        width=max(cell.x + cell.width / 2 for cell in cells) - left,
        height=len(rows) * pitch - measures.below,
    )


def _layers(shape: Shape) -> dict[int, int]:
    """The longest way to each node; the end below everything."""
    layer = dict.fromkeys(shape.order, 0)
    for place in shape.order:
        for edge in shape.forward[place]:
            layer[edge.target] = max(layer[edge.target], layer[place] + 1)
    layer[END_NODE] = max([layer[END_NODE], *(depth + 1 for place, depth in layer.items() if place != END_NODE)])
    return layer


def _link(upper: int, lower: int, above: dict[int, list[int]], below: dict[int, list[int]]) -> None:
    below[upper].append(lower)
    above[lower].append(upper)


def _holds(edge: Edge, upper: int, lower: int, bends: list[int], task: Task) -> dict[tuple[int, int], float]:
    """How much the ends of an edge hold to what is beside them on it, both ways."""
    if bends:
        pairs, hold = [(upper, bends[0]), (bends[-1], lower)], 1.0
    else:
        busier = max(task.nodes[upper].count, task.nodes[lower].count, 1)
        pairs, hold = [(upper, lower)], 1.0 + (_STRAIGHT - 1.0) * min(edge.count / busier, 1.0)
    return {ends: hold for one, other in pairs for ends in ((one, other), (other, one))}


def _arrange(rows: list[list[int]], above: dict[int, list[int]], below: dict[int, list[int]]) -> None:
    """Order every layer by the mean place of the neighbours in the one before, down and up in turn; the order with the
    fewest crossings stays."""
    best, fewest = [row[:] for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for number in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            place = {cell: at for at, cell in enumerate(rows[number - 1 if down else number + 1])}
            own = {cell: float(at) for at, cell in enumerate(rows[number])}
            mean = {
                cell: sum(place[other] for other in neighbours[cell]) / len(neighbours[cell])
                if neighbours[cell]
                else own[cell]
                for cell in rows[number]
            }
            rows[number].sort(key=mean.__getitem__)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [row[:] for row in rows], crossings
    rows[:] = best


def _crossings(rows: list[list[int]], below: dict[int, list[int]]) -> int:
    found = 0
    for upper, lower in pairwise(rows):
        place = {cell: at for at, cell in enumerate(lower)}
        passed: list[int] = []
        for cell in upper:
            for at in sorted(place[other] for other in below[cell]):
                found += len(passed) - bisect_right(passed, at)
                insort(passed, at)
    return found


def _settle(
    rows: list[list[int]],
    above: dict[int, list[int]],
    below: dict[int, list[int]],
    cells: list[_Cell],
    holds: dict[tuple[int, int], float],
    beside: float,
) -> None:
    """Move every layer to its neighbours' mean, as far as its order and the gaps between cells allow; ``holds`` says
    how much one cell holds to another, ``_STRAIGHT`` where it does not."""
    for row in rows:
        at = 0.0
        for cell in row:
            cells[cell].x = at + cells[cell].width / 2
            at += cells[cell].width + beside
    for sweep in range(_SETTLING):
        sides = ((above,), (below,), (above, below))[sweep % 3]
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wished, weights = [], []
            for cell in row:
                near = [other for side in sides for other in side[cell]]
                held = [holds.get((cell, other), _STRAIGHT) for other in near]
                total = sum(held)
                wished.append(
                    sum(cells[other].x * hold for other, hold in zip(near, held, strict=True)) / total
                    if near
                    else cells[cell].x
                )
                weights.append(total or 0.1)
            for cell, x in zip(row, _spaced(wished, weights, [cells[c].width for c in row], beside), strict=True):
                cells[cell].x = x


def _spaced(wished: list[float], weights: list[float], widths: list[float], beside: float) -> list[float]:
    """The places nearest to those wished, in weighted least squares, that keep order and gaps: with the gaps taken out
    an isotonic regression, by pooling neighbours that are in each other's way."""
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + beside)
    pools: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wished, weights, offsets, strict=True):
        mean, total, size = wish - offset, weight, 1
        while pools and pools[-1][0] > mean:
            before, heavy, many = pools.pop()
            mean, total, size = (before * heavy + mean * total) / (heavy + total), heavy + total, size + many
        pools.append((mean, total, size))
    places = [mean for mean, _, size in pools for _ in range(size)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]
