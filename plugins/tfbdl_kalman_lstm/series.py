"""Real series that are public facts: the flow of the Nile and the level of Lake Huron."""

from __future__ import annotations

import numpy as np

from tfbdl.data import Dataset, as_dataset

from .data_config import SeriesOptions

NILE = np.array(
    [
        1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020,
        960, 1180, 799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840,
        874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702,
        1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
        781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801,
        1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815,
        1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
    ],
    np.float64,
)  # fmt: skip
"""Annual flow at Aswan, 1871 to 1970, in 10^8 cubic metres."""

LAKE_HURON = np.array(
    [
        580.38, 581.86, 580.97, 580.80, 579.79, 580.39, 580.42, 580.82, 581.40, 581.32,
        581.44, 581.68, 581.17, 580.53, 580.01, 579.91, 579.14, 579.16, 579.55, 579.67,
        578.44, 578.24, 579.10, 579.09, 579.35, 578.82, 579.32, 579.01, 579.00, 579.80,
        579.83, 579.72, 579.89, 580.01, 579.37, 578.69, 578.19, 578.67, 579.55, 578.92,
        578.09, 579.37, 580.13, 580.14, 579.51, 579.24, 578.66, 578.86, 578.05, 577.79,
        576.75, 576.75, 577.82, 578.64, 580.58, 579.48, 577.38, 576.90, 576.94, 576.24,
        576.84, 576.85, 576.90, 577.79, 578.18, 577.51, 577.23, 578.42, 579.61, 579.05,
        579.26, 579.22, 579.38, 579.10, 577.95, 578.12, 579.75, 580.85, 580.41, 579.96,
        579.61, 578.76, 578.18, 577.21, 577.13, 579.10, 578.25, 577.91, 576.89, 575.96,
        576.80, 577.68, 578.38, 578.52, 579.74, 579.31, 579.89, 579.96,
    ]
)  # fmt: skip
"""Annual level, 1875 to 1972, in feet."""


def nile(options: SeriesOptions) -> Dataset:
    """Annual flow of the Nile at Aswan; a dam was begun there in 1898.

    Shapes:
        x: ``[100, 1]``, one sequence.

    References:
        Cobb 1978, "The problem of the Nile"; Durbin & Koopman 2012, chapter 2.
    """
    return _series(NILE, "nile", "flow", options)


def lake_huron(options: SeriesOptions) -> Dataset:
    """Annual level of Lake Huron.

    Shapes:
        x: ``[98, 1]``, one sequence.

    References:
        Brockwell & Davis 1991, "Time Series: Theory and Methods", series A.
    """
    return _series(LAKE_HURON, "lake_huron", "level", options)


def with_gaps(values: np.ndarray, share: float, seed: list[int]) -> np.ndarray:
    """Observations ``[..., m]`` of which a share of the steps is missing (NaN), never the first.

    Args:
        values: ``[..., T, m]``.
        share: Of all steps after the first.
        seed: Of the choice.
    """
    if not share:
        return values
    gone = np.random.default_rng(seed).random(values.shape[:-1]) < share
    gone[..., 0] = False
    return np.where(gone[..., np.newaxis], np.nan, values)


def _series(values: np.ndarray, name: str, column: str, options: SeriesOptions) -> Dataset:
    x = with_gaps(values[:, np.newaxis], options.missing, [options.missing_seed])
    return as_dataset(x, name=name, feature_names=(column,), allow_nan=options.missing > 0)
