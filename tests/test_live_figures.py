"""Figures that a run tells on its way: KL by layer, chains so far; what they cost and leave."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import pytest
from tfbdl_engines.config import VariationalOptions
from tfbdl_engines.variational import Variational

import tfbdl
from tfbdl import metric_names, random
from tfbdl.inference import driver
from tfbdl.inference.driver import Seldom
from tfbdl.protocols import Context


def network(posterior: str = "mean_field", prior: str = "normal") -> tfbdl.BayesianNetwork:
    net = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "relu", name="first"),
            keras.layers.Dense(1, name="second"),
        ]
    )
    return tfbdl.BayesianNetwork(net, "gaussian", prior, posterior=posterior, num_data=20)


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    return x, x.sum(axis=1)


def test_kl_of_layers_is_that_of_their_normals() -> None:
    model = network()
    found = model.kl_figures()
    mean, stddev = model.posterior.mean(), model.posterior.stddev()
    scale = float(np.asarray(model.prior.distribution((1,), "float32").stddev())[0])
    for layer, value in found.items():
        sites = [name for name in mean if name.startswith(f"{layer}.")]
        m = np.concatenate([np.ravel(mean[name]) for name in sites]).astype("float64")
        s = np.concatenate([np.ravel(stddev[name]) for name in sites]).astype("float64")
        expected = (np.log(scale / s) + (s**2 + m**2) / (2 * scale**2) - 0.5).sum()
        assert value == pytest.approx(expected, rel=1e-4)  # float32 sums
    assert set(found) == {"first", "second"}


@pytest.mark.parametrize("prior", ["normal", "scale_mixture"])
def test_kl_of_layers_adds_up_to_the_whole(prior: str) -> None:
    model = network(prior=prior)
    draw = model.surrogate.sample(random.key(0, "posterior"))
    assert sum(model.kl_figures().values()) == pytest.approx(float(model.kl(draw)), rel=1e-4)


@pytest.mark.parametrize("posterior", ["full_rank", "delta"])
def test_kl_of_layers_is_not_told_where_it_has_no_meaning(posterior: str) -> None:
    assert network(posterior).kl_figures() == {}


@pytest.mark.slow
def test_run_tells_the_kl_of_layers_and_trains_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Seldom, "due", lambda self: True)
    told: list[Mapping[str, float]] = []
    options = {"epochs": 3, "batch_size": 10}
    loud, still = (
        tfbdl.fit(network(), data(), engine_options=options, seed=3, on_step=listener)
        for listener in (told.append, None)
    )
    figures = [m for m in told if "kl.first" in m]
    assert [(m["step"], m["steps"]) for m in figures] == [(2, 6), (4, 6), (6, 6)]
    assert set(loud.history) == set(still.history)
    assert loud.history["loss"] == still.history["loss"]
    for name, value in loud.posterior.mean().items():
        np.testing.assert_array_equal(value, still.posterior.mean()[name])


class OneWeight:
    """A model whose KL is its only weight; each epoch adds one to it."""

    def __init__(self) -> None:
        self.weight, self.stop_training, self.kl_weight = 0.0, False, 1.0

    def kl_figures(self) -> dict[str, float]:
        return {"first": self.weight}

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.weight)]

    def set_weights(self, values: list[np.ndarray]) -> None:
        self.weight = float(values[0])

    def train(self, losses: list[float], callbacks: keras.callbacks.CallbackList) -> None:
        callbacks.on_train_begin()
        for epoch, loss in enumerate(losses):
            callbacks.on_epoch_begin(epoch)
            self.weight += 1.0
            callbacks.on_epoch_end(epoch, {"loss": loss})
            if self.stop_training:
                break
        callbacks.on_train_end()


@pytest.mark.parametrize(
    ("patience", "losses", "kept", "step"),
    [(None, [3.0, 2.0], 2.0, 8), (2, [3.0, 1.0, 2.0, 2.5, 2.0], 2.0, 16)],
)
def test_last_kl_of_layers_is_that_of_the_weights_that_are_kept(
    patience: int | None, losses: list[float], kept: float, step: int
) -> None:
    told: list[Mapping[str, float]] = []
    engine = Variational(VariationalOptions(epochs=5, patience=patience))
    context = Context(seed=0, on_step=told.append)
    model = OneWeight()
    callbacks = engine._callbacks(context, 4, len(losses), False)
    model.train(losses, keras.callbacks.CallbackList(callbacks, model=model))
    assert model.weight == kept
    # an epoch takes no time here, so that none but the last is told
    assert [m for m in told if "kl.first" in m] == [
        {"step": step, "steps": 4 * len(losses), "kl.first": kept}
    ]


def test_costly_figure_takes_a_fiftieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(driver.time, "monotonic", lambda: clock[0])
    seldom = Seldom(share=0.02, seconds=1.0)
    assert not seldom.due()
    clock[0] += 1.0
    assert seldom.due()
    for cost, wait in ((5.0, 1.0), (0.1, 5.0), (0.001, 1.0)):  # the first is not counted
        with seldom.timed():
            clock[0] += cost
        clock[0] += wait - 0.01
        assert not seldom.due()
        clock[0] += 0.02
        assert seldom.due()


def test_run_tells_of_its_chains_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seldom, "due", lambda self: True)
    told: list[Mapping[str, float]] = []
    target = tfbdl.LogDensity(lambda mu: -0.5 * mu**2, shapes={"mu": ()})
    options = {"warmup": 100, "draws": 1500, "chains": 4}
    fit = tfbdl.fit(target, None, engine="nuts", engine_options=options, on_step=told.append)
    last = told[-1]
    assert {"r_hat", "ess_bulk", "divergences", "acceptance_rate"} <= set(last)
    assert last["r_hat"] == pytest.approx(fit.metrics["r_hat_max"])  # of all draws by then


def test_kl_of_a_layer_has_a_meaning() -> None:
    assert "weights of dense_1" in metric_names.meaning("kl.dense_1")
