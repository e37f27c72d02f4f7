"""Settings of the service: one class reads them, from the environment (``TOCSIN_*``) or from a YAML file.

The environment wins over the file. Unknown settings in the file are refused.
"""

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import ConfigError


class Settings(BaseSettings):
    """Every setting with its default. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", extra="forbid", frozen=True)

    redis_url: str | None = Field(
        None,
        description="Redis server (`redis://`, `rediss://`, `unix://`); default: a private one under data_dir",
    )
    data_dir: Path = Field(Path("data"), description="where the private Redis and local bundles lie")
    bundles_dir: str | None = Field(
        None,
        description="path or fsspec URL of the bundles that replicas share; default `<data dir>/bundles`",
    )
    provider: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="where models are scored; `auto` takes a GPU if one works"
    )
    score_threads: int = Field(1, ge=1, description="ONNX Runtime threads for one batch")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on")
    workers: int = Field(1, ge=1, description="worker processes that share the port")
    batch_lines: int = Field(10_000, ge=1, description="lines that are processed as one batch at most")
    queue_lines: int = Field(50_000, ge=1, description="lines that may wait per source before requests get 429")
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="largest request body, also after decompression")
    max_request_lines: int = Field(100_000, ge=1, description="most lines or records in one request")
    drain_s: float = Field(20.0, gt=0, description="how long SIGTERM waits for accepted requests")

    @property
    def bundles(self) -> str:
        """Where bundles lie."""
        return self.bundles_dir or str(self.data_dir / "bundles")


def load_settings(config: Path | None = None, **given: object) -> Settings:
    """Settings from the environment over ``config`` (YAML), with ``given`` over both where they are not None.

    Raises ConfigError naming each wrong setting.
    """
    values: dict[str, object] = {}
    if config is not None:
        try:
            loaded = yaml.safe_load(config.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read settings from {config}: {error}") from error
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"{config} must hold a mapping of settings, as in `port: 8000`")
        # pydantic ranks init values over the environment; a file must rank below it.
        in_environment = {name.lower() for name in os.environ}
        values.update({k: v for k, v in (loaded or {}).items() if f"tocsin_{k}" not in in_environment})
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"settings: {wrong}") from error
