"""Small networks with fixed random weights, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

#: ImageNet's, of red, green and blue.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


def write_network(
    path: Path,
    *,
    tile_n: int | str = 16,
    channels: int = 3,
    dims: int = 8,
    seed: int = 0,
    batch: int | str = "tiles",
    flat: bool = True,
) -> Path:
    """Two convolutions, the average over the tile and a linear layer; without the last two where it is not ``flat``."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": (8, channels, 5, 5),
        "b1": (8,),
        "w2": (16, 8, 3, 3),
        "b2": (16,),
        "w3": (16, dims),
        "b3": (dims,),
    }
    arrays = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["tiles", "w1", "b1"], ["a"], kernel_shape=[5, 5], strides=[2, 2], pads=[2] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
    ]
    if flat:
        nodes += [helper.make_node("Flatten", ["e"], ["f"]), helper.make_node("Gemm", ["f", "w3", "b3"], ["emb"])]
    shape = [batch, dims] if flat else [batch, 16, 1, 1]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, [batch, channels, tile_n, tile_n])],
        [helper.make_tensor_value_info("emb" if flat else "e", TensorProto.FLOAT, shape)],
        arrays,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def embedding_of(network: Path, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What a network makes of one picture (rows, columns, colours) of 8 bits, one tile at a time."""
    session = ort.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    shades = np.moveaxis(picture, -1, 0).astype(np.float32) / 255
    (found,) = session.run(None, {"tiles": ((shades - MEAN) / STD)[None].astype(np.float32)})
    return np.asarray(found[0])
