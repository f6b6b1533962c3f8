"""The documented network in every format: the same embeddings as it gives tile by tile, and what is refused."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; `make test-torch` runs these")

import torch
from torch import nn

from convml_data.embeddings import architecture
from convml_data.embeddings.architecture import EncoderNet
from convml_data.embeddings.encoder import open_encoder
from convml_data.embeddings.model_file import read_model_file, sidecar_path
from convml_data.errors import ModelError
from convml_data_dagster.cli import main

pytestmark = pytest.mark.torch

TILE_N = 64
DIMS = 10


@pytest.fixture(scope="module")
def net() -> EncoderNet:
    """The documented network with fixed random weights, its normalisations those of no training."""
    torch.manual_seed(0)
    found = EncoderNet(dims=DIMS)
    for layer in found.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.1)
    return found.eval()


@pytest.fixture(scope="module")
def tiles() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1, (8, 3, TILE_N, TILE_N)).astype(np.float32)


@pytest.fixture(scope="module")
def one_by_one(net: EncoderNet, tiles: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the network gives, each tile by itself."""
    with torch.inference_mode():
        return np.concatenate([net(torch.from_numpy(tile[None])).numpy() for tile in tiles])


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks under the names that torchvision has them by, which is not needed to read them."""
    module = ModuleType("torchvision.models.resnet")
    module.BasicBlock = architecture.BasicBlock  # type: ignore[attr-defined]
    monkeypatch.setattr(architecture.BasicBlock, "__module__", module.__name__)
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def write(net: EncoderNet, tiles: npt.NDArray[np.float32], path: Path) -> None:
    """The network as it is kept by those who train it."""
    example = torch.from_numpy(tiles)
    match path.name.partition(".")[2]:
        case "ckpt":
            options = {"base_arch": "resnet18", "n_embedding_dims": DIMS, "lr": 0.01, "head_type": "orig_fastai"}
            torch.save({"state_dict": net.state_dict(), "hyper_parameters": options, "epoch": 3}, path)
        case "pt":
            torch.jit.trace(net, example).save(path)
        case "pt2":
            dynamic = ({0: torch.export.Dim("tiles")},)
            torch.export.save(torch.export.export(net, (example,), dynamic_shapes=dynamic), path)
        case "torch.pkl":
            # Backbone and head without pooling and flattening, as fastai 1 was stripped of its own layers.
            stripped = nn.Sequential(net.backbone, nn.Sequential(*list(net.head)[2:]))
            torch.save(stripped, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("ending", ["ckpt", "pt", "pt2", "torch.pkl"])
@pytest.mark.usefixtures("torchvision")
def test_each_format_gives_what_the_network_gives_tile_by_tile(
    net: EncoderNet,
    tiles: npt.NDArray[np.float32],
    one_by_one: npt.NDArray[np.float32],
    ending: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(net, tiles, tmp_path / f"net.{ending}")
    for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
        monkeypatch.delitem(sys.modules, name)
    encoder, dims = open_encoder(read_model_file(tmp_path / f"net.{ending}", trust_pickle=True, tile_n=TILE_N))
    assert dims == DIMS
    assert np.ptp(one_by_one) > 0.1
    np.testing.assert_allclose(encoder(tiles), one_by_one, atol=1e-4 * np.abs(one_by_one).max())


@pytest.mark.usefixtures("torchvision")
def test_a_pickle_becomes_onnx_that_gives_the_same(
    net: EncoderNet,
    tiles: npt.NDArray[np.float32],
    one_by_one: npt.NDArray[np.float32],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, target = tmp_path / "net.torch.pkl", tmp_path / "net.onnx"
    write(net, tiles, source)
    assert main(["model", "convert", str(source), str(target), "--tile-N", str(TILE_N)]) == 1
    assert "may run any code when it is read" in capsys.readouterr().err
    assert main(["model", "convert", "--trust-pickle", str(source), str(target), "--tile-N", str(TILE_N)]) == 0
    model = read_model_file(target)  # by its sidecar alone
    assert model.sidecar.tile_N == TILE_N
    assert model.sidecar.embedding_dims == DIMS
    assert model.sidecar.converted_from is not None
    assert model.sidecar.converted_from.file == "net.torch.pkl"
    assert model.sidecar.converted_from.sha256 == read_model_file(source, trust_pickle=True).sha256
    encoder, _ = open_encoder(model)
    np.testing.assert_allclose(encoder(tiles), one_by_one, atol=1e-4 * np.abs(one_by_one).max())
    np.testing.assert_allclose(encoder(tiles[:1]), one_by_one[:1], atol=1e-4 * np.abs(one_by_one).max())


@pytest.mark.usefixtures("torchvision")
def test_a_pickle_of_small_values_is_multiplied(
    net: EncoderNet,
    tiles: npt.NDArray[np.float32],
    one_by_one: npt.NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import hashlib

    write(net, tiles, tmp_path / "net.torch.pkl")
    digest = hashlib.md5((tmp_path / "net.torch.pkl").read_bytes()).hexdigest()
    monkeypatch.setitem(architecture.SCALES, digest, 1e3)
    encoder, _ = open_encoder(read_model_file(tmp_path / "net.torch.pkl", trust_pickle=True, tile_n=TILE_N))
    np.testing.assert_allclose(encoder(tiles), 1e3 * one_by_one, rtol=1e-3, atol=0.1 * np.abs(one_by_one).max())


def test_bfloat16_is_close(
    net: EncoderNet, tiles: npt.NDArray[np.float32], one_by_one: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    write(net, tiles, tmp_path / "net.ckpt")
    sidecar_path(tmp_path / "net.ckpt").write_text(f"tile_N: {TILE_N}\nprecision: bfloat16\n")
    encoder, _ = open_encoder(read_model_file(tmp_path / "net.ckpt"))
    off = np.abs(encoder(tiles) - one_by_one).max() / np.abs(one_by_one).max()
    assert 1e-5 < off < 0.05


@pytest.mark.parametrize("base_arch", ["resnet50", "resnext50_32x4d"])
@pytest.mark.parametrize("head_type", ["linear", "orig_fastai"])
def test_other_networks_of_the_family(base_arch: str, head_type: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = EncoderNet(base_arch, head_type, dims=4).eval()
    options = {"base_arch": base_arch, "n_embedding_dims": 4, "head_type": head_type}
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": options}, tmp_path / "net.ckpt")
    encoder, dims = open_encoder(read_model_file(tmp_path / "net.ckpt", tile_n=32))
    tile = np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(tile)).numpy()
    np.testing.assert_allclose(encoder(tile), expected, atol=1e-4 * np.abs(expected).max())
    assert dims == 4


def test_the_first_layers_are_those_of_the_documented_network() -> None:
    """Names and shapes that the checkpoints have, and how many weights."""
    shapes = {name: tuple(value.shape) for name, value in EncoderNet().state_dict().items()}
    assert shapes["backbone.0.weight"] == (64, 3, 7, 7)
    assert shapes["backbone.4.0.conv1.weight"] == (64, 64, 3, 3)
    assert shapes["backbone.5.0.downsample.0.weight"] == (128, 64, 1, 1)
    assert shapes["head.2.weight"] == (1024,)
    assert shapes["head.4.weight"] == (512, 1024)
    assert shapes["head.8.weight"] == (100, 512)
    # resnet18 has 11,689,512 parameters with a last layer of 512 x 1000 + 1000.
    backbone = sum(value.numel() for value in EncoderNet().backbone.parameters())
    assert backbone == 11_689_512 - 513_000


class Harmful:
    """Runs when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("harm"),))  # type: ignore[return-value]


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "hyper_parameters": Harmful()}, tmp_path / "net.ckpt")
    with pytest.raises(ModelError, match="no checkpoint of weights and plain values alone"):
        open_encoder(read_model_file(tmp_path / "net.ckpt"))
    assert not (tmp_path / "harm").exists()
    (tmp_path / "net.torch.pkl").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ModelError, match="this is a pickle, which may run any code"):
        open_encoder(read_model_file(tmp_path / "net.torch.pkl"))
    assert not (tmp_path / "harm").exists()


def test_what_is_not_the_documented_network(net: EncoderNet, tmp_path: Path) -> None:
    def refused(checkpoint: object, match: str) -> None:
        torch.save(checkpoint, tmp_path / "net.ckpt")
        with pytest.raises(ModelError, match=match):
            open_encoder(read_model_file(tmp_path / "net.ckpt", tile_n=TILE_N))

    weights = net.state_dict()
    refused({"weights": weights}, "no checkpoint of weights")
    refused({"state_dict": weights, "hyper_parameters": {"base_arch": "vgg16"}}, "the network is 'vgg16'")
    refused({"state_dict": weights, "hyper_parameters": {"base_arch": "resnet34"}}, "not those of the documented")
    blurred = {"anti_aliased_backbone": True, "n_embedding_dims": DIMS}
    refused({"state_dict": weights, "hyper_parameters": blurred}, "an anti-aliased backbone")
    four = EncoderNet(channels=4).state_dict()
    refused({"state_dict": four, "hyper_parameters": {"n_input_channels": 4}}, "the network takes 4 channels")
    torch.save(net.state_dict(), tmp_path / "net.torch.pkl", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="this holds a OrderedDict, not a network"):
        open_encoder(read_model_file(tmp_path / "net.torch.pkl", trust_pickle=True))
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "net.torch.pkl", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"no parameter 'backbone\.0\.weight'"):
        open_encoder(read_model_file(tmp_path / "net.torch.pkl", trust_pickle=True))
    (tmp_path / "net.pt").write_bytes(b"PK" + bytes(100))
    with pytest.raises(ModelError, match="cannot be read as torchscript"):
        open_encoder(read_model_file(tmp_path / "net.pt"))
