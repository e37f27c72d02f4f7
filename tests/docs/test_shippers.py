"""The shippers' configurations: each is whole, listed, and sends to a call that is there."""

import re
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute

from service.api.app import ROUTERS
from service.intake.routing import Routing

FOLDER = Path(__file__).parents[2] / "docs" / "shippers"
FILES = sorted(path for path in FOLDER.iterdir() if path.name != "README.md")
README = (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_configuration_reads_and_names_source_and_address(path: Path) -> None:
    text = path.read_text()
    assert f"]({path.name})" in README
    assert "the source" in text
    if path.suffix in (".yaml", ".yml"):
        assert isinstance(yaml.safe_load(text), dict)
    routes = {route.path for module in ROUTERS for route in module.router.routes if isinstance(route, APIRoute)}
    addresses = re.findall(r"http://tocsin:8000([^\s\"']*)", text)
    assert all(address in routes | {""} for address in addresses)
    assert addresses or "host: tocsin" in text or 'target="tocsin"' in text


def test_the_rules_that_are_shown_are_rules() -> None:
    shown = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert shown
    routing = Routing.from_dict(yaml.safe_load(shown[1]))
    assert [route.source for route in routing.routes] == ["shop"]
    assert routing.sessions == {"shop": ("trace_id",)}
