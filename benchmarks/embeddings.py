"""Windows a second of the documented network, beside the loop that cuts and applies 32 tiles at a time."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.rows import Row, at_least

_SIDE, _TILE_N, _STEP = 1000, 256, 30
_WINDOWS, _REPEATS = 64, 3


def measure() -> Iterator[Row]:
    """ResNet18 with its head and random weights, on windows of 256 cells every 30; needs PyTorch."""
    if importlib.util.find_spec("torch") is None:
        print("embeddings: LEFT OUT, since PyTorch is not here; `make bench-torch` measures them", file=sys.stderr)
        return
    with TemporaryDirectory() as folder:
        runs = _runs(Path(folder))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        found = {}
        for _ in range(_REPEATS):  # in turns, since machines are not equally busy for long
            for name, run in runs.items():
                started, cpu_started = time.perf_counter(), time.process_time()
                found[name] = run()
                times[name].append((time.perf_counter() - started, time.process_time() - cpu_started))
    wall, cpu = ({name: min(pair[which] for pair in pairs) for name, pairs in times.items()} for which in (0, 1))
    for name in runs:
        case = f"ResNet18, windows of {_TILE_N} cells, {name}"
        yield Row(case, "windows a second", _WINDOWS / wall[name])
        yield Row(case, "CPU for each", 1e3 * cpu[name] / _WINDOWS, "ms")
        if name != "loop of 32":
            goal = at_least(3) if name == "ONNX" else None
            yield Row(case, "as fast as the loop", wall["loop of 32"] / wall[name], "", goal)
            off = np.abs(found[name] - found["loop of 32"]).max() / np.abs(found["loop of 32"]).max()
            yield Row(case, "largest difference, of the largest value", float(off))


def _runs(folder: Path) -> dict[str, Callable[[], Any]]:
    import torch

    from convml_data.embeddings.architecture import EncoderNet
    from convml_data.embeddings.batches import embedded, normalised
    from convml_data.embeddings.convert import convert
    from convml_data.embeddings.encoder import open_encoder
    from convml_data.embeddings.model_file import read_model_file
    from convml_data.meta.embeddings import NORMALISATIONS

    torch.manual_seed(0)
    net = EncoderNet().eval()
    for name in ("float32", "bfloat16"):
        torch.save({"state_dict": net.state_dict()}, folder / f"{name}.ckpt")
        (folder / f"{name}.yaml").write_text(f"precision: {name}\n")
    convert(read_model_file(folder / "float32.ckpt"), folder / "net.onnx")
    levels = np.random.default_rng(0).integers(0, 256, (3, _SIDE, _SIDE), dtype=np.uint8)
    steps = range(0, _SIDE - _TILE_N + 1, _STEP)
    windows = [(slice(row, row + _TILE_N), slice(column, column + _TILE_N)) for row in steps for column in steps]
    windows, imagenet = windows[:_WINDOWS], NORMALISATIONS["imagenet"]

    def loop() -> Any:
        with torch.no_grad():
            batches = []
            for start in range(0, _WINDOWS, 32):
                tiles = [torch.from_numpy(normalised(levels[:, *at], imagenet)) for at in windows[start : start + 32]]
                batches.append(net(torch.stack(tiles)).numpy())
        return np.concatenate(batches)

    def ours(file: str) -> Callable[[], Any]:
        encoder, dims = open_encoder(read_model_file(folder / file))

        def run() -> Any:
            picture = normalised(levels, imagenet)
            (of_scene,) = embedded(encoder, dims, [("scene", [picture[:, *at] for at in windows])])
            return of_scene.embeddings

        return run

    files = {"ONNX": "net.onnx", "checkpoint": "float32.ckpt", "checkpoint, bfloat16": "bfloat16.ckpt"}
    return {"loop of 32": loop} | {name: ours(file) for name, file in files.items()}
