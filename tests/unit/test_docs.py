"""The documentation: what it shows, lists and quotes is there and is what the code has."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import yaml

from convml_data.meta.level2 import LEVEL2_PRODUCTS, Level2Product, Level2Variable, is_level2
from convml_data.meta.load import parse_meta
from convml_data.meta.products import Product, parse_product
from convml_data.sources.ceres.products import VARIABLES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PICTURES = DOCS / "pictures"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]


def text_of(page: str) -> str:
    return (DOCS / page).read_text()


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """The script that makes the pictures."""
    spec = importlib.util.spec_from_file_location("make_pictures", PICTURES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


# Pictures


def shown_in(page: Path) -> Iterator[Path]:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
        yield (page.parent / target).resolve()


def test_every_picture_that_is_shown_is_there_and_each_that_is_there_is_shown_and_made(make: ModuleType) -> None:
    shown = {picture for page in PAGES for picture in shown_in(page)}
    assert len(shown) > 10
    assert shown == set(PICTURES.glob("*.png"))
    browser = Path(__file__).parents[1] / "integration/test_browser.py"
    of_the_ui = set(re.findall(r'keep\(page, "(\w+)"\)', browser.read_text()))
    assert {picture.stem for picture in shown} == {picture.name for picture in make.PICTURES} | of_the_ui


def test_pictures_are_small() -> None:
    sizes = {picture.name: picture.stat().st_size for picture in PICTURES.glob("*.png")}
    assert {name: size for name, size in sizes.items() if size > 60_000} == {}
    assert sum(sizes.values()) < 1_000_000


def product_table() -> dict[str, str]:
    """Forms of products in the first table of the page, and the pictures beside them."""
    table = text_of("products.md").split("\n## ")[0]
    return dict(re.findall(r"^\| \[`([^`]+)`\]\([^)]*\) \| \w+ \| !\[[^\]]+\]\(pictures/(\w+)\.png\) \|$", table, re.M))


def fits(form: str, source: str, product: str) -> bool:
    if form == "<LEVEL2>":
        return source.startswith("goes") and is_level2(product)
    if form == "<satellite>__<variable>":
        return source.startswith("ceres")
    if form == "singlechannel__<variable>":
        return source == "LES" and product.startswith("singlechannel__")
    pattern = re.escape(form).replace("<n>", r"\d+").replace("<name>", r"\w+").replace("<field>", "[a-z0-9]+(_[0-9]+)?")
    return re.fullmatch(pattern.replace("…", ".*"), product) is not None


def test_every_form_of_product_has_a_picture_of_it(make: ModuleType) -> None:
    table = product_table()
    rows = [line for line in text_of("products.md").split("\n## ")[0].splitlines() if line.startswith("| [")]
    assert len(table) == len(rows) > 8
    metas = {picture.name: picture.meta for picture in make.PICTURES}
    assert [form for form, name in table.items() if not fits(form, *source_and_product(metas[name]))] == []
    kinds = {type(parse_product(*source_and_product(metas[name]))) for name in table.values()}
    assert kinds == set(get_args(Product))


def source_and_product(meta: Any) -> tuple[str, str]:
    return meta["source"], meta["product"]


# Lists


def level2_row(product: Level2Product) -> str:
    """As the table has it."""
    written = [f"{product.name}__{variable.name}" for variable in product.variables]
    if product.has_main:
        written[0] = product.name
    if product.per_channel:
        written = [f"{product.name}__<n>"]

    def variable_of(variable: Level2Variable) -> str:
        name = f"{variable.name}_<n>" if product.per_channel else variable.name
        return f"`{name}` (codes)" if variable.categories else f"`{name}`"

    cells = (
        ", ".join(f"`{name}`" for name in written),
        product.title,
        ", ".join(product.sectors),
        ", ".join(map(variable_of, product.variables)),
        f"`{product.flags}`",
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_of_level_2_products_is_that_of_the_code() -> None:
    section = text_of("products.md").split("\n## Level 2 products\n")[1].split("\n### ")[0]
    table = section.split("| flags |\n|---|---|---|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == [level2_row(product) for product in LEVEL2_PRODUCTS.values()]


def listed_composites() -> dict[str, list[str]]:
    lists = re.findall(r"<!-- composites: (\w+) -->\n((?:\s*`[^\n]*\n)+)", text_of("products.md"))
    return {kind: re.findall(r"`(\w+)`", names) for kind, names in lists}


def test_the_lists_of_composites_are_those_of_satpy() -> None:
    composites = pytest.importorskip("convml_data.sources.goes.composites")
    try:
        satpy = ".".join(version("satpy").split(".")[:2])
    except PackageNotFoundError:
        pytest.skip("satpy is not installed")
    if f"satpy {satpy} defines" not in text_of("products.md"):
        pytest.skip(f"the page is about another version than satpy {satpy}")
    listed = listed_composites()
    made = listed["made"] + listed["tables"] + listed["limits"]
    assert sorted(made) == sorted(composites.composite_names())
    assert f"of which {len(made)} can be made" in text_of("products.md")
    assert [name for name in made if not composites.has_fixed_enhancement(name)] == listed["limits"]
    reasons = {"internet": "from the internet", "data": "needs", "channel": "a channel at", "blends": "blends"}
    refused = [(name, words) for kind, words in reasons.items() for name in listed[kind]]
    assert f"defines {len(made) + len(refused)} composites" in text_of("products.md")
    assert len({*made, *(name for name, _ in refused)}) == len(made) + len(refused)
    for name, words in refused:
        with pytest.raises(Exception, match=words):
            composites.check_composite(name)


def test_the_variables_of_ceres_are_those_of_the_code() -> None:
    section = text_of("ceres.md").split("\n## Variables\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in re.findall(r"`(\w+)`", cell)) == sorted(VARIABLES)


# Examples and links

BASE = {
    "source": "goes16",
    "product": "truecolor_rgb",
    "time": {"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:30"},
    "domain": {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 2e5, "l_meridional": 2e5},
    "sampling": {"resolution": 1000.0},
}


def blocks_of(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", text_of(page), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("page", "count"),
    [("products.md", 6), ("models.md", 7), ("ceres.md", 1), ("user-functions.md", 3), ("transforms.md", 2)],
)
def test_the_examples_load(page: str, count: int) -> None:
    blocks = blocks_of(page)
    assert len(blocks) >= count
    for block in blocks:
        load_completed(block)


def load_completed(block: str) -> None:
    """Read an excerpt of a ``meta.yaml``, with what it leaves out because it is not about that."""
    given = yaml.safe_load(block)
    missing = {key: value for key, value in BASE.items() if key not in given}
    if given.get("source") == "LES":
        missing = {key: value for key, value in missing.items() if key not in ("time", "domain")}
    parse_meta(block + (yaml.safe_dump(missing) if missing else ""), "an example of the documentation")


@pytest.mark.parametrize("name", ["meta.yaml", "user_functions.py"])
def test_the_example_is_quoted_as_it_is(name: str) -> None:
    path = f"examples/split_window/{name}"
    quoted = re.search(rf"<!-- {re.escape(path)} -->\n```\w+\n(.*?)```", text_of("user-functions.md"), flags=re.DOTALL)
    assert quoted is not None
    assert quoted[1] == (REPOSITORY / path).read_text()


def anchors_of(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors_of(other), target
