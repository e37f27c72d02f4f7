"""`tocsin sources`: the presets, what a source amounts to with its defaults, and those of a running service."""

import json
from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis
from typer.testing import CliRunner

from models.errors import ConfigError
from models.source.config import Source, presets
from service.cli.app import app
from tests.service.cli.conftest import Workplace
from tests.service.listening import beside, listening
from tests.service.serving import running


def test_presets_are_listed(run: CliRunner) -> None:
    assert run.invoke(app, ["sources"]).stdout.split() == presets()
    assert json.loads(run.invoke(app, ["sources", "--json"]).stdout) == {"presets": presets()}
    assert {"hdfs", "postgres", "syslog", "raw"} <= set(presets())


@pytest.mark.parametrize("name", presets())
def test_what_is_printed_reads_back_as_the_same_source(run: CliRunner, name: str) -> None:
    for extra in ([], ["--json"]):
        done = run.invoke(app, ["sources", name, *extra], terminal_width=40)
        assert done.exit_code == 0
        assert Source.from_dict(yaml.safe_load(done.stdout)) == Source.load(name)


def test_file_is_checked(run: CliRunner, workplace: Workplace, tmp_path: Path) -> None:
    assert run.invoke(app, ["sources", str(workplace.source)]).exit_code == 0
    (tmp_path / "bad.yaml").write_text("name: x\nheader: {kind: regex, pattern: '('}\n")
    done = run.invoke(app, ["sources", str(tmp_path / "bad.yaml")])
    assert isinstance(done.exception, ConfigError)
    assert "header.pattern" in str(done.exception)


async def test_a_source_file_is_handed_to_a_running_service(
    redis: Redis, redis_url: str, workplace: Workplace, tmp_path: Path, run: CliRunner
) -> None:
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", learning_lines=500) as replica, listening(replica) as url:

        async def said(*arguments: str) -> str:
            done = await beside(run.invoke, app, ["sources", *arguments, "--url", url])
            assert done.exit_code == 0, done.output
            return done.stdout

        put = await said(str(workplace.source), "--put")
        assert put == "blocks is configured: learning, 0 of 500 lines; 0 templates\n"
        await replica.ingest("blocks", workplace.log.read_text().splitlines()[:50])
        listed = await said()
        assert "blocks: learning, 50 of 500 lines; " in listed
        assert "; last new one 0 s ago" in listed
        (own,) = [one for one in json.loads(await said("--json"))["sources"] if one["name"] == "blocks"]
        assert own["learning"]["lines"] == 50
        assert own["learning"]["wanted"] == 500


@pytest.mark.parametrize("arguments", [["--put"], ["hdfs", "--url", "http://127.0.0.1:9"]])
def test_what_is_to_be_done_must_be_clear(run: CliRunner, arguments: list[str]) -> None:
    assert isinstance(run.invoke(app, ["sources", *arguments]).exception, ConfigError)
