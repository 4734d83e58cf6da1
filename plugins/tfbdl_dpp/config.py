"""The options of the models ``dpp`` and ``k_dpp``."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field
from tfbdl.config import Array


class DPPOptions(Config):
    """Items are rows of the data; or a kernel is given, and there are no data."""

    L: Array | None = Field(
        None, description="Kernel of an L-ensemble [n, n], in place of data; symmetric, positive."
    )
    K: Array | None = Field(
        None, description="Marginal kernel [n, n], in place of data; eigenvalues from 0 to 1."
    )
    features: Array | None = Field(
        None, description="Features F [n, d] with L = F F', in place of data."
    )
    kernel: Literal["rbf", "linear"] = Field(
        "rbf", description="Similarity of two rows; linear does for hundreds of thousands of rows."
    )
    length_scale: float | None = Field(
        None,
        gt=0,
        description="Length scale of rbf, in standard deviations of the columns; none: the median "
        "distance between two rows.",
    )
    ignore_targets: bool = Field(
        False,
        description="Whether targets are left out: those of labelled data are no observed subsets.",
    )
    draws: int = Field(100, ge=1, description="Number of subsets in the posterior's draws.")


class SizedDPPOptions(DPPOptions):
    """A DPP whose number of items varies."""

    expected_size: float | None = Field(
        None,
        gt=0,
        description="Scale the kernel so that a subset has this many items on average; none: the "
        "kernel as it is.",
    )


class KDPPOptions(DPPOptions):
    """A DPP of subsets of k items."""

    k: int = Field(5, ge=1, description="Items of a subset; at most the rank of the kernel.")
