"""The wrapper of ONNX Runtime: slices, empty batches, metadata, and errors that say what to do."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from models.errors import BundleError, ConfigError
from models.graph import Graph


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """A graph y = x + x over float32 [batch, 2], with one entry of metadata."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([node], "doubling", [x], [y]), opset_imports=opset, ir_version=8)
    helper.set_model_props(model, {"h": "10"})
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 13])
def test_large_batches_come_back_whole_and_in_order(doubling: bytes, rows: int) -> None:
    x = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    (y,) = Graph(doubling, "cpu", max_batch=4).run(x=x)
    np.testing.assert_array_equal(y, 2 * x)


def test_a_file_and_its_bytes_are_the_same_graph(doubling: bytes, tmp_path: Path) -> None:
    path = tmp_path / "doubling.onnx"
    path.write_bytes(doubling)
    graph = Graph(path, "cpu")
    assert graph.metadata == {"h": "10"}
    assert graph.provider == "cpu"
    assert graph.run(x=np.ones((1, 2), np.float32))[0].tolist() == [[2.0, 2.0]]


def test_auto_says_where_it_runs(doubling: bytes) -> None:
    offered = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert Graph(doubling).provider in (("cuda", "cpu") if offered else ("cpu",))


def test_cuda_that_is_not_there_is_refused(doubling: bytes) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ConfigError, match=r"tocsin\[gpu\]"):
        Graph(doubling, "cuda")


def test_an_unknown_provider_is_refused(doubling: bytes) -> None:
    with pytest.raises(ConfigError, match="auto, cuda or cpu"):
        Graph(doubling, "tpu")


def test_damaged_and_missing_graphs_are_refused(doubling: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="restore the bundle"):
        Graph(doubling[:20], "cpu")
    with pytest.raises(BundleError, match="restore the bundle"):
        Graph(tmp_path / "absent.onnx", "cpu")


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x08\x08"])
def test_a_graph_cut_short_is_refused_from_bytes_and_from_a_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(BundleError, match="restore the bundle"):
            Graph(source, "cpu")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy")
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "adding", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (y_found,) = Graph(model.SerializeToString(), "cpu").run(x=np.zeros((1, 2), dtype=np.float32))
    assert y_found.tolist() == [[1.0, 2.0]]
    own = model.graph.initializer[0]
    own.ClearField("float_data")
    own.raw_data = bytes(8)
    set_external_data(own, location="../secret", offset=0, length=8)
    own.ClearField("raw_data")
    with pytest.raises(BundleError, match="files of its own"):
        Graph(model.SerializeToString(), "cpu")
