"""Functions of the user: what they get, what they may return, and what is said where they break it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import ConvmlError, MetaError, SceneError
from convml_data.user_functions import call_field_function, call_image_function

GOOD = """\
import numpy as np

def difference(da_bt_11, da_bt_14):
    da_bt_11 -= 1.0  # what is given is the function's own
    return (da_bt_14 - da_bt_11).assign_attrs(units="K", long_name="split window")
"""


def fields() -> dict[str, xr.DataArray]:
    y, x = np.array([20.0, 10.0, 0.0]), np.array([0.0, 10.0])
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    made = {}
    for number, name in enumerate(("bt_11", "bt_14")):
        array = xr.DataArray(values + 10 * number, {"y": y, "x": x}, ("y", "x"), attrs={"units": "K"})
        made[name] = array.where(array != 3)
    return made


def written(folder: Path, text: str) -> Path:
    file = folder / "user_functions.py"
    file.write_text(text)
    return file


def test_the_function_gets_its_fields_by_name_and_as_its_own(tmp_path: Path) -> None:
    given = fields()
    made = call_field_function(written(tmp_path, GOOD), "difference", given)
    assert made.dims == ("y", "x")
    assert made.dtype == np.float32
    assert made.attrs == {"units": "K", "long_name": "split window"}
    np.testing.assert_array_equal(np.isnan(made), np.isnan(given["bt_11"]))
    np.testing.assert_array_equal(made.values[~np.isnan(made)], 11)
    assert float(given["bt_11"][0, 0]) == 0


def test_dims_in_another_order_are_put_right_and_infinity_is_missing(tmp_path: Path) -> None:
    text = """\
import numpy as np
import xarray as xr

def ratio(da_bt_11, da_bt_14):
    both = xr.concat([da_bt_11 / 0, da_bt_14], "bands").assign_coords(bands=["a", "b"])
    return both.transpose("x", "bands", "y").assign_attrs(units="1", long_name="ratio")
"""
    with np.errstate(divide="ignore", invalid="ignore"):
        made = call_field_function(written(tmp_path, text), "ratio", fields())
    assert made.dims == ("bands", "y", "x")
    assert made["bands"].values.tolist() == ["a", "b"]
    assert np.isnan(made.values[0]).all()
    assert np.isfinite(made.values[1]).sum() == 6


def test_rows_and_columns_come_back_in_the_order_they_were_given(tmp_path: Path) -> None:
    given = fields()
    file = written(
        tmp_path, "def f(da_bt_11, da_bt_14):\n    return da_bt_11.sortby('y').assign_attrs(units='K', long_name='a')\n"
    )
    made = call_field_function(file, "f", given)
    np.testing.assert_array_equal(made["y"], given["bt_11"]["y"])
    np.testing.assert_array_equal(made.values, given["bt_11"].values)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return da_bt_11.assign_coords(y=[1, 2, 3]).assign_attrs(long_name='a')", "other values of the coordinate y"),
        ("return 3", "a int"),
        ("return da_bt_11.values", "a ndarray"),
        ("return da_bt_11.rename(x='lon')", "dims ('y', 'lon')"),
        ("return da_bt_11.isel(x=slice(1))", "y 3 and x 1 long"),
        ("return da_bt_11.drop_attrs()", "an array without units and long_name among its"),
        ("return da_bt_11.drop_attrs().assign_attrs(units='K')", "an array without long_name among its"),
        ("return da_bt_11.astype(str)", "values of type <U"),
    ],
)
def test_what_breaks_the_contract_is_said_with_what_was_expected(tmp_path: Path, body: str, what: str) -> None:
    file = written(tmp_path, f"def f(da_bt_11, da_bt_14):\n    {body}\n")
    with pytest.raises(SceneError) as raised:
        call_field_function(file, "f", fields())
    message = str(raised.value)
    assert f"f returned {what}" in message
    assert "was to return a DataArray with dims (y, x) or (bands, y, x), y 3 and x 2 long" in message
    assert str(file) in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def g():\n    pass\n", ["there is no function f", "def f(da_bt_11, da_bt_14):"]),
        ("f = 3\n", ["there is no function f"]),
        ("def f(da_bt_11):\n    pass\n", ["f(da_bt_11) cannot be called with da_bt_11, da_bt_14"]),
        ("def f(:\n", ["this file cannot be imported: SyntaxError in line 1"]),
        ("raise SystemExit\n", ["this file cannot be imported: SystemExit in line 1"]),
        ("def f(da_bt_11, da_bt_14):\n    exit(3)\n", ["f failed: SystemExit"]),
        ("import math\n1 / 0\n", ["this file cannot be imported: ZeroDivisionError in line 2: division by zero"]),
        ("def f(da_bt_11, da_bt_14):\n    raise KeyError('cloud')\n", ["f failed: KeyError in line 2: 'cloud'"]),
    ],
)
def test_errors_name_file_line_and_remedy(tmp_path: Path, text: str, parts: list[str]) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConvmlError) as raised:
        call_field_function(file, "f", fields())
    for part in [*parts, str(file)]:
        assert part in str(raised.value)


def test_threads_that_import_a_broken_file_all_hear_why(tmp_path: Path) -> None:
    file = written(tmp_path, "import time\ntime.sleep(0.05)\n1 / 0\n")

    def failure(_: int) -> str:
        with pytest.raises(MetaError) as raised:
            call_field_function(file, "f", fields())
        return str(raised.value)

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(failure, range(4)))) == 1


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MetaError, match="the function f is wanted, and its file cannot be read"):
        call_field_function(tmp_path / "user_functions.py", "f", fields())


def test_an_edited_file_is_imported_anew(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    first = call_field_function(file, "difference", fields())
    written(tmp_path, GOOD.replace("1.0", "2.0"))
    second = call_field_function(file, "difference", fields())
    np.testing.assert_allclose(second - first, np.where(np.isnan(first), np.nan, 1.0))


PICTURE = """\
import numpy as np
import xarray as xr

def picture(da_scene):
    shade = (da_scene - da_scene.min()) / (da_scene.max() - da_scene.min())
    return xr.concat([shade, 0 * shade, 1 - shade, shade], "rgb")
"""


def test_a_picture_keeps_the_rows_of_the_scene(tmp_path: Path) -> None:
    field = fields()["bt_11"]
    rgb = call_image_function(written(tmp_path, PICTURE), "picture", field)
    assert rgb.shape == (3, 3, 2)
    np.testing.assert_allclose(rgb[0], field / 5, atol=1e-6)
    flipped = PICTURE.replace('"rgb")', '"rgb").isel(y=slice(None, None, -1)).transpose("y", "rgb", "x")')
    np.testing.assert_array_equal(call_image_function(written(tmp_path, flipped), "picture", field), rgb)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return da_scene", "dims ('y', 'x')"),
        ("return xr.concat([da_scene] * 2, 'rgb')", "rgb 2 long"),
        ("return xr.concat([da_scene] * 3, 'rgb')", "values from 0 to 5"),
        ("return xr.concat([da_scene * 0 - 1] * 3, 'rgb')", "values from -1 to -1"),
        ("return None", "a NoneType"),
    ],
)
def test_pictures_that_are_none_are_refused(tmp_path: Path, body: str, what: str) -> None:
    file = written(tmp_path, f"import xarray as xr\ndef f(da_scene):\n    {body}\n")
    with pytest.raises(SceneError) as raised:
        call_image_function(file, "f", fields()["bt_11"])
    assert what in str(raised.value)
    assert "values from 0 to 1" in str(raised.value)
