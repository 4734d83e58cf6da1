"""DPPBatches: mini-batches whose items differ, for ``model.fit`` as they are.

References:
    Zhang, Kjellstrom, Mandt 2017, "Determinantal point processes for mini-batch diversification",
    UAI (arXiv:1705.00607).
    Huang, Xu, Oppermann 2019, "Efficient diversified mini-batch selection using variable high-layer
    features", ACML: features of a high layer, computed anew as the net learns.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, OptionsError, did_you_mean
from tfbdl.standardization import standardised

from .batch_process import KERNELS, METHODS, batch_process, batch_weights
from .kernels import median_length_scale
from .submodel import submodel

STREAM = 20  # of a seed: the draws of batches


class DPPBatches(keras.utils.PyDataset):
    """Batches drawn from a k-DPP over the rows, with weights that keep gradients unbiased.

    Rows that resemble one another seldom share a batch, so that rare rows come more often and the
    gradient varies less. Each batch is ``(x, y, weights)`` with weights ``k / (N p_i)``: Keras
    averages weighted losses over the k rows, which gives the loss over all rows on average.

    A batch is a function of (seed, epoch, place in the epoch) alone: workers and processes draw
    the same ones. ``fit`` shuffles the order of an epoch's batches by Python's own generator; for
    the same training twice, call it with ``shuffle=False``.

    Args:
        x: Rows ``[n, ...]``.
        y: Targets ``[n, ...]``; None: there are none, and ``weighted`` must be False.
        batch_size: k.
        features: What tells rows apart, ``[n, d]``; None: x itself, or the layer's output. Scaled
            so that the median distance of two rows is 1.
        label_weight: w: the labels' one-hot vectors times w stand beside the features, so that two
            classes are ``sqrt(2) w`` median distances apart. Targets that are no labels enter as
            numbers with standard deviation w.
        model: A Keras model; the features are the output of its layer ``layer_name`` on x.
        layer_name: Of a layer near the end.
        every: r: how many epochs pass until the layer's features are computed anew.
        kernel: ``rbf``, or ``linear``, whose rank bounds k.
        length_scale: Of ``rbf``, in median distances of rows; None: the median distance with
            labels.
        method: ``exact``, ``low_rank``, ``clusters`` or ``auto``: see ``batch_process``.
        columns: How many random features or clusters; None: 256, or 4 k if that is more.
        weighted: Whether batches have weights; without them rare rows count for more.
        steps: Batches of an epoch; None: as many as n rows fill.
        seed: Of the batches.
        **options: ``workers``, ``use_multiprocessing`` and ``max_queue_size`` of Keras.

    Raises:
        DataError: If arrays do not fit together, or an item has probability 0.
        OptionsError: If k is above the rank of the kernel, or an option is not as it should be.

    Example:
        ```python
        import keras
        import numpy as np
        from tfbdl_dpp import DPPBatches

        x = np.random.default_rng(0).normal(size=(200, 3))
        y = (x[:, 0] > 1.5).astype(int)
        net = keras.Sequential([keras.layers.Dense(2)])
        net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        net.fit(DPPBatches(x, y, batch_size=10, label_weight=1.0), verbose=0)
        ```
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        *,
        features: Any = None,
        label_weight: float = 0.0,
        model: keras.Model | None = None,
        layer_name: str | None = None,
        every: int = 1,
        kernel: str = "rbf",
        length_scale: float | None = None,
        method: str = "auto",
        columns: int | None = None,
        weighted: bool = True,
        steps: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_choice("kernel", kernel, KERNELS)
        check_choice("method", method, METHODS)
        if not (np.isfinite(label_weight) and label_weight >= 0.0):
            raise OptionsError(f"label_weight must be at least 0. Received: {label_weight!r}.")
        if weighted and y is None:
            raise OptionsError(
                "Keras takes weights beside targets alone. Expected targets y (of an auto-encoder "
                "x again), or weighted=False. Received: no targets."
            )
        if label_weight and y is None:
            raise OptionsError("label_weight needs targets y. Received: none.")
        if (model is None) != (layer_name is None) or (model is not None and features is not None):
            raise OptionsError(
                "The features are an array, or the output of a layer: expected features, or model "
                "and layer_name together."
            )
        self.x, self.y = np.asarray(x), None if y is None else np.asarray(y)
        self._check_rows(features)
        self.batch_size = check_whole("batch_size", batch_size)
        self.every = check_whole("every", every)
        self.weighted = weighted
        self.seed = check_whole("seed", seed, least=0)
        self.epoch = 0
        self._begun = False
        self._steps = max(1, len(self.x) // self.batch_size)
        if steps is not None:
            self._steps = check_whole("steps", steps)
        self._label_weight = label_weight
        self._kernel: dict[str, Any] = {
            "kernel": kernel,
            "length_scale": length_scale,
            "method": method,
            "columns": columns,
            "seed": self.seed,
        }
        self._layer = None if model is None else _layer_output(model, str(layer_name))
        self._given = None if features is None else np.asarray(features, np.float64)
        self._is_netless_copy = False
        self.refresh()

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return self._steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not 0 <= index < self._steps:
            raise IndexError(f"An epoch has {self._steps} batches. Received: index {index}.")
        rows = self.rows(index)
        if self.y is None:
            return (self.x[rows],)
        if self.weighted:
            return self.x[rows], self.y[rows], self.weights[rows].astype(np.float32)
        return self.x[rows], self.y[rows]

    def rows(self, index: int) -> np.ndarray:
        """Which rows batch ``index`` of this epoch has: sorted, ``[k]``."""
        entropy = np.random.SeedSequence([self.seed, STREAM, self.epoch, index])
        key = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return np.asarray(self.process.sample(1, seed=key)[0])

    def on_epoch_begin(self) -> None:
        """Note that an epoch begins."""
        self._begun = True

    def on_epoch_end(self) -> None:
        """Go on to the next epoch, if one began; every r epochs, look at the layer again.

        Keras ends an epoch before the first, too.
        """
        if not self._begun:
            return
        self._begun = False
        self.epoch += 1
        looks = self._layer is not None or self._is_netless_copy
        if looks and self.epoch % self.every == 0:
            self.refresh()

    def refresh(self) -> None:
        """Compute features, process and weights anew.

        ``process`` is the k-DPP, and ``weights`` are ``k / (N p_i)``, ``[n]``.

        Raises:
            DataError: If features are not finite; or of a copy for another process, which draws
                rows and has no net to look at.
        """
        if self._is_netless_copy:
            raise DataError(
                "A copied DPPBatches has no net, whose features it could compute anew. Expected: "
                "the original, or a new one with model and layer_name."
            )
        features = self._features()
        self.process = batch_process(features, self.batch_size, **self._kernel)
        self.weights = batch_weights(self.process)

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which draw rows and need no net."""
        left = self._layer is not None or self._is_netless_copy
        return {**self.__dict__, "_layer": None, "_is_netless_copy": left}

    def _features(self) -> np.ndarray:
        if self._layer is not None:
            found = np.asarray(self._layer.predict(self.x, verbose=0), np.float64)
        else:
            found = np.asarray(self.x if self._given is None else self._given, np.float64)
        found = found.reshape(len(found), -1)
        if not np.isfinite(found).all():
            raise DataError("The features of rows must be finite. Received: NaN or infinite ones.")
        found = found / median_length_scale(found)
        if not self._label_weight:
            return found
        return np.concatenate([found, self._label_weight * _of_labels(self.y)], axis=1)

    def _check_rows(self, features: Any) -> None:
        counts = {"x": len(self.x) if self.x.ndim else 0}
        if self.y is not None:
            counts["y"] = len(self.y) if self.y.ndim else 0
        if features is not None:
            counts["features"] = len(features)
        if len(set(counts.values())) > 1 or 0 in counts.values():
            said = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise DataError(f"Expected equally many rows of all, at least one. Received: {said}.")


def _of_labels(y: Any) -> np.ndarray:
    """Labels as one-hot vectors ``[n, classes]``; other targets standardised ``[n, t]``."""
    flat = np.asarray(y).reshape(len(y), -1)
    if flat.shape[1] == 1 and flat.dtype.kind in "iubOUS":
        classes, labels = np.unique(flat, return_inverse=True)
        return np.eye(len(classes))[labels.reshape(-1)]
    values = flat.astype(np.float64)
    if np.isin(values, (0.0, 1.0)).all() and (values.sum(axis=1) == 1.0).all():
        return values
    return np.asarray(standardised(values))


def _layer_output(model: keras.Model, name: str) -> keras.Model:
    names = [layer.name for layer in model.layers]
    if name not in names:
        raise OptionsError(
            f"The model has no layer {name!r}. Expected one of {', '.join(names)}."
            f"{did_you_mean(name, names)}"
        )
    if not model.built or not getattr(model, "inputs", None):
        raise OptionsError(
            "The model has no input yet, so that its layers have no output. Expected a "
            "built Sequential or functional model, for example one with keras.Input."
        )
    return submodel(model, model.get_layer(name).output)
