"""OTLP's ``AnyValue``, from protobuf and from OTLP's JSON, as plain Python and as text."""

import base64
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Plain = str | bool | int | float | list[Any] | dict[str, Any] | None

MAX_DEPTH = 32
"""Lists and maps within one another."""


def from_message(value: AnyValue, depth: int = 0) -> Plain:
    """A protobuf value; bytes become base64, as in JSON. Raises ValueError where it is nested too deep."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [from_message(item, _deeper(depth)) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: from_message(item.value, _deeper(depth)) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    plain: Plain = getattr(value, kind)
    return plain


def from_json(value: Any, depth: int = 0) -> Plain:
    """A value of OTLP's JSON. Raises ValueError where it is none, or nested too deep."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError('a value must be an object such as {"stringValue": ...}')
    for kind, content in value.items():
        match kind, content:
            case (("stringValue" | "bytesValue"), str()):
                return str(content)
            case "boolValue", bool():
                return bool(content)
            case "intValue", int() | str():
                return integer(content)
            case "doubleValue", int() | float():
                return float(content)
            case "arrayValue", dict():
                return [from_json(item, _deeper(depth)) for item in items(content, "values")]
            case "kvlistValue", dict():
                return {key: from_json(item, _deeper(depth)) for key, item in pairs(content.get("values"))}
            case ("stringValue" | "bytesValue" | "boolValue" | "intValue" | "doubleValue" | "arrayValue"
                  | "kvlistValue"), _:  # fmt: skip
                raise ValueError(f"{kind} holds something else")
    return None


def text(value: Plain) -> str | None:
    """What a value says: a text as it is, anything else as JSON; None where there is none."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def attribute(attributes: Sequence[KeyValue], name: str) -> str | None:
    """The attribute of that name as text; None where there is none that can be read."""
    for pair in attributes:
        if pair.key == name:
            with suppress(ValueError):
                return text(from_message(pair.value))
    return None


def json_attribute(attributes: Any, name: str) -> str | None:
    """The same of OTLP's JSON. Raises ValueError where the attributes are no list of pairs."""
    for key, value in pairs(attributes):
        if key == name:
            with suppress(ValueError):
                return text(from_json(value))
    return None


def pairs(value: Any) -> list[tuple[str, Any]]:
    """Keys and values of a JSON list of ``KeyValue``. Raises ValueError."""
    found = []
    for item in value if isinstance(value, list) else items({"values": value}, "values"):
        if not isinstance(item, dict) or not isinstance(item.get("key"), str):
            raise ValueError('attributes must be a list of {"key": ..., "value": ...}')
        found.append((item["key"], item.get("value")))
    return found


def items(message: Any, name: str) -> list[Any]:
    """A repeated field of a JSON message; empty where it is absent. Raises ValueError."""
    if not isinstance(message, dict):
        raise ValueError(f"an object with {name} is wanted")
    value = message.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list")
    return value


def integer(value: Any) -> int:
    """A 64-bit number, which JSON may carry as text. Raises ValueError."""
    if isinstance(value, str) and len(value) <= 20:
        with suppress(ValueError):
            value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**64:
        raise ValueError("a whole number of 64 bits is wanted, as a number or as text")
    return value


def _deeper(depth: int) -> int:
    if depth == MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return depth + 1
