"""scikit-learn's digits as sequences of eight rows of eight pixels, one model for each class.

The number of states and ``variance_floor`` are chosen by the error on a validation part of the
training digits; the models are then fitted to all training digits, and the test digits are looked
at once. Controls: one state, which knows no order in time (its floor is chosen likewise), and the
chosen setting with the rows of each digit shuffled in time.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import tfbdl

SPLITS = range(3)
STATES = (1, 4, 8, 12)
FLOORS = (1e-6, 0.3, 1.0, 3.0)
STEPS = 40
FITTED, VALIDATION = 100, 30  # of each class; the others of its 174 to 183 digits are for the test

Part = tuple[np.ndarray, np.ndarray]


def run() -> dict[str, Any]:
    """Choose and test on each split; print the tables."""
    warnings.simplefilter("ignore", tfbdl.errors.TfbdlWarning)  # of states at the floor
    runs = [_split(split) for split in SPLITS]
    print("| split | states, floor | test error, % | one state | shuffled in time | seconds |")
    print("|---|---|---|---|---|---|")
    for split, found in zip(SPLITS, runs, strict=True):
        k, floor = found["chosen"]
        print(
            f"| {split} | {k}, {floor:g} | {found['test']:.1f} | {found['one state']:.1f} "
            f"| {found['shuffled']:.1f} | {found['seconds']:.0f} |"
        )
    print("\nValidation error, %, median of the splits; columns are floors\n")
    print(f"| states | {' | '.join(f'{floor:g}' for floor in FLOORS)} |")
    print("|---" * (1 + len(FLOORS)) + "|")
    for k in STATES:
        cells = [
            np.median([found["validation"][f"{k}, {floor:g}"] for found in runs])
            for floor in FLOORS
        ]
        print(f"| {k} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return {name: [found[name] for found in runs] for name in runs[0]}


def _split(split: int) -> dict[str, Any]:
    began = time.perf_counter()
    rng = np.random.default_rng(split)
    pixels, labels = load_digits(return_X_y=True)
    x = pixels.reshape(-1, 8, 8)
    fitted, held, test = _parts(x, labels, rng)
    validation = {
        (k, floor): _error(_fits(fitted, k, floor, split), held) for k in STATES for floor in FLOORS
    }
    chosen = min(validation, key=lambda pair: validation[pair])
    alone = min((pair for pair in validation if pair[0] == 1), key=lambda pair: validation[pair])
    train = _joined(fitted, held)
    shuffled, shuffled_test = (_shuffled(part, rng) for part in (train, test))
    return {
        "chosen": chosen,
        "test": _error(_fits(train, *chosen, split), test),
        "one state": _error(_fits(train, *alone, split), test),
        "shuffled": _error(_fits(shuffled, *chosen, split), shuffled_test),
        "validation": {f"{k}, {floor:g}": error for (k, floor), error in validation.items()},
        "test digits": len(test[1]),
        "seconds": time.perf_counter() - began,
    }


def _parts(x: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> list[Part]:
    """Digits to fit, to choose by and to test with; of the first two equally many of each class."""
    shares: list[list[np.ndarray]] = [[], [], []]
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(labels == digit))
        pieces = np.split(own, [FITTED, FITTED + VALIDATION])
        for share, piece in zip(shares, pieces, strict=True):
            share.append(piece)
    places = [np.concatenate(share) for share in shares]
    return [(x[place], labels[place]) for place in places]


def _joined(one: Part, other: Part) -> Part:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def _shuffled(part: Part, rng: np.random.Generator) -> Part:
    """The rows of each digit in an order of its own."""
    x, labels = part
    orders = rng.random(x.shape[:2]).argsort(axis=1)
    return np.take_along_axis(x, orders[:, :, np.newaxis], axis=1), labels


def _fits(part: Part, k: int, floor: float, seed: int) -> list[Any]:
    """A model of each class."""
    options = {"num_states": k, "covariance": "diagonal", "variance_floor": floor}
    x, labels = part
    return [
        tfbdl.fit(
            "hmm",
            x[labels == digit],
            seed=seed,
            model_options=options,
            engine_options={"steps": STEPS},
        ).model
        for digit in range(10)
    ]


def _error(models: list[Any], part: Part) -> float:
    """Per cent of digits that another class gives the largest density."""
    x, labels = part
    density = np.stack([model.log_prob(x) for model in models])
    return 100.0 * float((density.argmax(axis=0) != labels).mean())
