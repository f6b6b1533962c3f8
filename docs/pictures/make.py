"""Make the pictures of the documentation, each by the command that a user runs.

``python docs/pictures/make.py [FOLDER]``. Each picture is that of the first regridded scene of a dataset, made by
``convml-data regrid``, unless it says what else it shows. Most are of a simulated archive. Those of level 2 products,
of composites at night and of models need real files: granules in ``noaa-goes16`` and ``noaa-goes17`` as in the public
buckets, and model output in ``les``, below FOLDER or, without it, below the folder that the environment variable
CONVML_SHARED_DATA names. Pictures whose files are not there are left as they are, and are named at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from convml_data_dagster.cli import main as convml_data

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "examples" / "split_window"

LONGEST_SIDE = 400
LONGEST_SIDE_OF_PLOTS = 560
MOST_BYTES = 60_000

TRADES = {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 300e3, "l_meridional": 240e3}
AFTERNOON = {"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:30"}
LONG_AFTERNOON = AFTERNOON | {"t_end": "2020-02-02T15:50"}
CHANNELS = (1, 2, 3, 4, 5, 13, 14, 15)

NIGHT = {"t_start": "2019-12-01T10:27", "t_end": "2019-12-01T10:28"}
WITHOUT_TABLES = {"product_options": {"rayleigh_correction": False}}

#: Cells along a side of the tiles that the network takes.
NETWORK_N = 48
DRAW = ("embedding-plots", "--transform", "pca_transform")


@dataclass(frozen=True)
class Picture:
    """A picture and the dataset that it is of.

    Parameters
    ----------
    name
        Of its file, without the ending.
    meta
        The ``meta.yaml``.
    needs
        What must be below the folder of real files; None where a simulated archive gives it all.
    commands
        Of ``convml-data``, which make it; ``{network}`` stands for a neural network's file.
    shows
        Pattern of the files that it makes, of which the one in the middle is taken; None for the first scene.
    """

    name: str
    meta: Mapping[str, Any]
    needs: str | None = None
    commands: Sequence[Sequence[str]] = (("regrid",),)
    shows: str | None = None


def simulated(name: str, product: str, resolution: float = 1000.0, **keys: Any) -> Picture:
    """Trade-wind cumulus."""
    keys = {"time": AFTERNOON, "domain": TRADES, "sampling": {"resolution": resolution}} | keys
    return Picture(name, {"source": "goes16", "product": product} | keys)


def ceres(name: str, variable: str, **keys: Any) -> Picture:
    """The same clouds as CERES shows them, on pixels of 6 km."""
    domain = TRADES | {"l_zonal": 900e3, "l_meridional": 720e3}
    keys |= {"domain": domain, "sampling": {"resolution": 3000.0, "method": "nearest"}}
    return simulated(name, f"goes16n__{variable}", source="ceres", **keys)


def granules(name: str, source: str, product: str, needs: str, resolution: float, **keys: Any) -> Picture:
    """Files of the public archive; fields of level 2 have gaps, of which interpolation would make more."""
    sampling = {"resolution": resolution, "method": "nearest" if "-L2-" in needs else "bilinear"}
    return Picture(name, {"source": source, "product": product, "sampling": sampling} | keys, f"noaa-{source}/{needs}")


def followed(picture: Picture) -> Picture:
    """The trajectories of the clouds."""
    return replace(picture, commands=(("flow",),), shows="flow/plots/*/*.png")


def embedded(name: str, command: Sequence[str], shows: str) -> Picture:
    """What is made of embeddings of windows, by a network of random weights."""
    triplets = {"N_triplets": {"train": 10, "study": 2}, "tile_N": NETWORK_N}
    of_windows = ("--model-path", "{network}", "--tile-N", str(NETWORK_N), "--step-size", "10")
    pca = ("transform", *of_windows, "--transform-type", "pca")
    return Picture(
        name,
        simulated(name, "truecolor_rgb").meta
        | {"sampling": {"resolution": 1000.0, "triplets": triplets}}
        | {"aux_products": {"red": {"source": "goes16", "product": "singlechannel__refl_2"}}}
        | WITHOUT_TABLES,
        commands=(pca, (command[0], *of_windows, *command[1:])),
        shows=f"embeddings/*/plots/pca_transform/{shows}",
    )


def night(name: str, product: str) -> Picture:
    """A mesoscale sector over the Pacific before dawn."""
    keys = {"sector": "M1", "time": NIGHT, "domain": {"kind": "as_source"}}
    return granules(name, "goes17", product, "ABI-L1b-RadM/2019/335/10", 5000.0, **keys)


def model(name: str, product: str, file: str, resolution: float, **keys: Any) -> Picture:
    """Output of a model."""
    return Picture(
        name, {"source": "LES", "product": product, "sampling": {"resolution": resolution}} | keys, f"les/{file}"
    )


PICTURES = (
    embedded("transform_components", DRAW, "*.components_0_1_2.png"),
    embedded("transform_rgb", DRAW, "*.rgb_0_1_2.png"),
    embedded("transform_grid", DRAW, "grid.png"),
    embedded(
        "transform_distribution",
        ("aux-values", "--field", "red", "--transform", "pca_transform"),
        "red__mean.distribution.png",
    ),
    simulated("truecolor_rgb", "truecolor_rgb", **WITHOUT_TABLES),
    simulated("singlechannel_radiance", "singlechannel__2"),
    simulated("singlechannel_bt", "singlechannel__bt_13"),
    simulated("singlechannel_refl", "singlechannel__refl_5"),
    simulated("singlechannel_cmap", "singlechannel__bt_13", image={"vmin": 284, "vmax": 297, "cmap": "magma"}),
    simulated("multichannel", "multichannel__refl_2__refl_5__bt_13"),
    simulated("composite_day", "composite__day_cloud_type"),
    simulated("user_function", "user_function"),
    ceres("ceres_stored", "cloud_top_height", image={"cmap": "viridis"}),
    ceres("ceres_derived", "approximate_toa_net_radiation_flux", image={"vmin": 0, "vmax": 800, "cmap": "inferno"}),
    night("composite_night", "composite__airmass"),
    night("composite_of_limits", "composite__cloudtop"),
    granules(
        "level2",
        "goes17",
        "ACHA",
        "ABI-L2-ACHAC/2022/121/00",
        5000.0,
        sector="C",
        time={"t_start": "2022-05-01T00:56", "t_end": "2022-05-01T00:57"},
        domain={"central_latitude": 35, "central_longitude": -130, "l_zonal": 1500e3, "l_meridional": 1000e3},
        image={"vmin": 0, "vmax": 12000, "cmap": "viridis"},
    ),
    granules(
        "level2_quality",
        "goes16",
        "AOD",
        "ABI-L2-AODC/2018/319/14",
        2500.0,
        sector="C",
        quality=["high_quality_retrieval_qf", "medium_quality_retrieval_qf"],
        time={"t_start": "2018-11-15T14:27", "t_end": "2018-11-15T14:28"},
        domain={"central_latitude": 31.6, "central_longitude": -95.3, "l_zonal": 800e3, "l_meridional": 600e3},
        image={"vmin": 0, "vmax": 0.3, "cmap": "viridis"},
    ),
    followed(
        simulated(
            "flow_trades", "truecolor_rgb", time=LONG_AFTERNOON, flow={"min_point_distance": 24e3}, **WITHOUT_TABLES
        )
    ),
    followed(
        granules(
            "flow_vapour",
            "goes16",
            "singlechannel__bt_10",
            "ABI-L1b-RadC/2022/275/11",
            2000.0,
            sector="C",
            time={"t_start": "2022-10-02T11:00", "t_end": "2022-10-02T11:10"},
            domain={"central_latitude": 33, "central_longitude": -90, "l_zonal": 2400e3, "l_meridional": 1600e3},
        )
    ),
    model(
        "model_plane",
        "singlechannel__u",
        "movie000.nc",
        25.0,
        coordinates={"time": {"start": "2020-02-02", "step": "PT60S"}, "x": 100, "y": 100},
    ),
    model(
        "model_lonlat",
        "singlechannel__U10",
        "mercator_sample.nc",
        2000.0,
        image={"vmin": -40, "vmax": 40, "cmap": "RdBu"},
    ),
)


def make(pictures: Sequence[Picture], real: Path | None) -> list[str]:
    """Make pictures; gives the reasons of those that were not."""
    missing = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["DAGSTER_HOME"] = str(folder / "dagster")
        _simulate(folder / "archive")
        _write_network(folder / "network.onnx")
        for picture in pictures:
            if picture.needs is not None and (real is None or not (real / picture.needs).exists()):
                missing.append(f"{picture.name}.png needs {picture.needs}")
                continue
            dataset = _write_dataset(folder, picture, real)
            for command in picture.commands:
                parts = [part.format(network=folder / "network.onnx") for part in command]
                _run(*parts, "--data-path", str(dataset))
            shown = sorted(dataset.glob(picture.shows or "rect/*.png"))
            made = shown[len(shown) // 2 if picture.shows else 0]
            _save(made, HERE / f"{picture.name}.png", LONGEST_SIDE_OF_PLOTS if picture.shows else LONGEST_SIDE)
    return missing


def _simulate(archive: Path) -> None:
    span, long_span = (("--t-start", it["t_start"], "--t-end", it["t_end"]) for it in (AFTERNOON, LONG_AFTERNOON))
    place = ("--lat", str(TRADES["central_latitude"]), "--lon", str(TRADES["central_longitude"]))
    goes = ("--satellite", "goes16", "--extent", "300e3", "--channels", ",".join(map(str, CHANNELS)))
    ceres = ("--source", "ceres", "--satellite", "goes16n", "--extent", "900e3")
    for of_source in (goes, ceres):
        _run("simulate", str(archive), *of_source, *span, *place)
    _run("simulate", str(archive), *goes[:-1], "1,2,3", *long_span, *place)


def _write_network(path: Path) -> None:
    """A network of two convolutions with random weights: what it sees is texture, and nothing that was learnt."""
    rng = np.random.default_rng(0)
    weights = {"w1": rng.normal(0, 0.2, (16, 3, 5, 5)), "w2": rng.normal(0, 0.1, (24, 16, 5, 5))}
    steps = (("Conv", ["in", "w1"], "a"), ("Relu", ["a"], "b"), ("Conv", ["b", "w2"], "c"), ("Relu", ["c"], "d"))
    nodes = []
    for kind, given, made in steps:
        strides = {"strides": [2, 2]} if kind == "Conv" else {}
        nodes.append(helper.make_node(kind, given, [made], **strides))
    nodes += [helper.make_node(f"Global{kind}Pool", ["d"], [kind]) for kind in ("Average", "Max")]
    nodes.append(helper.make_node("Concat", ["Average", "Max"], ["e"], axis=1))
    nodes.append(helper.make_node("Flatten", ["e"], ["out"]))
    graph = helper.make_graph(
        nodes,
        "texture",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["tiles", 3, NETWORK_N, NETWORK_N])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["tiles", 48])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _write_dataset(folder: Path, picture: Picture, real: Path | None) -> Path:
    """The dataset's folder, which a function of the user shares its name with."""
    dataset = folder / picture.name
    dataset.mkdir()
    meta = dict(picture.meta)
    if meta["product"] == "user_function":
        dataset = Path(shutil.copytree(EXAMPLE, dataset / EXAMPLE.name))
        meta = yaml.safe_load((EXAMPLE / "meta.yaml").read_text())
        meta["sampling"] = {"resolution": 1000.0}
    if meta["source"] == "LES":
        assert real is not None
        (dataset / "source_data" / "LES").mkdir(parents=True)
        shutil.copy(real / str(picture.needs), dataset / "source_data" / "LES")
    elif meta["source"] == "ceres":
        meta["archive"] = str(folder / "archive")
    else:
        meta["archive"] = str((real if picture.needs and real else folder / "archive") / "noaa-{satellite}")
    for aux in meta.get("aux_products", {}).values():
        aux["archive"] = meta["archive"]
    (dataset / "meta.yaml").write_text(yaml.safe_dump(meta, sort_keys=False))
    return dataset


def _run(*arguments: str) -> None:
    """Run ``convml-data``, without its progress where all goes well."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        status = convml_data(arguments)
    if status != 0:
        sys.exit(f"convml-data {' '.join(arguments)} failed:\n{output.getvalue()}")


def _save(scene: Path, path: Path, longest_side: int) -> None:
    """Keep the picture, shrunk if it is large, in fewer colours if its file would be."""
    with Image.open(scene) as image:
        image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        image.save(path, optimize=True)
        for colours in (256, 64):
            if path.stat().st_size > MOST_BYTES:
                # Those of a colour bar are kept, however few pixels have them.
                few = image.convert("RGB").quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
                few.save(path, optimize=True)


def main() -> None:
    """Make all pictures whose files are there."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    given = os.environ.get("CONVML_SHARED_DATA")
    parser.add_argument("folder", nargs="?", type=Path, default=given and Path(given), help="holds real files")
    folder = parser.parse_args().folder
    if folder is not None and not folder.is_dir():
        sys.exit(f"there is no folder {folder}")
    missing = make(PICTURES, folder and folder.resolve())
    for reason in missing:
        sys.stderr.write(f"not made: {reason} in the folder of real files\n")
    sys.stdout.write(f"{len(PICTURES) - len(missing)} of {len(PICTURES)} pictures in {HERE}\n")


if __name__ == "__main__":
    main()
