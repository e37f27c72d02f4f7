"""The search against drain3's own: the same neighbours and, on real logs, the same groups."""

import polars as pl
import pytest
from drain3.drain import Drain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.source.config import DrainSettings
from models.template.accuracy import grouping
from models.template.change import NO_TEMPLATE
from models.template.search import Search
from models.template.tree import TemplateTree

WORDS = st.sampled_from(["a", "b", "c", "7", "x1"])


@pytest.mark.parametrize("few", [0, 16])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=30),
    probe=st.lists(WORDS, min_size=1, max_size=4),
    similarity=st.sampled_from([0.3, 0.5, 0.7]),
    depth=st.integers(3, 5),
    max_children=st.integers(2, 4),
)
def test_neighbours_and_matches_are_drains(monkeypatch, few, messages, probe, similarity, depth, max_children):
    monkeypatch.setattr("models.template.search.FEW", few)
    drain = Drain(depth=depth, sim_th=similarity, max_children=max_children)
    search = Search(DrainSettings(depth=depth, similarity=similarity, max_children=max_children))
    for tokens in messages:
        cluster, kind = drain.add_log_message(" ".join(tokens))
        if kind == "cluster_created":
            search.insert(cluster.cluster_id, tokens)
        else:
            search.widen(cluster.cluster_id, cluster.log_template_tokens)

    near = drain.tree_search(drain.root_node, probe, similarity, False)
    assert search.similar(probe) == (near.cluster_id if near else NO_TEMPLATE)
    exact = drain.match(" ".join(probe))
    if exact:
        assert search.match(probe) == exact.cluster_id
    assert (search.match(probe) == NO_TEMPLATE) == (drain.match(" ".join(probe), "fallback") is None)


@pytest.mark.parametrize("system", ["HDFS", "BGL", "Apache", "Thunderbird"])
def test_groups_on_real_logs_are_drains(datasets_dir, system):
    table = pl.read_csv(datasets_dir / "loghub2k" / f"{system}_2k.log_structured.csv", infer_schema=False)
    messages = table["Content"].fill_null("").str.replace_all(r"\b\d+\b", "<NUM>")
    drain = Drain(depth=4, sim_th=0.4, max_children=100)
    expected = [drain.add_log_message(message)[0].cluster_id for message in messages]

    ids = TemplateTree(DrainSettings(), "tree-1").assign(messages).ids.tolist()

    assert grouping(ids, expected).accuracy > 0.99
