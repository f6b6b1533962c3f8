"""Networks in the formats of PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from convml_data.embeddings.architecture import BasicBlock, Bottleneck, EncoderNet, from_checkpoint, from_pickle
from convml_data.embeddings.encoder import FloatArray
from convml_data.embeddings.model_file import ModelFile

#: Tiles at a time: on processors as many as their caches hold, on GPUs enough to keep them busy.
CPU_BATCH, GPU_BATCH = 8, 128


class TorchEncoder:
    """A network that PyTorch applies, on a GPU where there is one."""

    def __init__(self, model: ModelFile) -> None:
        on_gpu = torch.cuda.is_available()
        self.device = "cuda" if on_gpu else "cpu"
        module, self.input_shape = _read(model)
        self.batch = self.input_shape[0] or (GPU_BATCH if on_gpu else CPU_BATCH)
        self._precision = getattr(torch, model.sidecar.precision)
        self._module = module.to(self.device)
        if model.format in ("lightning", "pickle"):
            self._module = self._module.to(dtype=self._precision, memory_format=torch.channels_last)

    def __call__(self, tiles: FloatArray) -> FloatArray:
        """Embeddings of tiles."""
        # Full precision on GPUs too, so that embeddings are the same wherever they are made.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            given = torch.from_numpy(tiles).to(self.device).contiguous(memory_format=torch.channels_last)
            if self._precision == torch.float32:
                found = self._module(given)
            else:
                with torch.autocast(self.device, self._precision):
                    found = self._module(given)
            return np.asarray(found.float().cpu().numpy(), np.float32)


def load_module(model: ModelFile) -> nn.Module:
    """The network as it was kept, for inference.

    Raises
    ------
    ModelError
        It is another network than the documented one.
    Exception
        Whatever PyTorch raises for files that are damaged or of another kind.
    """
    match model.format:
        case "torchscript":
            module: nn.Module = torch.jit.load(str(model.path), map_location="cpu")
        case "torch.export":
            return torch.export.load(model.path).module()
        case "lightning":
            module = from_checkpoint(model.path)
        case _:
            module = from_pickle(model.path)
    return module.eval()


def _read(model: ModelFile) -> tuple[nn.Module, tuple[int | None, int | None, int | None, int | None]]:
    """The network made ready, and the shape of what it takes as far as it says."""
    unknown = (None, None, None, None)
    match model.format:
        case "torchscript":
            return torch.jit.freeze(load_module(model)), unknown
        case "torch.export":
            return _exported(model.path)
        case _:
            module = load_module(model)
            first = next(each for each in module.modules() if isinstance(each, nn.Conv2d))
            return fused(module), (None, first.in_channels, None, None)


def _exported(path: Path) -> tuple[nn.Module, tuple[int | None, int | None, int | None, int | None]]:
    program = torch.export.load(path)
    (name,) = program.graph_signature.user_inputs
    (node,) = [each for each in program.graph.nodes if each.op == "placeholder" and each.name == name]
    sizes = [size if isinstance(size, int) else None for size in node.meta["val"].shape]
    sizes += [None] * (4 - len(sizes))
    return program.module(), (sizes[0], sizes[1], sizes[2], sizes[3])


def fused(module: nn.Module) -> nn.Module:
    """The documented network with each normalisation taken into the convolution before it, which it follows from."""
    for each in module.modules():
        if isinstance(each, (BasicBlock, Bottleneck)):
            for number in range(1, 4 if isinstance(each, Bottleneck) else 3):
                convolution, norm = getattr(each, f"conv{number}"), getattr(each, f"bn{number}")
                setattr(each, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
                setattr(each, f"bn{number}", nn.Identity())
            if each.downsample is not None:
                each.downsample = nn.Sequential(fuse_conv_bn_eval(each.downsample[0], each.downsample[1]))
        elif isinstance(each, EncoderNet):
            each.backbone[0] = fuse_conv_bn_eval(each.backbone[0], each.backbone[1])
            each.backbone[1] = nn.Identity()
    return module
