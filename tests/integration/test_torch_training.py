"""The tiles that are made are what a network learns from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; `make test-torch` runs these")

import torch
from datasets import small_archive_fixture, small_meta, write_meta  # noqa: F401
from torch import nn
from torch.utils.data import DataLoader

from convml_data.embeddings.encoder import open_encoder
from convml_data.embeddings.model_file import read_model_file
from convml_data.torch import TripletDataset
from convml_data_dagster.cli import main

pytestmark = pytest.mark.torch


def test_the_documented_loss_falls_and_the_network_embeds(
    small_archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / ".dagster"))
    meta = small_meta(small_archive, scans=6)
    meta["sampling"]["triplets"] = {"N_triplets": {"train": 12}, "tile_N": 16}
    dataset = write_meta(tmp_path / "clouds", meta)
    for command in ("tiles", "statistics"):
        assert main([command, "--data-path", str(dataset)]) == 0
    triplets = TripletDataset(dataset, "train", normalise=dataset / "report/statistics/train.json")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 8)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        for batch in DataLoader(triplets, batch_size=12):
            anchor, neighbor, distant = map(network, batch)
            near, far = ((anchor - other).square().sum(1) for other in (neighbor, distant))
            loss = torch.relu(near - far + 1.0).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    exported = torch.export.export(network.eval(), (torch.zeros(8, 3, 16, 16),))
    torch.export.save(exported, tmp_path / "net.pt2")
    encoder, dims = open_encoder(read_model_file(tmp_path / "net.pt2", tile_n=16))
    assert (dims, encoder.batch) == (8, 8)  # exported for eight tiles, and given eight
    options = ["--model-path", str(tmp_path / "net.pt2"), "--tiles-kind", "triplets", "--tile-N", "16"]
    assert main(["embeddings", "--data-path", str(dataset), *options]) == 0
