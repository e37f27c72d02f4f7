"""What a source redacts is gone from lines and ids, what only looks alike stays, and sessions stay apart."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.source.config import Source
from models.source.personal import KINDS, is_card, is_iban
from models.source.redaction import Redactor
from models.splitter import Splitter

KEY = b"a key of the tests"


def source(*redact: object, **given: object) -> Source:
    return Source.from_dict({"name": "web", "header": {"kind": "raw"}, "redact": list(redact), **given})


def once(line: str, *redact: object, key: bytes = KEY, **given: object) -> str:
    return Redactor(source(*redact, **given), key).lines([line])[0]


@pytest.mark.parametrize(
    ("kind", "line", "redacted"),
    [
        ("email", "mail to ada.l+x@mail.example.org.", "mail to <EMAIL>."),
        ("email", "GET /?to=ada%40example.com&x=1", "GET /?to=<EMAIL>&x=1"),
        ("email", "jürgen@münchen.example <bob@b.co>", "<EMAIL> <<EMAIL>>"),
        ("email", "user@host said @all", "user@host said @all"),
        ("ipv4", "from /10.1.2.3:5001 to host_192.168.0.1", "from /<IPV4>:5001 to host_<IPV4>"),
        ("ipv4", "took 1.5 s, version 1.2.3", "took 1.5 s, version 1.2.3"),
        ("ipv6", "from 2001:db8::1 and fe80::1ff:fe23:4567:890a, ::1", "from <IPV6> and <IPV6>, <IPV6>"),
        ("ipv6", "2001:0db8:85a3:0000:0000:8a2e:0370:7334 up", "<IPV6> up"),
        ("ipv6", "at 12:34:56 std::string 00:1a:2b:3c:4d:5e", "at 12:34:56 std::string 00:1a:2b:3c:4d:5e"),
        ("card", "paid by 4111 1111 1111 1111, 5555-5555-5555-4444", "paid by <CARD>, <CARD>"),
        ("card", "card=378282246310005&", "card=<CARD>&"),
        ("card", "blk_-1608999687919862906 at 1714600000000 and 4111111111111112", None),
        ("iban", "to DE89370400440532013000 NOW", "to <IBAN> NOW"),
        ("iban", "GB82 WEST 1234 5698 7654 32 OK", "<IBAN> OK"),
        ("iban", "DE89370400440532013001", None),
        ("token", "Authorization: Bearer abcdefgh.12345", "Authorization: Bearer <TOKEN>"),
        ("token", "jwt eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2 end", "jwt <TOKEN> end"),
        ("token", "connect postgres://app:s3cr3t@db/shop", "connect postgres://app:<TOKEN>@db/shop"),
        ("token", 'login {"password": "hunter2", "user": "a"}', 'login {"password": "<TOKEN>", "user": "a"}'),
        ("token", "key AKIAIOSFODNN7EXAMPLE of us", "key <TOKEN> of us"),
        ({"name": "customer", "pattern": "cust-[0-9]+"}, "cust-17 left", "<CUSTOMER> left"),
    ],
)
def test_kinds(kind: object, line: str, redacted: str | None) -> None:
    assert once(line, kind) == (line if redacted is None else redacted)


@pytest.mark.parametrize(
    ("text", "card"), [("4111111111111111", True), ("4111-1111 1111-1111", True), ("0" * 16, False)]
)
def test_cards_are_told_by_issuer_and_sum(text: str, card: bool) -> None:
    assert is_card(text) is card


def test_ibans_are_told_by_their_sum() -> None:
    assert is_iban("NO93 8601 1117 947")
    assert not is_iban("NO93 8601 1117 948")


@pytest.mark.parametrize(
    ("kind", "value"), [("email", "ada@example.com"), ("ipv4", "203.0.113.7"), ("ipv6", "2001:db8::7")]
)
def test_where_sessions_come_from_the_text_a_pseudonym_has_the_look_of_the_value(kind: str, value: str) -> None:
    by_user = {"session": {"pattern": r"user=(\S+)"}}
    line = f"login user={value} ok"
    redacted = once(line, kind, **by_user)
    assert value not in redacted
    assert redacted == once(line, kind, **by_user), "the same key, another pseudonym"
    assert redacted != once(line, kind, key=b"another key of tests", **by_user)
    assert redacted != once(f"login user={value}9 ok", kind, **by_user)
    stands_in = redacted.split("user=")[1].split(" ")[0]
    # It reads as what it stands for: masks and patterns meet the same as before.
    assert once(stands_in, kind, session={"whole": True}) == f"<{kind.upper()}>"
    assert once(line, {"name": kind, "pseudonym": False}, **by_user) == f"login user=<{kind.upper()}> ok"


def test_a_session_of_the_text_and_one_that_is_given_are_the_same() -> None:
    web = source("email", session={"pattern": r"user=(\S+)"})
    redactor = Redactor(web, KEY)
    lines = redactor.lines(["a user=ada@example.com", "b user=bob@example.com", "c user=ada@example.com"])
    found = Splitter(web).split(lines, 0.0).session.to_list()
    assert found[0] == found[2] != found[1]
    assert redactor.ids(["ada@example.com", None, "job 7"]) == [found[0], None, "job 7"]


@pytest.mark.parametrize("kind", [name.lower() for name in KINDS])
def test_given_ids_stay_apart_whatever_is_redacted(kind: str) -> None:
    values = {
        "email": ("ada@example.com", "bob@example.com"), "ipv4": ("10.0.0.1", "10.0.0.2"),
        "ipv6": ("fe80::1", "fe80::2"),
        "card": ("4111111111111111", "5555555555554444"), "iban": ("DE89370400440532013000", "NO9386011117947"),
        "token": ("Bearer abcdefgh12", "Bearer abcdefgh13"),
    }[kind]  # fmt: skip
    found = Redactor(source(kind), KEY).ids(values)
    assert len(set(found)) == 2
    assert not set(found) & set(values)


def test_redaction_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="TOCSIN_REDACTION_KEY"):
        Redactor(source("email"), None)
    assert Redactor(source(), None).lines(["ada@example.com"]) == ["ada@example.com"]


def test_settings_read_back_and_old_sources_keep_their_fingerprint() -> None:
    web = source("Email", {"name": "CARD", "pseudonym": True}, {"name": "CUSTOMER", "pattern": "c-[0-9]+"})
    assert Source.from_dict(web.to_dict()) == web
    assert web.fingerprint() != source().fingerprint()
    assert "redact" not in source().to_dict()


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("emial", "did you mean 'EMAIL'?"),
        ({"name": "EMAIL", "pattern": "x"}, "not 'EMAIL'"),
        ({"name": "a b", "pattern": "x"}, "redact[0].name"),
        ({"name": "A", "pattern": "("}, "redact[0].pattern"),
        ({"name": "A", "pattern": "x*"}, "matches the empty text"),
        ({"name": "EMAIL", "pseudonym": "yes"}, "redact[0].pseudonym"),
        ({"name": "EMAIL", "patern": "x"}, "unknown setting"),
        (7, "redact[0]"),
    ],
)
def test_wrong_settings_are_refused_by_name(item: object, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        source(item)
    assert told in str(raised.value)


def test_json_cannot_hide_a_value_behind_escapes() -> None:
    log = {"header": {"kind": "json", "message": ["msg"]}}
    assert once('{"msg": "from ada\\u0040example.com"}', "email", **log) == '{"msg":"from <EMAIL>"}'
    assert once('{"msg": "no JSON \\u0040', "email", **log) == '{"msg": "no JSON \\u0040'


def test_hostile_lines_take_linear_time() -> None:
    every = [name.lower() for name in KINDS]
    for text in ("a" * 60_000 + "@", "1." * 30_000, "a:" * 30_000, "4" * 60_000, "DE89" * 15_000, "://:" * 15_000):
        assert len(once(text, *every)) >= 10


text = st.text(st.characters(codec="utf-8"), max_size=12)
between = text.filter(
    lambda words: not any(letter.isalnum() or letter in "._%+'-:@" for letter in words[-1:] + words[:1])
)
planted = st.sampled_from(
    [
        "ada@example.com", "eve.x@mail.evil.example", "203.0.113.9", "10.11.12.13", "2001:db8::dead:beef",
        "4111 1111 1111 1111", "378282246310005", "DE89370400440532013000", "AKIAIOSFODNN7EXAMPLE",
    ]
)  # fmt: skip
lines = st.lists(
    st.lists(st.tuples(between, planted), max_size=3).map(lambda parts: "".join(f"{a} {b} " for a, b in parts))
)
ALL = ("email", "ipv4", "ipv6", "card", "iban", "token")


@settings(max_examples=60)
@given(lines=lines, pseudonyms=st.booleans())
def test_nothing_planted_is_left_and_each_line_is_redacted_by_itself(lines: list[str], pseudonyms: bool) -> None:
    session = {"pattern": r"user=(\S+)"} if pseudonyms else {"whole": True}
    redactor = Redactor(source(*ALL, session=session), KEY)
    found: Sequence[str] = redactor.lines(lines)
    assert found == [redactor.lines([line])[0] for line in lines]
    for value in (
        "ada@",
        "eve.x@",
        "203.0.113.9",
        "10.11.12.13",
        "dead:beef",
        "4111 1111",
        "378282246310005",
        "DE8937",
        "AKIA",
    ):
        assert not any(value in line for line in found), value
