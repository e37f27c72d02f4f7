"""The file of notifiers: what it may say, what is refused with which words, and that no secret is in them."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from service.notify.config import Budget, NotifyConfig

GOOD = """
public_url: https://tocsin.example/
budget: {notices: 5, window_s: 60}
notifiers:
  - name: pager
    kind: alertmanager
    url: http://alertmanager:9093
    min_severity: critical
    lasts_s: 600
  - name: hook
    kind: webhook
    url_env: HOOK
    secret_file: hook.secret
    token_env: TOKEN
    sources: [shop, "web-*"]
    budget: {notices: 1}
"""


def load(folder: Path, text: str, **environment: str) -> NotifyConfig:
    path = folder / "notify.yaml"
    path.write_text(text)
    return NotifyConfig.load(path, environment)


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text("s3cret\n")
    config = load(tmp_path, GOOD, HOOK="https://example.com/in?key=K3Y", TOKEN="t0ken")
    pager, hook = config.targets
    assert config.public_url == "https://tocsin.example"
    assert (pager.kind, pager.min_severity, pager.lasts_s, pager.budget) == (
        "alertmanager", "critical", 600.0, Budget(notices=5, window_s=60.0)
    )  # fmt: skip
    assert (hook.url, hook.secret, hook.token) == ("https://example.com/in?key=K3Y", b"s3cret", "t0ken")
    assert hook.budget == Budget(notices=1, window_s=300.0)
    assert [hook.wants(name) for name in ("shop", "web-1", "db")] == [True, True, False]
    assert "K3Y" not in repr(config)
    assert "s3cret" not in repr(config)


def test_no_file_is_no_notifier() -> None:
    assert NotifyConfig.load(None).targets == ()


HOOK = "notifiers: [{name: hook, kind: webhook, url: 'https://u:S3CRET@example.com/S3CRET'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file: "),
        ("- 1", "file: "),
        ("{", "no YAML"),
        ("notifiers: []", "notifiers: "),
        ("notifiers: {}", "notifiers: "),
        (HOOK + ", retries: 3}]", "notifiers.0.webhook.retries: Extra inputs"),
        (HOOK + "}]\nmute: 1", "mute: Extra inputs"),
        (HOOK + ", timeout_s: .inf}]", "timeout_s"),
        (HOOK + ", timeout_s: .nan}]", "timeout_s"),
        (HOOK + ", budget: {notices: 0}}]", "budget.notices"),
        (HOOK + ", min_severity: urgent}]", "min_severity"),
        (HOOK + ", lasts_s: 5}]", "lasts_s"),
        (HOOK + ", url_env: HOOK}]", "notifier hook: url is named twice"),
        (HOOK + ", secret_env: ABSENT}]", "names ABSENT, which the environment does not have"),
        (HOOK + ", secret_env: EMPTY}]", "its secret is empty"),
        (HOOK + ", token_env: WIDE}]", "not ASCII"),
        (HOOK + ", secret_file: nowhere}]", "cannot read secret_file nowhere: No such file"),
        (HOOK + "}, {name: hook, kind: webhook, url: 'http://b'}]", "two notifiers are called hook"),
        (HOOK.replace("name: hook", "name: Hook/1") + "}]", "notifiers.0.webhook.name"),
        (HOOK.replace("webhook", "pigeon") + "}]", "notifiers.0: "),
        (HOOK.replace("https://", "ftp://") + "}]", "notifier hook: url is no address"),
        ("notifiers: [{name: hook, kind: webhook, url: 'http://b:S3CRET'}]", "notifier hook: url is no address"),
        ("notifiers: [{name: hook, kind: webhook}]", "give it one of url, url_file and url_env"),
        (HOOK + "}]\npublic_url: 'javascript:alert(1)'", "public_url is no address"),
        ("notifiers: [{name: hook, kind: webhook, url: 'S3CRET: [}]", "no YAML"),
    ],
)
def test_what_is_wrong_is_named_without_secrets(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text, EMPTY=" ", WIDE="ü")
    assert said in str(raised.value)
    assert "notify.yaml" in str(raised.value)
    assert "S3CRET" not in str(raised.value)


def test_a_file_that_is_not_there_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read notifiers"):
        NotifyConfig.load(tmp_path / "none.yaml")
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    with pytest.raises(ConfigError, match="over 65536 bytes"):
        load(tmp_path, HOOK + ", secret_file: large}]")
