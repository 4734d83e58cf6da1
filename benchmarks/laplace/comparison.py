"""One curvature on both sides: the same evidence and probabilities, then seconds in turn."""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits
from tfbdl_engines.laplace import Laplace
from tfbdl_engines.laplace_config import LaplaceOptions

import tfbdl
from benchmarks import harness, parts
from benchmarks.peer import Peer
from tfbdl.data import as_dataset
from tfbdl.protocols import Context

CURVATURES = ("full", "kronecker", "diagonal")
SIZES = (64, 24, 10)
TRAINED, ROUNDS, EPOCHS = 1_200, 9, 60
PRIOR_SCALE = 0.5
AGREE = {"log_evidence": 1e-4, "probs": 2e-4}


def run(curvature: str, peer_python: str) -> dict[str, Any]:
    """Fit and predict by one curvature, in turn with laplace-torch."""
    x, y, x_test, y_test = _digits()
    model = _trained()
    options = {"curvature": curvature, "initial": "current", "predictive": "linearized"}
    engine = Laplace(LaplaceOptions(**options))
    data = as_dataset((x, y))
    made: dict[str, Any] = {}

    def fit() -> None:
        made["fit"] = engine.fit(model, data, Context(seed=0))

    def predict() -> None:
        made["probs"] = made["fit"].posterior.predictive_of(model, x_test, 1, 0).probs

    fit()
    predict()
    with tempfile.TemporaryDirectory() as folder, Peer(peer_python, Path(__file__).parent) as peer:
        file = str(Path(folder) / "given.npz")
        weights = {f"w{i}": value for i, value in enumerate(model.net.get_weights())}
        np.savez(file, x=x, y=y, x_test=x_test, **weights)
        theirs = peer.ask(do="start", file=file, curvature=curvature, prior=PRIOR_SCALE**-2)
        gap = abs(made["fit"].metrics["log_evidence"] / theirs["log_evidence"] - 1.0)
        apart = float(np.abs(made["probs"] - np.asarray(theirs["probs"])).max())
        assert gap < AGREE["log_evidence"], (made["fit"].metrics, theirs["log_evidence"])
        assert apart < AGREE["probs"], apart
        seconds: dict[str, list[list[float]]] = {"fit": [[], []], "predict": [[], []]}
        for _ in range(ROUNDS):
            for name, ours in (("fit", fit), ("predict", predict)):
                began = time.perf_counter()
                ours()
                seconds[name][0].append(time.perf_counter() - began)
                seconds[name][1].append(float(peer.ask(do=name)))
    return {
        "log_evidence": [made["fit"].metrics["log_evidence"], theirs["log_evidence"]],
        "probs_apart": apart,
        "nll": -float(np.log(made["probs"][np.arange(len(y_test)), y_test]).mean()),
        **_table(seconds, made["fit"].metrics["log_evidence"], theirs["log_evidence"], apart),
    }


def _table(
    seconds: dict[str, list[list[float]]], ours: float, theirs: float, apart: float
) -> dict[str, Any]:
    print(f"log evidence {ours:.3f} here, {theirs:.3f} there; probabilities {apart:.1e} apart\n")
    parts.header("", "tfbdl, ms", "laplace-torch, ms", "ratio")
    kept = {}
    for name, (own, peers) in seconds.items():
        median, low, high = harness.ratio(own, peers)
        cells = [parts.spread(1e3 * np.asarray(times), 1) for times in (own, peers)]
        parts.row(name, *cells, f"{median:.2f} [{low:.2f}, {high:.2f}]")
        kept[name] = {"tfbdl": own, "laplace_torch": peers, "ratio": [median, low, high]}
    return kept


def _digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16.0).astype("float32"), y[order].astype("int64")
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


@functools.cache
def _trained() -> tfbdl.BayesianNetwork:
    """A Keras net trained as people do, as a network with a prior."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    hidden = layers.Dense(SIZES[1], "tanh", use_bias=False)
    net = keras.Sequential([keras.Input(SIZES[:1]), hidden, layers.Dense(SIZES[2], use_bias=False)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.AdamW(1e-2, weight_decay=1e-3), loss)
    x, y, _, _ = _digits()
    net.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0)
    return tfbdl.bayesianize(net, "categorical", prior_options={"scale": PRIOR_SCALE})
