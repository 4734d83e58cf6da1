"""A Keras network that says how sure it is, on the progress of diabetes in 442 patients.

python examples/quickstart_regression.py [EPOCHS]
"""

from __future__ import annotations

import sys

import keras
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import tfbdl


def main(epochs: int = 400) -> dict[str, float]:
    """Train, predict on test rows, and print what the prediction is worth."""
    features, target = load_diabetes(return_X_y=True)
    x, x_test, y, y_test = train_test_split(features, target, test_size=0.2, random_state=0)
    inputs, targets = StandardScaler().fit(x), StandardScaler().fit(y[:, None])
    x, x_test = inputs.transform(x), inputs.transform(x_test)
    y, y_test = targets.transform(y[:, None]), targets.transform(y_test[:, None])

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(50, "tanh"), keras.layers.Dense(1)]
    )
    model = tfbdl.BayesianNetwork(net, "gaussian", "normal", prior_options={"scale": 0.15})
    model.compile(optimizer=keras.optimizers.Adam(0.01))
    model.fit(x, y, epochs=epochs, batch_size=128, verbose=0)

    p = model.predictive(x_test, draws=100)
    low, high = p.interval(0.9)
    unit = float(targets.scale_[0])
    scores = {
        "rmse": unit * float(np.sqrt(np.mean((p.mean - y_test) ** 2))),
        "nll": float(-np.mean(p.log_prob(y_test))) + float(np.log(unit)),
        "coverage_90": tfbdl.calibration.coverage(y_test, low, high),
        "aleatoric_sd": unit * float(np.sqrt(p.aleatoric.mean())),
        "epistemic_sd": unit * float(np.sqrt(p.epistemic.mean())),
    }
    for name, value in scores.items():
        print(f"{name:13} {value:8.3f}")

    far = np.full((1, 10), 5.0)  # five standard deviations away from all patients
    print(f"epistemic sd of a patient unlike all others: "
          f"{unit * np.sqrt(model.predictive(far, 100).epistemic.item()):.1f}")  # fmt: skip
    return scores


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
