"""The message ``EntryAdapter`` of Loki's ``push.proto``, described here as no package on PyPI has it."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tocsin.loki"
_TYPE = descriptor_pb2.FieldDescriptorProto


def _entry_class() -> Any:
    """Built in a pool of its own, so that it meets nobody else's ``logproto``."""
    file = descriptor_pb2.FileDescriptorProto(name="tocsin/loki.proto", package=_PACKAGE, syntax="proto3")
    _add(file, "Timestamp", ("seconds", _TYPE.TYPE_INT64), ("nanos", _TYPE.TYPE_INT32))
    _add(file, "Pair", ("name", _TYPE.TYPE_STRING), ("value", _TYPE.TYPE_STRING))
    _add(file, "Entry", ("timestamp", "Timestamp"), ("line", _TYPE.TYPE_STRING), ("metadata", "Pair"))
    file.message_type[-1].field[-1].label = _TYPE.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Entry"))


def _add(file: Any, name: str, *fields: tuple[str, Any]) -> None:
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields, 1):
        added = message.field.add(name=field, number=number, label=_TYPE.LABEL_OPTIONAL)
        if isinstance(kind, str):
            added.type, added.type_name = _TYPE.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            added.type = kind


Entry = _entry_class()
"""``timestamp`` (``seconds``, ``nanos``), ``line``, ``metadata`` (``name``, ``value``)."""
