"""Data sets: bundled with scikit-learn, benchmarks, files and simulators."""

from __future__ import annotations

from tfbdl import DatasetSpec, hookimpl

from .config import (
    FileOptions,
    LogisticOptions,
    MnistOptions,
    SinusoidOptions,
    SplitOptions,
    UciOptions,
    UciSplitOptions,
)

_BUNDLED = {
    "diabetes": ("regression", "Progress of diabetes after a year: 442 patients, 10 measurements."),
    "digits": ("classification", "Handwritten digits of 8 x 8 pixels: 1,797 images."),
    "breast_cancer": ("classification", "Malignant or benign: 569 tumours, 30 measurements."),
    "wine": ("classification", "Three cultivars of Italian wine: 178 wines, 13 measurements."),
    "iris": ("classification", "Three species of iris: 150 flowers, 4 measurements."),
}
_UCI = {
    "boston": "House prices in Boston: 506 districts, 13 features.",
    "concrete": "Compressive strength of concrete: 1,030 mixtures, 8 features.",
    "energy": "Heating load of buildings: 768 shapes, 8 features.",
    "kin8nm": "Forward kinematics of an eight-link robot arm: 8,192 rows, 8 features.",
    "naval": "Decay of a naval gas turbine: 11,934 rows, 16 features.",
    "power": "Output of a combined-cycle power plant: 9,568 hours, 4 features.",
    "protein": "Deviation of predicted protein structures: 45,730 decoys, 9 features.",
    "wine_quality": "Tasters' score of red wine, as a number: 1,599 wines, 11 features.",
    "yacht": "Resistance of sailing yachts: 308 hulls, 6 features.",
}
_SPLITS = (
    "Hernandez-Lobato & Adams 2015, Probabilistic backpropagation, section 5",
    "Gal & Ghahramani 2016, Dropout as a Bayesian approximation, table 1",
)


@hookimpl
def tfbdl_datasets() -> list[DatasetSpec]:
    """Every data set of this plugin."""
    bundled = [
        DatasetSpec(
            name=name,
            summary=summary,
            factory=f"tfbdl_datasets.bundled:{name}",
            config=SplitOptions,
            task=task,
        )
        for name, (task, summary) in _BUNDLED.items()
    ]
    uci = [
        DatasetSpec(
            name=name,
            summary=summary,
            factory=f"tfbdl_datasets.uci:{name}",
            config=UciSplitOptions,
            task="regression",
            references=_SPLITS,
        )
        for name, summary in _UCI.items()
    ]
    return [*bundled, *_images(), *uci, *_others()]


def _images() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="mnist",
            summary="Handwritten digits of 28 x 28 pixels: 60,000 to train, 10,000 to test.",
            factory="tfbdl_datasets.mnist:mnist",
            config=MnistOptions,
            task="classification",
            references=("LeCun, Bottou, Bengio, Haffner 1998",),
        ),
        DatasetSpec(
            name="fashion_mnist",
            summary="Clothing in 28 x 28 pixels: 60,000 to train, 10,000 to test.",
            factory="tfbdl_datasets.mnist:fashion_mnist",
            config=MnistOptions,
            task="classification",
            references=("Xiao, Rasul, Vollgraf 2017",),
        ),
    ]


def _others() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="uci",
            summary="A UCI regression set with its published splits.",
            factory="tfbdl_datasets.uci:uci",
            config=UciOptions,
            task="regression",
            references=_SPLITS,
        ),
        DatasetSpec(
            name="file",
            summary="A table (csv, tsv, parquet) or arrays (npz) of your own.",
            factory="tfbdl_datasets.files:file",
            config=FileOptions,
        ),
        DatasetSpec(
            name="sinusoid",
            summary="A sine with noise that grows away from zero; the truth is known.",
            factory="tfbdl_datasets.simulators:sinusoid",
            config=SinusoidOptions,
            task="regression",
        ),
        DatasetSpec(
            name="logistic",
            summary="Two classes with a wavy border; the class probabilities are known.",
            factory="tfbdl_datasets.simulators:logistic",
            config=LogisticOptions,
            task="classification",
        ),
    ]
