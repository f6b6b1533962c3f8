"""Networks in ONNX: the format that needs no PyTorch and runs no code of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from convml_data.embeddings.encoder import FloatArray
from convml_data.embeddings.model_file import ModelFile
from convml_data.errors import ModelError

#: Tiles at a time: on processors as many as their caches hold, on GPUs enough to keep them busy.
CPU_BATCH, GPU_BATCH = 8, 128

#: Errors only: warnings are of how the file might be written better.
_LOG_ERRORS = 3


class OnnxEncoder:
    """A network that ONNX Runtime applies, on a GPU where there is one."""

    def __init__(self, model: ModelFile) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = _LOG_ERRORS
        # Threads that wait for each other by spinning take a quarter of the time from whatever else works.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = ort.get_available_providers()
        # Full precision on GPUs too, so that embeddings are the same wherever they are made.
        wanted: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
        providers = [each for each in wanted if (each if isinstance(each, str) else each[0]) in available]
        self._session = ort.InferenceSession(str(model.path), options, providers=providers)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise ModelError(
                f"the network takes {found}, not one array float (tiles, channels, rows, columns)",
                where=str(model.path),
                remedy="Take a network whose only input are pictures",
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        batch, channels, rows, columns = (size if isinstance(size, int) else None for size in inputs[0].shape)
        self.input_shape = (batch, channels, rows, columns)
        on_gpu = self._session.get_providers()[0].startswith("CUDA")
        self.device = "cuda" if on_gpu else "cpu"
        self.batch = batch or (GPU_BATCH if on_gpu else CPU_BATCH)

    def __call__(self, tiles: FloatArray) -> FloatArray:
        """Embeddings of tiles."""
        (found,) = self._session.run([self._output], {self._input: tiles})
        return np.asarray(found, np.float32)
