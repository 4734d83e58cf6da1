"""The options of the data sets."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field

UciName = Literal[
    "boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine", "yacht"
]

_SEED_LIMIT = 2**32
TEST_FRACTION = 0.1


class SplitOptions(Config):
    """How many rows are held out, and which."""

    test_fraction: float = Field(
        TEST_FRACTION, ge=0.0, lt=1.0, description="Share of the rows held out for testing."
    )
    split: int = Field(
        0,
        ge=0,
        lt=_SEED_LIMIT,
        description="Seed of the division into training and test rows: another number holds "
        "out other rows.",
    )


class MnistOptions(Config):
    """Images of 28 by 28 grey pixels."""

    scale: Literal["unit", "126"] = Field(
        "unit", description="Divide pixels by 255 (unit), or by 126 as Blundell et al. 2015."
    )
    flat: bool = Field(True, description="Rows of 784 pixels; otherwise images of 28 x 28 x 1.")
    train_size: int | None = Field(
        None, ge=1, description="Keep the first training images only; none keeps all."
    )
    test_size: int | None = Field(
        None, ge=1, description="Keep the first test images only; none keeps all."
    )


class UciSplitOptions(Config):
    """One of the published divisions into training and test rows."""

    split: int = Field(
        0, ge=0, le=19, description="Number of the published split; protein has 5, the others 20."
    )


class UciOptions(UciSplitOptions):
    """A regression set by name."""

    name: UciName = Field("yacht", description="Which of the nine sets.")


class FileOptions(Config):
    """A table or arrays in a file."""

    path: str = Field(..., description="A file .csv, .tsv, .txt, .parquet or .npz.")
    target: tuple[str, ...] | None = Field(
        None,
        description="Target columns; none: the last column, or no column for a model without "
        "targets. An empty list: no target.",
    )
    features: tuple[str, ...] | None = Field(
        None, description="Feature columns; none: all that are no target."
    )
    sep: str | None = Field(
        None, description="What parts the columns of a text file; none: comma, or tab in .tsv."
    )
    task: Literal["regression", "classification"] | None = Field(
        None, description="What the target is; none: as the model says, or seen from its values."
    )
    test_fraction: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Share of the rows held out for testing; none: 0.1, or 0 for a model without "
        "targets.",
    )
    split: int = Field(
        0,
        ge=0,
        lt=_SEED_LIMIT,
        description="Seed of the division into training and test rows: another number holds "
        "out other rows.",
    )


class SinusoidOptions(Config):
    """A sine with noise that grows away from zero."""

    num_rows: int = Field(1000, ge=1, description="Training rows.")
    num_test: int = Field(500, ge=2, description="Test rows, on an even grid.")
    half_range: float = Field(1.0, gt=0.0, description="Training inputs lie within +- this.")
    test_half_range: float | None = Field(
        None, gt=0.0, description="The test grid lies within +- this; none: as in training."
    )
    noise_seed: int = Field(0, ge=0, lt=_SEED_LIMIT, description="Seed of inputs and noise.")


class LogisticOptions(Config):
    """Two classes with a wavy border and known probabilities."""

    num_rows: int = Field(1000, ge=2, description="Training rows.")
    num_test: int = Field(1000, ge=0, description="Test rows.")
    sharpness: float = Field(
        3.0, gt=0.0, description="Slope of the logit across the border; larger: less noise."
    )
    noise_seed: int = Field(0, ge=0, lt=_SEED_LIMIT, description="Seed of inputs and labels.")
