"""The documented network, a residual network with a head, in plain PyTorch.

Its parameters are called as those of checkpoints that were trained with `convml_tt`, whose weights are taken as they
are: what comes out is then the same network, without the code that trained it.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from convml_data.errors import ModelError

#: A pickled network whose values are so small that its readers multiply them, by the MD5 of its file.
SCALES = {"d23b8370173082774052974f4729733e": 1e3}

#: Features between the two linear layers of the head.
_HIDDEN = 512


@dataclass(frozen=True)
class _Shape:
    """Blocks of each of the four layers, and of what kind they are."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool = False
    groups: int = 1
    width: int = 64

    @property
    def features(self) -> int:
        return 512 * (Bottleneck.expansion if self.bottleneck else 1)


_SHAPES = {
    "resnet18": _Shape((2, 2, 2, 2)),
    "resnet34": _Shape((3, 4, 6, 3)),
    "resnet50": _Shape((3, 4, 6, 3), bottleneck=True),
    "resnet101": _Shape((3, 4, 23, 3), bottleneck=True),
    "resnet152": _Shape((3, 8, 36, 3), bottleneck=True),
    "resnext50_32x4d": _Shape((3, 4, 6, 3), bottleneck=True, groups=32, width=4),
    "resnext101_32x8d": _Shape((3, 4, 23, 3), bottleneck=True, groups=32, width=8),
}


class BasicBlock(nn.Module):
    """Two convolutions and a way around them."""

    expansion = 1

    def __init__(self, features_in: int, features: int, stride: int, groups: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features_in, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = _downsample(features_in, features, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of half the size where the block's stride is two."""
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + around)


class Bottleneck(nn.Module):
    """Three convolutions, of which the middle one has fewer features, and a way around them."""

    expansion = 4

    def __init__(self, features_in: int, features: int, stride: int, groups: int, width: int) -> None:
        super().__init__()
        inner, features = features * width // 64 * groups, features * self.expansion
        self.conv1 = nn.Conv2d(features_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, features, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(features)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(features_in, features, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of half the size where the block's stride is two."""
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + around)


class MaxAndAverage(nn.Module):
    """The maximum of each feature over the picture and then the average of each, shape (tiles, 2 features)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (tiles, features, rows, columns) without their place."""
        return torch.cat([x.amax((2, 3)), x.mean((2, 3))], dim=1)


class Scaled(nn.Module):
    """Values times a number."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return x * self.scale


class EncoderNet(nn.Module):
    """Backbone and head: tiles (tiles, channels, rows, columns) to embeddings (tiles, dims).

    Parameters
    ----------
    base_arch
        One of resnet18 to resnet152, resnext50_32x4d and resnext101_32x8d.
    head_type
        ``orig_fastai`` or ``linear``.
    channels, dims
        Of the tiles and of the embeddings.
    """

    def __init__(
        self, base_arch: str = "resnet18", head_type: str = "orig_fastai", channels: int = 3, dims: int = 100
    ) -> None:
        super().__init__()
        shape = _SHAPES[base_arch]
        self.backbone = nn.Sequential(
            nn.Conv2d(channels, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            *_layers(shape),
        )
        self.head = nn.Sequential(*_head(head_type, shape.features, dims))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Embeddings of tiles."""
        return self.head(self.backbone(tiles))


def _layers(shape: _Shape) -> list[nn.Module]:
    block = Bottleneck if shape.bottleneck else BasicBlock
    layers: list[nn.Module] = []
    features_in = 64
    for number, count in enumerate(shape.blocks):
        features = 64 * 2**number
        blocks = []
        for each in range(count):
            stride = 2 if each == 0 and number > 0 else 1
            blocks.append(block(features_in, features, stride, shape.groups, shape.width))
            features_in = features * block.expansion
        layers.append(nn.Sequential(*blocks))
    return layers


def _downsample(features_in: int, features: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and features_in == features:
        return None
    return nn.Sequential(nn.Conv2d(features_in, features, 1, stride, bias=False), nn.BatchNorm2d(features))


def _head(head_type: str, features: int, dims: int) -> list[nn.Module]:
    if head_type == "linear":
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, dims)]
    return [
        MaxAndAverage(),
        nn.Flatten(),
        nn.BatchNorm1d(2 * features),
        nn.Dropout(0.25),
        nn.Linear(2 * features, _HIDDEN),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(_HIDDEN),
        nn.Dropout(0.5),
        nn.Linear(_HIDDEN, dims),
    ]


def from_checkpoint(path: Path) -> nn.Module:
    """The network of a checkpoint of pytorch-lightning; no code in it is run.

    Raises
    ------
    ModelError
        It holds objects of classes of its own, or another network than the documented one.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        weights, options = checkpoint["state_dict"], dict(checkpoint.get("hyper_parameters", {}))
    except (pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"this is no checkpoint of weights and plain values alone ({_short(error)})",
            where=str(path),
            remedy="Where it was trained, keep `{'state_dict': …, 'hyper_parameters': …}` of it with torch.save, "
            "or export the network to ONNX",
        ) from error
    base_arch, head_type = options.get("base_arch", "resnet18"), options.get("head_type", "orig_fastai")
    if base_arch not in _SHAPES or head_type not in ("orig_fastai", "linear") or options.get("anti_aliased_backbone"):
        variant = " with an anti-aliased backbone" if options.get("anti_aliased_backbone") else ""
        raise ModelError(
            f"the network is {base_arch!r} with the head {head_type!r}{variant}, which this program does not have",
            where=str(path),
            remedy=f"It has {', '.join(_SHAPES)}; export other networks to ONNX where they were trained",
        )
    net = EncoderNet(
        base_arch, head_type, int(options.get("n_input_channels", 3)), int(options.get("n_embedding_dims", 100))
    )
    _take_weights(net, weights, path)
    return net


def from_pickle(path: Path) -> nn.Module:
    """The network of a pickle that was made with fastai 1, whose code is run: the caller has been told to trust it.

    Pooling and flattening are not in the pickle, and are put in front of the head again.

    Raises
    ------
    ModelError
        It is another network than the documented one.
    """
    pickled = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLES)
    if not isinstance(pickled, nn.Module):
        raise ModelError(
            f"this holds a {type(pickled).__name__}, not a network", where=str(path), remedy="Export it to ONNX"
        )
    weights = {_name_in_encoder(name): value for name, value in pickled.state_dict().items()}
    net = _of_the_same_shape(weights, path)
    _take_weights(net, weights, path)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return nn.Sequential(net, Scaled(SCALES[digest])) if digest in SCALES else net


def _name_in_encoder(name: str) -> str:
    """A parameter of the pickle, which is backbone and head without its first two layers, as it is called here."""
    part, _, rest = name.partition(".")
    if part == "0":
        return f"backbone.{rest}"
    number, _, rest = rest.partition(".")
    return f"head.{int(number) + 2}.{rest}" if part == "1" and number.isdecimal() else name


def _of_the_same_shape(weights: Mapping[str, torch.Tensor], path: Path) -> EncoderNet:
    """The first network whose parameters are called so, with as many channels and dimensions."""
    try:
        channels = weights["backbone.0.weight"].shape[1]
        dims = weights["head.8.weight"].shape[0]
    except KeyError as error:
        raise ModelError(
            f"the network has no parameter {error}, which the documented one has",
            where=str(path),
            remedy="Export it to ONNX where it was trained",
        ) from error
    for base_arch in _SHAPES:
        with torch.device("meta"):
            net = EncoderNet(base_arch, channels=channels, dims=dims)
        shapes = {name: value.shape for name, value in net.state_dict().items() if not name.endswith(_COUNT)}
        if shapes == {name: value.shape for name, value in weights.items() if not name.endswith(_COUNT)}:
            return EncoderNet(base_arch, channels=channels, dims=dims)
    raise ModelError(
        "the network has other layers than the documented ones",
        where=str(path),
        remedy=f"This program has {', '.join(_SHAPES)}; export others to ONNX where they were trained",
    )


#: How many batches a layer has seen, which older versions of PyTorch did not keep and embeddings do not follow from.
_COUNT = "num_batches_tracked"


def _take_weights(net: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    used = {name: value for name, value in weights.items() if not name.endswith(_COUNT)}
    counts = {name: value for name, value in net.state_dict().items() if name.endswith(_COUNT)}
    try:
        net.load_state_dict({**used, **counts}, strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"the weights are not those of the documented network ({_short(error)})",
            where=str(path),
            remedy="Export the network to ONNX where it was trained",
        ) from error


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


class _Unpickler(pickle.Unpickler):
    """Reads pickles that name the blocks of torchvision, which need not be there, as those of this module."""

    def find_class(self, module: str, name: str) -> Any:
        blocks = {"BasicBlock": BasicBlock, "Bottleneck": Bottleneck}
        if module == "torchvision.models.resnet" and name in blocks:
            return blocks[name]
        return super().find_class(module, name)


_PICKLES = SimpleNamespace(
    __name__=__name__, Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load()
)
