"""Tables of predictions: all rows to take away, the most uncertain ones to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

Answer = Mapping[str, np.ndarray]
MOST_FEATURES = 12
"""Columns of inputs in a table that is looked at."""


def all_rows(answer: Answer) -> pd.DataFrame:
    """Every row that was predicted, for a file.

    Args:
        answer: Of the task ``predictions``.

    Returns:
        For numbers of each target: observed, mean, sd, aleatoric and epistemic variance and the
        90 % interval. For classes: class, predicted, its probability, the two parts of the
        entropy, and the probability of each class.
    """
    frame = pd.DataFrame({"row": _row_of_each(answer)})
    if str(answer["kind"]) == "classes":
        names = answer["class"]
        frame["class"] = names[answer["label"]]
        frame["predicted"] = names[answer["predicted"]]
        frame["probability"] = answer["probs"].max(axis=1)
        frame["aleatoric_nats"] = answer["aleatoric"]
        frame["epistemic_nats"] = answer["epistemic"]
        probs = pd.DataFrame(answer["probs"], columns=[f"p({name})" for name in names])
        return pd.concat([frame, probs], axis=1)
    level = int(np.argmin(np.abs(answer["level"] - 0.9)))
    several = len(answer["target"]) > 1
    for i, target in enumerate(answer["target"]):
        after = f" of {target}" if several else ""
        variance = answer["aleatoric"][:, i] + answer["epistemic"][:, i]
        frame[f"observed{after}"] = answer["y"][:, i]
        frame[f"mean{after}"] = answer["mean"][:, i]
        frame[f"sd{after}"] = np.sqrt(variance)
        frame[f"aleatoric_variance{after}"] = answer["aleatoric"][:, i]
        frame[f"epistemic_variance{after}"] = answer["epistemic"][:, i]
        frame[f"low_90{after}"] = answer["low"][level][:, i]
        frame[f"high_90{after}"] = answer["high"][level][:, i]
    return frame


def uncertain_rows(answer: Answer, with_inputs: bool) -> pd.DataFrame:
    """The most uncertain rows first, with their share of epistemic uncertainty.

    Args:
        answer: Of the task ``predictions``.
        with_inputs: Whether the inputs are columns; at most 12 features are.
    """
    rows = answer["uncertain"]
    each = len(answer["aleatoric"]) // max(1, len(answer["index"]))  # entries of a row
    noise = answer["aleatoric"].reshape(len(answer["index"]), -1)[rows]
    unknown = answer["epistemic"].reshape(len(answer["index"]), -1)[rows]
    total = (noise + unknown).sum(axis=1)
    share = np.divide(
        unknown.sum(axis=1), total, out=np.zeros(len(rows)), where=np.isfinite(total) & (total > 0)
    )
    frame = all_rows(answer).iloc[rows * each].reset_index(drop=True)
    if str(answer["kind"]) == "classes":
        frame = frame[[c for c in frame.columns if not c.startswith("p(")]]
    else:
        frame = frame[[c for c in frame.columns if "variance" not in c]]
    frame["epistemic share"] = share
    inputs = answer.get("uncertain_x")
    if with_inputs and inputs is not None and inputs.ndim == 2:
        names = feature_names(answer, inputs.shape[1])[:MOST_FEATURES]
        columns = pd.DataFrame(inputs[:, : len(names)], columns=[f"x: {name}" for name in names])
        frame = pd.concat([frame, columns], axis=1)
    return frame


def feature_names(answer: Answer, count: int) -> list[str]:
    """The features' names, or numbers in their place."""
    names = [str(name) for name in answer.get("feature", ())]
    return names if len(names) == count else numbered(count)


def numbered(count: int) -> list[str]:
    """``feature 0``, ``feature 1``, ..."""
    return [f"feature {i}" for i in range(count)]


def captions(answer: Answer, rows: Sequence[int] | np.ndarray) -> list[str]:
    """What stands under the images of rows of classes."""
    names = answer["class"]
    return [
        f"{names[answer['label'][i]]} taken for {names[answer['predicted'][i]]} "
        f"({answer['probs'][i].max():.0%})"
        if answer["label"][i] != answer["predicted"][i]
        else f"{names[answer['label'][i]]} ({answer['probs'][i].max():.0%})"
        for i in rows
    ]


def _row_of_each(answer: Answer) -> np.ndarray:
    """The row that each entry belongs to: several where a row has several labels."""
    entries = len(answer["label"]) if str(answer["kind"]) == "classes" else len(answer["y"])
    return np.repeat(answer["index"], entries // max(1, len(answer["index"])))
