"""Finding a template for a message in Drain's prefix tree (He et al., "Drain", ICWS 2017; drain3's ``Drain`` class).

Owns the ``Drain`` object: its nodes, clusters and rules for where a new cluster goes. Does not know versions, caps, nor
which widening is refused.

Two things differ from drain3's own search:
- Every leaf that can hold an exact match is looked at, the exact child before the wildcard child. Drain follows the
  exact child only, so a new template can hide an older one, and a message known for weeks would become a "new event".
  As it is here, what matched once matches for ever, and a change matters to just the messages that the changed template
  matches.
- All templates of a large leaf are compared at once; the results are the same.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from drain3.drain import Drain, LogCluster, Node

from models.source.config import DrainSettings
from models.template.change import NO_TEMPLATE
from models.template.leaf import WILDCARD_CODE, Codes, Leaf
from models.template.tokens import WILDCARD, fits

FEW = 16
"""Up to so many templates it is quicker to compare one by one, stopping at the first token that differs."""


class Search:
    """A Drain prefix tree over templates whose ids the caller gives."""

    def __init__(self, settings: DrainSettings) -> None:
        # TemplateMiner's defaults but for the three settings: tokens with digits go below a wildcard node.
        self._drain = Drain(
            depth=settings.depth,
            sim_th=settings.similarity,
            max_children=settings.max_children,
            param_str=WILDCARD,
            parametrize_numeric_tokens=True,
        )
        self._codes = {WILDCARD: WILDCARD_CODE}
        self._leaves: dict[Node, Leaf] = {}
        self._home: dict[int, Leaf] = {}

    def insert(self, template_id: int, origin: Sequence[str]) -> None:
        """A new template. Its place depends on ``origin`` and on those inserted before: insert in the order of ids."""
        cluster = LogCluster(list(origin), template_id)
        self._drain.id_to_cluster[template_id] = cluster
        self._drain.add_seq_to_prefix_tree(self._drain.root_node, cluster)
        # Drain's own way of a template's origin ends where Drain has just put it (but may not, after later ones).
        node = next(self._nodes(origin, greedy=True))
        leaf = self._home[template_id] = self._leaves.setdefault(node, Leaf(len(origin)))
        self._put(leaf, template_id, origin)

    def widen(self, template_id: int, tokens: Sequence[str]) -> None:
        """Give a template other tokens; it keeps its place."""
        self._drain.id_to_cluster[template_id].log_template_tokens = tuple(tokens)
        self._put(self._home[template_id], template_id, tokens)

    def match(self, tokens: Sequence[str]) -> int:
        """Id of the template that matches exactly, or NO_TEMPLATE.

        Of several: Drain's choice, the one with the most wildcards, then the oldest; an exact prefix comes first.
        """
        for node in self._nodes(tokens):
            if len(node.cluster_ids) <= FEW:
                found = self._match_few(node.cluster_ids, tokens)
            else:
                found = self._leaves[node].match(self._encode(tokens))
            if found != NO_TEMPLATE:
                return found
        return NO_TEMPLATE

    def _match_few(self, template_ids: Sequence[int], tokens: Sequence[str]) -> int:
        best, most = NO_TEMPLATE, -1
        for template_id in template_ids:
            template = self._drain.id_to_cluster[template_id].log_template_tokens
            if fits(template, tokens):
                wildcards = template.count(WILDCARD)
                if wildcards > most:
                    best, most = template_id, wildcards
        return best

    def similar(self, tokens: Sequence[str]) -> int:
        """Id of the template that Drain would widen for this message, or NO_TEMPLATE where none is similar enough.

        The message is one that nothing matches.
        """
        node = next(self._nodes(tokens, greedy=True), None)
        if node is None:
            return NO_TEMPLATE
        template_id, equal = self._leaves[node].nearest(self._encode(tokens))
        return template_id if equal / len(tokens) >= self._drain.sim_th else NO_TEMPLATE

    def widened(self, template_id: int, tokens: Sequence[str]) -> list[str]:
        """The tokens of the template once it takes in this message too."""
        cluster = self._drain.id_to_cluster[template_id]
        merged: list[str] = self._drain.create_template(tokens, cluster.log_template_tokens)
        return merged

    def _put(self, leaf: Leaf, template_id: int, tokens: Sequence[str]) -> None:
        for token in tokens:
            self._codes.setdefault(token, len(self._codes))
        leaf.put(template_id, self._encode(tokens))

    def _encode(self, tokens: Sequence[str]) -> Codes:
        """Codes int32 [n]; -1 for a token that no template holds."""
        codes = self._codes
        return np.array([codes.get(token, -1) for token in tokens], dtype=np.int32)

    def _nodes(self, tokens: Sequence[str], greedy: bool = False) -> Iterator[Node]:
        """The nodes whose clusters may match, an exact child's before a wildcard child's; Drain's one where greedy."""
        root = self._drain.root_node.key_to_child_node.get(str(len(tokens)))
        last = min(self._drain.max_node_depth, len(tokens))
        stack = [] if root is None else [(root, 1)]
        while stack:
            node, depth = stack.pop()
            if depth >= last:
                yield node
                continue
            exact = node.key_to_child_node.get(tokens[depth - 1])
            wildcard = node.key_to_child_node.get(WILDCARD)
            if wildcard is not None and not (greedy and exact is not None):
                stack.append((wildcard, depth + 1))
            if exact is not None:
                stack.append((exact, depth + 1))
