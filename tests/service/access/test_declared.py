"""Keys of a file: read as they are meant, refused where they are not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigError
from service.access import declared
from service.state.apikeys import ApiKey

GOOD: dict[str, Any] = {"name": "shop", "id": "0123456789ab", "sha256": "a" * 64, "scopes": ["ingest"]}


def written(folder: Path, keys: Any) -> Path:
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump({"keys": keys}))
    return path


def test_an_entry_reads_back(tmp_path: Path) -> None:
    key = ApiKey("0123456789ab", "shop", "a" * 64, ("ingest", "read"), ("shop-*",), expires=1_800_000_000.0, rate=5.0)
    assert declared.load(written(tmp_path, [declared.entry(key)])) == [key]
    assert declared.load(None) == []


@pytest.mark.parametrize(
    "keys",
    [
        [{**GOOD, "secret": "x"}],
        [{**GOOD, "scopes": []}],
        [{**GOOD, "scopes": ["root"]}],
        [{**GOOD, "name": "a b"}],
        [{**GOOD, "name": "anonymous"}],
        [{**GOOD, "id": "short"}],
        [{**GOOD, "sha256": "tcs_0123456789ab_secret"}],
        [{**GOOD, "rate": 0}],
        [{**GOOD, "sources": ["{"]}],
        [GOOD, {**GOOD, "id": "ba9876543210"}],
        [GOOD, {**GOOD, "name": "other"}],
        "shop",
        None,
    ],
)
def test_what_is_no_key_is_refused_with_where_it_stands(tmp_path: Path, keys: Any) -> None:
    with pytest.raises(ConfigError):
        declared.load(written(tmp_path, keys))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read API keys"):
        declared.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("keys: [")
    with pytest.raises(ConfigError, match="cannot read API keys"):
        declared.load(tmp_path / "bad.yaml")
