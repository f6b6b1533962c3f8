"""Functions of the dataset split_window."""

import xarray as xr


def split_window(da_bt_14: xr.DataArray, da_bt_15: xr.DataArray) -> xr.DataArray:
    """Brightness temperature at 11.2 um less that at 12.3 um, which water vapour and thin cirrus absorb more of."""
    return (da_bt_14 - da_bt_15).assign_attrs(units="K", long_name="split-window difference, 11.2 um less 12.3 um")


def picture(da_scene: xr.DataArray) -> xr.DataArray:
    """Blue at 1 K and below, yellow at 3.5 K and above."""
    shade = ((da_scene - 1) / 2.5).clip(0, 1)
    return xr.concat([shade, shade, 1 - shade], dim="rgb")
