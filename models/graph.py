"""A network as an ONNX graph under ONNX Runtime.

Owns the choice of processor, the slicing of large batches and the graph's metadata. Does not know what goes in or
out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented,
)

from models.errors import BundleError, ConfigError

_CPU = "CPUExecutionProvider"
_OUTSIDE = b"\x0a\x08location\x12"
"""How a tensor's ``external_data`` begins (onnx.proto, StringStringEntryProto): a path from where the process runs."""
# TF32 rounds products to 10 bits of mantissa: enough to swap near-equal ranks, and CPU and GPU must give one verdict.
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})


class Graph:
    """One loaded graph whose inputs and outputs all have the batch as their first axis.

    Safe to run from several threads at once.
    """

    def __init__(self, source: Path | bytes, provider: str = "auto", threads: int = 1, max_batch: int = 512) -> None:
        """``source``: a file or its bytes; ``threads`` inside one call; ``max_batch`` rows in one call of the
        runtime.

        ``auto`` takes CUDA where the runtime has it, else the CPU. Raises ConfigError where ``cuda`` is asked for and
        cannot be had, BundleError where the graph cannot be read.
        """
        if provider not in ("auto", "cuda", "cpu"):
            raise ConfigError(f"provider {provider!r} is unknown; use auto, cuda or cpu")
        offered = _CUDA[0] in onnxruntime.get_available_providers()
        if provider == "cuda" and not offered:
            raise ConfigError("provider is cuda, but this onnxruntime has none; install tocsin[gpu], or set it to auto")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin take the cores that parsing needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = source if isinstance(source, bytes) else str(source)
        if isinstance(source, bytes) and _OUTSIDE in source:
            raise BundleError("the ONNX graph names files of its own for its weights, and might name any; restore it")
        providers = [_CUDA, _CPU] if offered and provider != "cpu" else [_CPU]
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented) as error:
            raise BundleError(f"the ONNX graph cannot be loaded ({error}); restore the bundle") from error
        self.provider: str = "cuda" if self._session.get_providers()[0] == _CUDA[0] else "cpu"
        """Where it runs: ``cuda`` or ``cpu``."""
        # ONNX Runtime falls back silently where CUDA's own libraries do not load.
        if provider == "cuda" and self.provider != "cuda":
            raise ConfigError(
                "provider is cuda, but CUDA does not start; check driver and libraries, or set it to auto"
            )
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        """What training wrote into the graph."""
        self._max_batch = max_batch

    def run(self, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs for ``inputs`` by name, each [n, ...] with the same n; n may be 0."""
        rows = len(next(iter(inputs.values())))
        if rows <= self._max_batch:
            return self._call(inputs)
        slices = [
            self._call({name: values[start : start + self._max_batch] for name, values in inputs.items()})
            for start in range(0, rows, self._max_batch)
        ]
        return [np.concatenate(parts) for parts in zip(*slices, strict=True)]

    def _call(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = self._session.run(None, dict(inputs))
        return outputs
