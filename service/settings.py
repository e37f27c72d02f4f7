"""Settings of the service: one class reads them, from the environment (``TOCSIN_*``) or from a YAML file.

The environment wins over the file. Unknown settings in the file are refused. Secrets may stand in files of their own,
which ``TOCSIN_..._FILE`` names, and are in no error and no ``repr``.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import ConfigError
from service.secrets import from_files, reads_as, yaml_problem
from service.state import cluster

SECRETS = ("redis_url", "redaction_key")
"""Settings whose value a file may hold."""


class Settings(BaseSettings):
    """Every setting with its default. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", extra="forbid", frozen=True, hide_input_in_errors=True)

    redis_url: str | None = Field(
        None,
        repr=False,
        description=(
            "Redis server (`redis://`, `rediss://`, `unix://`) or cluster (`redis+cluster://HOST:PORT,...`); "
            "default: a private one under data_dir"
        ),
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
    hosts: str = Field(
        "", description="names, by commas, under which the service is asked where no API key is: `*` for any"
    )
    auth: Literal["auto", "on", "off"] = Field(
        "auto", description="whether API keys are asked for; `auto`: beyond loopback, and wherever there is one"
    )
    api_keys_file: Path | None = Field(None, description="YAML file of API keys, by their digests")
    oidc_issuer: str | None = Field(
        None, description="address of an OpenID Connect issuer whose bearer tokens let in too; needs extra `oidc`"
    )
    oidc_audience: str = Field("tocsin", description="whom its tokens are for (`aud`)")
    oidc_claim: str = Field("scope", description="the claim that holds scopes, as in `tocsin:read`")
    oidc_name: str = Field("sub", description="the claim that names who asks, else `sub`")
    metrics_open: bool = Field(False, description="let anybody read /metrics where API keys are asked for")
    key_requests_per_s: float = Field(
        500.0, gt=0, description="requests a second of one API key that each worker process takes"
    )
    tls_cert: Path | None = Field(None, description="certificate (PEM, with its chain): the service speaks https")
    tls_key: Path | None = Field(None, description="its key, where the certificate's file does not hold it")
    tls_client_ca: Path | None = Field(
        None, description="certificates of authorities (PEM); clients must then have a certificate of one of them"
    )
    connections: int = Field(1000, ge=8, description="connections to each worker process at most; 503 beyond")
    workers: int = Field(1, ge=1, description="worker processes that share the port")
    batch_lines: int = Field(10_000, ge=1, description="lines that are processed as one batch at most")
    queue_lines: int = Field(50_000, ge=1, description="lines that may wait per source before requests get 429")
    appendfsync: Literal["auto", "always", "everysec"] = Field(
        "auto",
        description="when the private Redis has on disk what it acknowledges; `everysec` loses up to 2 s when the host "
        "dies, `auto` is that until the first `wait=false` and then `always`",
    )
    require_durable: bool = Field(
        False, description="refuse `wait=false` (503) while Redis does not keep an append-only file with `always`"
    )
    durable_replicas: int = Field(
        0,
        ge=0,
        description="replicas of each Redis master that must have what `wait=false` accepts before its 202, and its "
        "verdicts before it leaves the queue; 503 while they do not",
    )
    durable_queue_lines: int = Field(
        2_000_000, ge=1, description="accepted lines that may wait in Redis per source before `wait=false` gets 429"
    )
    durable_results_bytes: int = Field(
        64 * 2**20, ge=2**20, description="bytes of verdicts of `wait=false` that are kept per source, for an hour"
    )
    queue_tries: int = Field(
        5, ge=1, description="failed tries after which an entry of the durable queue goes to the dead letters"
    )
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="largest request body, also after decompression")
    max_request_lines: int = Field(100_000, ge=1, description="most lines or records in one request")
    intake_rules: Path | None = Field(
        None, description="YAML file that maps shippers' attributes, labels and fields to sources and sessions"
    )
    syslog: str | None = Field(
        None, description="where to take syslog: `udp://`, `tcp://`, `tls://HOST:PORT`, each with `?source=` if wanted"
    )
    syslog_cert: Path | None = Field(None, description="certificate (PEM, with its chain) for syslog over TLS")
    syslog_key: Path | None = Field(None, description="its key, where the certificate's file does not hold it")
    syslog_clients: Path | None = Field(
        None, description="certificates of authorities (PEM); senders over TLS must then have a certificate of one"
    )
    syslog_max_bytes: int = Field(64 * 1024, ge=480, description="largest syslog message")
    syslog_connections: int = Field(512, ge=1, description="connections for syslog in each worker process at most")
    syslog_idle_s: float = Field(3600.0, gt=0, description="how long a syslog connection may be silent")
    kafka: str | None = Field(
        None, description="Kafka topics to consume: `kafka://BROKER[,BROKER]/TOPIC[,TOPIC]`, `?group=`, `?source=`"
    )
    kafka_config: Path | None = Field(None, description="YAML file of further properties of librdkafka's consumer")
    redaction_key: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        None, description="what pseudonyms of sources that `redact` are hashed with: any long random text"
    )
    notify: Path | None = Field(None, description="YAML file of who is told of incidents, and how")
    body_s: float = Field(30.0, gt=0, description="seconds within which a request's body has to come in")
    drain_s: float = Field(20.0, gt=0, description="how long SIGTERM waits for accepted requests")

    feedback_per_minute: int = Field(30, ge=1, description="answers that one author may give a minute")
    feedback_rules_per_author: int = Field(
        20, ge=1, description="rules of a source that one author may have added within an hour"
    )
    feedback_rules_per_source: int = Field(
        100, ge=1, description="rules of a source that all authors together may have added within an hour"
    )

    feedback_alone: int = Field(
        4,
        ge=-1,
        description="verdicts a week that one named author's rules may silence before a second author agrees; "
        "0: none, -1: nobody needs a second",
    )

    drift_psi: float = Field(0.25, gt=0, description="PSI against training above which another training is proposed")
    drift_unmatched: float = Field(
        0.05, ge=0, lt=1, description="share of lines without a template above which another training is proposed"
    )
    drift_lines: int = Field(5_000, ge=1, description="lines that must have come in before drift is spoken of")

    spool_dir: Path | None = Field(None, description="where samples of live traffic lie; default `<data dir>/spool`")
    spool_rows: int = Field(
        500_000, ge=0, description="distinct events and ended sessions that are kept of a source; 0: none"
    )
    spool_bytes: int = Field(256 * 2**20, ge=2**20, description="bytes that the samples of a source may take")

    learning_lines: int = Field(
        50_000, ge=1, description="lines of a source without a version from which on the learner trains the first one"
    )
    learning_sessions: int = Field(200, ge=50, description="sessions of them that must have closed")

    learner_gather_s: float = Field(2.0, ge=0, description="how long the learner waits for further answers")
    learner_every_s: float = Field(1.0, gt=0, description="how often the learner looks for answers")

    versions_kept: int = Field(
        20,
        ge=1,
        description="candidates of a source that are kept: the oldest go, none that is in use",
    )

    @field_validator("redis_url")
    @classmethod
    def _redis_reads(cls, url: str | None) -> str | None:
        """redis-py would say what does not read, and with it what was meant as a password."""
        if url is not None and not reads_as(url, ("redis", "rediss", "unix", *cluster.SCHEMES)):
            raise ValueError("is no address as in redis://HOST:6379/0; signs of a password are written as in %2F for /")
        return url

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the environment that say the same, secrets too, for a child process."""
        found: dict[str, str] = {}
        for name, value in self.model_dump(mode="python", exclude_none=True).items():
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            found[f"TOCSIN_{name.upper()}"] = str(plain)
        return found

    @property
    def redaction(self) -> bytes | None:
        """The key of pseudonyms."""
        return None if self.redaction_key is None else self.redaction_key.get_secret_value().encode()

    @property
    def spool(self) -> Path:
        """Where samples of live traffic lie."""
        return self.spool_dir or self.data_dir / "spool"

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
        except yaml.YAMLError as error:
            raise ConfigError(f"{config} is no YAML: {yaml_problem(error)}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read settings from {config}: {error}") from error
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"{config} must hold a mapping of settings, as in `port: 8000`")
        # pydantic ranks init values over the environment; a file must rank below it.
        in_environment = {name.lower() for name in os.environ}
        values.update({k: v for k, v in (loaded or {}).items() if f"tocsin_{k}" not in in_environment})
    values.update(from_files(SECRETS, os.environ))
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"settings: {wrong}") from error
