"""Every way in which a client may bring its key, and that nothing else passes for one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.presented import presented

KEY = "tcs_0123456789ab_" + "x" * 43


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x-api-key": KEY},
        {"authorization": f"Basic {coded(f'shipper:{KEY}')}"},
        {"authorization": f"Basic {coded(f':{KEY}')}"},
        {"authorization": f"ApiKey {coded(f'0123456789ab:{KEY}')}"},
        {"authorization": f"Basic {coded('proxy:its own password')}", "x-api-key": KEY},
    ],
)
def test_each_client_may_bring_it_in_its_own_way(headers: dict[str, str]) -> None:
    assert presented(headers) == KEY


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer abc"},
        {"authorization": f"Digest {KEY}"},
        {"authorization": "Basic not base64!"},
        {"authorization": f"Basic {coded('no colon')}"},
        {"authorization": f"Basic {base64.b64encode(bytes(range(255))).decode()}"},
        {"x-api-key": "abc"},
    ],
)
def test_what_is_no_key_brings_none(headers: dict[str, str]) -> None:
    assert presented(headers) is None


@given(st.text(), st.text())
def test_any_headers_are_read(authorization: str, key: str) -> None:
    found = [
        presented({"authorization": authorization, "x-api-key": key}),
        presented({"authorization": f"Basic {authorization}"}),
        presented({"authorization": f"ApiKey {coded(key)}" if key.isascii() else ""}),
    ]
    assert all(one is None or isinstance(one, str) for one in found)
