"""Records that nothing judged: written in batches, read back as if they had come at once."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.parser import End, Parser
from models.spool.reader import file_name
from models.spool.records import RECORDS, pack, read_unjudged
from models.template.tree import TemplateTree
from tests.golden import blocks

NOW = 1_785_000_000.0


def written(folder: Path, number: int, frame: pl.DataFrame, writer: str = "w") -> None:
    (folder / "blocks").mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "blocks" / file_name(RECORDS, 1_000 * number, writer, number))


@pytest.mark.parametrize("size", [1, 37, 10_000])
def test_batches_read_back_as_one_log(tmp_path: Path, size: int) -> None:
    lines = [line for line in blocks.golden_log() if "blk_" in line]
    parser = Parser(blocks.source(), TemplateTree(blocks.source().drain, "t"))
    whole = parser.split(lines, NOW)
    ids = parser.tree.assign(whole.masked).ids
    frames = []
    for start in range(0, len(lines), size):
        part = parser.split(lines[start : start + size], NOW)
        ends = [End(len(part), "blk_7")] if start == 0 else []
        frames.append(pack(part, parser.match(part), ends, NOW + start, "t"))
    half = len(frames) // 2 or 1
    written(tmp_path, 1, pl.concat(frames[:half], how="diagonal"))
    if frames[half:]:
        written(tmp_path, 2, pl.concat(frames[half:], how="diagonal"))
    found = read_unjudged(tmp_path, "blocks", "t", 100_000)
    assert found.records.message.to_list() == whole.message.to_list()
    assert found.records.masked.to_list() == whole.masked.to_list()
    assert found.records.session.to_list() == whole.session.to_list()
    assert found.records.fields.to_dicts() == whole.fields.to_dicts()
    np.testing.assert_array_equal(found.records.session_record, whole.session_record)
    np.testing.assert_array_equal(found.records.time, whole.time)
    np.testing.assert_array_equal(found.ids, ids)
    assert [end.session for end in found.ends] == ["blk_7"]
    events = parser.events(found.records, found.ids, found.ends)
    assert events.ends.sum() == parser.events(whole, ids).ends.sum() + 1


def test_other_trees_and_broken_files_are_passed_over(tmp_path: Path) -> None:
    lines = blocks.normal_log()[:20]
    parser = Parser(blocks.source(), TemplateTree(blocks.source().drain, "t"))
    part = parser.split(lines, NOW)
    ids = parser.tree.assign(part.masked).ids
    written(tmp_path, 1, pack(part, ids, [], NOW, "another"))
    written(tmp_path, 2, pack(part, ids, [], NOW, "t"))
    (tmp_path / "blocks" / file_name(RECORDS, 3_000, "w", 3)).write_bytes(b"no parquet")
    found = read_unjudged(tmp_path, "blocks", "t", 100_000)
    assert (len(found), found.unreadable) == (20, 1)
    newest = read_unjudged(tmp_path, "blocks", "t", 5)
    assert newest.records.message.to_list() == part.message.to_list()[-5:]
    assert len(read_unjudged(tmp_path, "nowhere", "t", 5)) == 0


def test_batches_of_ends_alone_and_of_nothing_are_taken(tmp_path: Path) -> None:
    parser = Parser(blocks.source(), TemplateTree(blocks.source().drain, "t"))
    none = parser.split([], NOW)
    lines = blocks.normal_log()[:3]
    part = parser.split(lines, NOW)
    ids = parser.tree.assign(part.masked).ids
    frames = [
        pack(none, parser.match(none), [End(0, "blk_1"), End(1, "blk_2")], NOW, "t"),
        pack(none, parser.match(none), [], NOW, "t"),
        pack(part, ids, [End(3, "blk_3")], NOW, "t"),
    ]
    written(tmp_path, 1, pl.concat(frames, how="diagonal"))
    found = read_unjudged(tmp_path, "blocks", "t", 100)
    assert [(end.index, end.session) for end in found.ends] == [(0, "blk_1"), (1, "blk_2"), (5, "blk_3")]
    assert found.records.index.tolist() == [2, 3, 4]
    written(tmp_path, 2, frames[0])
    (tmp_path / "blocks" / file_name(RECORDS, 1_000, "w", 1)).unlink()
    only = read_unjudged(tmp_path, "blocks", "t", 100)
    assert (len(only), len(only.ends)) == (0, 2)
    assert len(parser.events(only.records, only.ids, only.ends)) == 2
