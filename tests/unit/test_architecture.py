"""What may import what, and what a command or a code server has to load before it can do anything."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import convml_data
import convml_data_dagster

HEAVY = {"dagster", "torch", "satpy", "matplotlib", "xarray", "dask", "distributed", "pyspectral", "numba"}
#: Modules that need a package which not everyone has.
EXTRAS = ("convml_data.torch", "convml_data.embeddings.architecture", "convml_data.embeddings.torch_encoder")
#: The package of compiled code, which takes numba; nothing loads it before it computes.
KERNELS = "convml_data.kernels."
SCIENCE = sorted(
    [module.name for module in pkgutil.walk_packages(convml_data.__path__, "convml_data.") if module.name not in EXTRAS]
    + ["convml_data"]
)


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever in it that is; none of its own package's."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _loaded_by(code: str) -> set[str]:
    """Packages at the top level that a new interpreter has loaded after running ``code``."""
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_modules_are_found() -> None:
    assert {"convml_data.errors", "convml_data.sources.goes.abi", "convml_data.pipeline.scene"} <= set(SCIENCE)


def test_no_line_of_the_science_imports_the_orchestration() -> None:
    folder = Path(convml_data.__file__).parent
    offenders = {
        f"{path.relative_to(folder)} imports {name}"
        for path in folder.rglob("*.py")
        for name in _imports(path)
        if name.partition(".")[0] in ("dagster", "convml_data_dagster")
    }
    assert offenders == set()


def test_no_module_of_the_science_loads_the_orchestration() -> None:
    loaded = _loaded_by("import " + ", ".join(name for name in SCIENCE if not name.startswith(KERNELS)))
    assert "convml_data" in loaded
    assert loaded.isdisjoint({"dagster", "dagster_shared", "convml_data_dagster", "torch", "satpy", "matplotlib"})
    assert "numba" not in loaded


def test_kernels_use_nothing_from_other_files() -> None:
    """Numba keeps what it compiled until the kernel's own file changes."""
    allowed = {"__future__", "math", "numpy", "numpy.typing", "convml_data.kernels.compiled"}
    folder = Path(convml_data.__file__).parent / "kernels"
    modules = [path for path in folder.glob("*.py") if path.name not in ("__init__.py", "compiled.py")]
    assert len(modules) > 3
    for path in modules:
        assert set(_imports(path)) <= allowed, path


@pytest.mark.parametrize(
    "module",
    [
        "convml_data",
        "convml_data.cli",
        "convml_data.errors",
        "convml_data.scenes.ledger",
        "convml_data.sources.base",
        "convml_data.sources.goes.names",
        "convml_data.meta.dataset",
        "convml_data.store.layout",
    ],
)
def test_light_modules_stay_light(module: str) -> None:
    assert _loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_a_code_server_starts_without_what_computes() -> None:
    loaded = _loaded_by("import convml_data_dagster.definitions")
    assert "dagster" in loaded
    assert loaded.isdisjoint(HEAVY - {"dagster"} | {"h5py", "zarr", "PIL", "scipy"})


def test_definitions_of_a_dataset_need_nothing_that_computes(tmp_path: Path) -> None:
    meta = Path(convml_data.__file__).parents[1] / "examples" / "trade_cumulus" / "meta.yaml"
    (tmp_path / "meta.yaml").write_bytes(meta.read_bytes())
    loaded = _loaded_by(
        "from pathlib import Path\n"
        "from convml_data_dagster.definitions import build_definitions\n"
        f"keys = build_definitions([Path({str(tmp_path)!r})]).resolve_all_asset_keys()\n"
        "assert len(keys) == 10, keys"
    )
    assert loaded.isdisjoint(HEAVY - {"dagster"} | {"h5py", "zarr", "PIL"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["crop", "--help"], ["validate", "--help"]])
def test_help_does_not_wait_for_dagster(arguments: list[str]) -> None:
    loaded = _loaded_by(
        "from convml_data_dagster.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code"
    )
    assert "convml_data_dagster" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_each_package_says_what_belongs_in_it() -> None:
    for package in (convml_data, convml_data_dagster):
        folder = Path(package.__file__ or "").parent
        without = [p for p in folder.rglob("*.py") if not ast.get_docstring(ast.parse(p.read_text()))]
        assert without == []
