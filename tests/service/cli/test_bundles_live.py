"""`tocsin bundles activate|rollback|list --url` against a running service."""

import json
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from service.cli.app import app
from service.cli.remote import RemoteError
from tests.service.api.test_models import PASSED, REJECTED, version_of
from tests.service.serving import Child, shop_bundle, stored


async def test_versions_go_live_and_back_from_the_command_line(
    redis: Redis, redis_url: str, tmp_path: Path, run: CliRunner
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", shop_bundle(), version_of("2", gate=PASSED), version_of("3", "2", REJECTED))
    child = Child(redis_url, bundles, spool_rows=0)
    try:
        async with httpx.AsyncClient() as http:
            await child.ready(http)

        def bundles_command(*arguments: str) -> str:
            done = run.invoke(app, ["bundles", *arguments, "--url", child.url])
            assert done.exit_code == 0, done.output
            return done.stdout

        # The newest that no gate rejected is live from the start.
        table = {row.split()[1]: row for row in bundles_command("list").splitlines() if row.startswith("shop")}
        assert "live" in table["2"].split()
        assert "rejected: 3 of 200" in table["3"]
        answer = json.loads(bundles_command("activate", "shop", "1", "--author", "Zoë", "--json"))
        assert answer == {"source": "shop", "live": "1", "reset_sessions": False}
        assert bundles_command("rollback", "shop").strip() == "shop: version 2 is live (was 1)"
        assert "version 1 judges in the shadow of version 2" in bundles_command("shadow", "shop", "1")
        assert "no version judges" in bundles_command("shadow", "shop")
        refused = run.invoke(app, ["bundles", "activate", "shop", "3", "--url", child.url])
        assert isinstance(refused.exception, RemoteError)
        assert "a confirmed anomaly is quiet" in str(refused.exception)
        made = httpx.get(f"{child.url}/models").json()["models"]
        by = next(model for model in made if model["source"] == "shop")["activations"]
        assert [(one["version"], one["by"]) for one in by] == [("2", None), ("1", "Zoë"), ("2", "anonymous")]
    finally:
        child.kill()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://here", "nowhere"])
def test_service_that_is_not_there_is_one_clear_error(run: CliRunner, url: str) -> None:
    done = run.invoke(app, ["bundles", "activate", "shop", "1", "--url", url])
    assert isinstance(done.exception, RemoteError)
    assert url in str(done.exception)
