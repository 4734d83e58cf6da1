"""A Bayesian LSTM beside the plain LSTM of the same size, by test perplexity at one budget.

``python -m benchmarks.bayesian_rnn [--only PART ...]``. All contestants are one code path (a plain
LSTM is a point posterior without a prior), and have for a seed the same first weights, the same
rows, the same Adam with the same decay of its rate, and as many steps. Early stopping keeps the
weights of the epoch with the best NLL on two rows of twenty that nobody trains on. Processor time
is that of the steps, without tracing, compiling and evaluations.

``descriptions``, and ``sharpened``, which takes six times as long: characters of scikit-learn's
descriptions. ``markov_text``: symbols from a chain of order 2 whose entropy rate is known; figures
are what the test symbols cost beyond the truth.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import keras
from tfbdl_bbb.markov_chain import MarkovChain
from tfbdl_bbb.rnn_config import MarkovTextOptions

import tfbdl
from benchmarks import parts
from tfbdl.config import make
from tfbdl.registry import registry, resolve

SEEDS = (0, 1, 2)
DRAWS = 10
RATE = 3e-3
POINT: dict[str, Any] = {"posterior": "delta", "kl_weight": 0.0}
DROPPING: dict[str, Any] = {**POINT, "dropout": 0.3, "recurrent_dropout": 0.2}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "LSTM": POINT,
    "LSTM, stopped early": {**POINT, "stop": True},
    "LSTM, variational dropout": DROPPING,
    "Bayesian LSTM": {},
    "Bayesian LSTM, a tenth of the KL": {"kl_weight": 0.1},
}
SHARPENED: dict[str, dict[str, Any]] = {"Bayesian LSTM, sharpened": {"sharpening": True}}


class Clock(keras.callbacks.Callback):
    """Processor time a step, of all epochs but the first."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.epochs, self.seconds = steps, 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch:
            self.seconds += time.process_time() - self.began
            self.epochs += 1

    @property
    def a_step(self) -> float:
        return self.seconds / (self.epochs * self.steps)


class KeepBest(keras.callbacks.Callback):
    """Puts back the weights of the epoch with the best NLL of held-out rows."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.rows, self.best, self.weights = rows, math.inf, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        nll = self.model.nll(self.rows)
        if nll < self.best:
            self.best, self.weights = nll, self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self.weights)


def dataset(name: str, **options: Any) -> Any:
    """A data set by name."""
    spec = registry().datasets[name]
    return resolve(spec.factory)(make(spec.config, options, name))


def contest(
    data: Any, net: dict[str, Any], steps: int, seed: int, contestants: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """All contestants of a seed: name -> its figures."""
    train, held_out = data.validation_split(0.1)
    found: dict[str, dict[str, Any]] = {}
    for name, options in contestants.items():
        chosen = dict(options)
        stop = chosen.pop("stop", False)
        model = tfbdl.build("bayesian_rnn", data, model_options=net | chosen, seed=seed)
        each = model.steps_per_epoch(train)
        epochs = max(2, round(steps / each))
        rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * each)
        model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0))
        clock = Clock(each)
        callbacks = [clock, *([KeepBest(held_out.x)] if stop else [])]
        model.fit(train, epochs=epochs, verbose=0, callbacks=callbacks)
        found[name] = {
            "steps": epochs * each,
            "a_step": clock.a_step,
            "train": model.nll(train.x),
            "mean": model.nll(data.x_test),
            "draws": model.nll(data.x_test, DRAWS),
        }
        print(f"  seed {seed}: {name}: {_told(found[name])}", flush=True)
    return found


def _told(figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def descriptions(contestants: dict[str, dict[str, Any]] = CONTESTANTS) -> dict[str, Any]:
    """Perplexities of characters."""
    data = dataset("descriptions")
    net = {"units": 128, "embedding_dim": 32}
    found = [contest(data, net, 3_000, seed, contestants) for seed in SEEDS]
    parts.header(
        "characters", "steps", "ms a step", "training", "test, mean weights", f"test, {DRAWS} draws"
    )
    for name in contestants:
        rows = [one[name] for one in found]
        parts.row(
            name,
            parts.spread((row["steps"] for row in rows), 0),
            parts.spread((1e3 * row["a_step"] for row in rows), 1),
            *(
                parts.spread((math.exp(row[what]) for row in rows), 2)
                for what in ("train", "mean", "draws")
            ),
        )
    return _by_name(found)


def markov_text() -> dict[str, Any]:
    """What symbols cost beyond the truth, in thousandths of a nat."""
    chosen = {"rows": 20, "row_length": 501, "test_length": 20_000}
    chain = MarkovChain.of(MarkovTextOptions(**chosen))
    net = {"units": 32, "embedding_dim": 8}
    found = []
    for seed in SEEDS:
        data = dataset("markov_text", **chosen, text_seed=seed)
        truth = float(-chain.log_probs(data.x_test[..., 0].astype(int)).mean())
        one = contest(data, net, 2_000, seed, CONTESTANTS)
        for row in one.values():
            row |= {"truth": truth}
        found.append(one)
    floor = math.exp(chain.entropy_rate)
    print(f"\nEntropy rate {chain.entropy_rate:.4f} nats: a perplexity of {floor:.3f}.\n")
    parts.header("symbols", "steps", "test perplexity, draws", "excess, mean", "excess, draws")
    for name in CONTESTANTS:
        rows = [one[name] for one in found]
        parts.row(
            name,
            parts.spread((row["steps"] for row in rows), 0),
            parts.spread((math.exp(row["draws"]) for row in rows), 3),
            parts.spread((1e3 * (row["mean"] - row["truth"]) for row in rows), 1),
            parts.spread((1e3 * (row["draws"] - row["truth"]) for row in rows), 1),
        )
    return {"entropy_rate": chain.entropy_rate, **_by_name(found)}


def _by_name(found: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    return {name: [one[name] for one in found] for name in found[0]}


PARTS = {
    "descriptions": descriptions,
    "sharpened": functools.partial(descriptions, SHARPENED),
    "markov_text": markov_text,
}

if __name__ == "__main__":
    parts.run("bayesian_rnn", __doc__, PARTS)
