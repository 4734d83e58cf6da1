"""Expectation maximisation: the climb, its restarts, what it refuses, and how it is resumed.

The worked example is that of Do & Batzoglou 2008, "What is the expectation maximization
algorithm?", figure 1: two coins, five sets of ten tosses.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from small_models import Stop, stop_at

import tfbdl
from tfbdl import errors
from tfbdl.parametric import ParametricModel
from tfbdl.planning import default_engine_for, offered
from tfbdl.specs import Capability

HEADS = np.array([[5.0], [9.0], [8.0], [4.0], [7.0]])
TOSSES = 10.0


class Coins:
    """Which of two coins was tossed is not known; both are as probable."""

    objective = "log_likelihood"
    jit_compile = False  # quick to begin with

    def __init__(self):
        self.starts = []

    def rows(self, data):
        return tf.constant(data.x.astype(np.float64)[:, 0])

    def start(self, rows, method, seed):
        self.starts.append(method)
        return {"heads": tf.constant(np.random.default_rng(seed).uniform(size=2))}

    def e_step(self, params, rows):
        share, log_prob = self.posterior(params, rows)
        return {
            "heads": tf.reduce_sum(share * rows[:, None], axis=0),
            "tosses": tf.reduce_sum(share * TOSSES, axis=0),
            "log_prob": log_prob,
        }

    def posterior(self, params, rows):
        heads = params["heads"]
        logits = rows[:, None] * tf.math.log(heads)
        logits += (TOSSES - rows[:, None]) * tf.math.log1p(-heads) + np.log(0.5)
        return tf.nn.softmax(logits), tf.reduce_sum(tf.reduce_logsumexp(logits, axis=1))

    def m_step(self, statistics):
        return {"heads": statistics["heads"] / statistics["tosses"]}

    def log_likelihood(self, params, statistics):
        return statistics["log_prob"]

    def assign(self, params):
        self.heads = params["heads"]


class SampledCoins(Coins):
    """Draws which coin it was."""

    def sampled_e_step(self, params, rows, key):
        share, log_prob = self.posterior(params, rows)
        uniform = tfbdl.random.uniform(tf.shape(rows), key, "float64")
        first = tf.cast(uniform < share[:, 0], tf.float64)
        drawn = tf.stack([first, 1.0 - first], axis=1)
        return {
            "heads": tf.reduce_sum(drawn * rows[:, None], axis=0),
            "tosses": tf.reduce_sum(drawn * TOSSES, axis=0) + 1e-6,
            "log_prob": log_prob,
        }


class Falling(Coins):
    """An M-step that goes the wrong way after a while."""

    def m_step(self, statistics):
        right = statistics["heads"] / statistics["tosses"]
        return {"heads": tf.where(statistics["log_prob"] > -32.5, 1.0 - right, right)}


class Undefined(Coins):
    """A likelihood that is not a number."""

    def log_likelihood(self, params, statistics):
        return statistics["log_prob"] * np.nan


def fit(model=None, x=HEADS, out=None, on_step=None, seed=0, **options):
    options = {"initial": {"heads": [0.6, 0.5]}, "tolerance": 0, **options}
    return tfbdl.fit(
        model or Coins(), x, engine="em", engine_options=options, seed=seed, out=out,
        on_step=on_step,
    )  # fmt: skip


def log_likelihood(heads, x=HEADS):
    """By hand, in NumPy."""
    joint = 0.5 * heads**x * (1.0 - heads) ** (TOSSES - x)
    return float(np.log(joint.sum(axis=1)).sum())


# -- the climb ---------------------------------------------------------------------------------


def test_an_object_with_the_protocol_is_fitted_by_em_by_default():
    assert offered(Coins()) == {Capability.EM}
    assert default_engine_for(Coins()) == "em"
    assert tfbdl.fit(Coins(), HEADS, seed=3).posterior is None


def test_the_published_example_comes_out():
    np.testing.assert_allclose(fit(steps=1).model.heads, [0.71, 0.58], atol=0.005)
    np.testing.assert_allclose(fit(steps=10).model.heads, [0.80, 0.52], atol=0.005)


def test_the_history_has_the_log_likelihood_after_each_step():
    done = fit(steps=4)
    trace = done.history["log_likelihood"]
    ends = [log_likelihood(fit(steps=k).model.heads) for k in range(5)]
    np.testing.assert_allclose(trace, ends[1:], rtol=1e-13)
    assert np.all(np.diff(ends) > 0)
    assert done.metrics["steps"] == 4
    assert done.metrics["converged"] == 0


def test_no_steps_keep_the_start():
    done = fit(steps=0)
    np.testing.assert_array_equal(done.model.heads, [0.6, 0.5])
    assert done.history["log_likelihood"] == []
    assert done.metrics["log_likelihood"] == pytest.approx(log_likelihood(np.array([0.6, 0.5])))


def test_the_climb_ends_at_the_first_step_that_gains_too_little():
    whole = fit(steps=300).history["log_likelihood"]
    gains = np.diff([log_likelihood(np.array([0.6, 0.5])), *whole])
    done = fit(steps=300, tolerance=1e-4)
    expected = int(np.argmax(gains < 1e-4 * len(HEADS))) + 1
    assert done.metrics["steps"] == expected
    assert done.metrics["converged"] == 1
    assert done.history["log_likelihood"] == whole[:expected]


def test_rows_taken_in_parts_give_the_same_climb():
    x = np.random.default_rng(0).binomial(10, 0.6, size=(1003, 1)).astype(float)
    in_parts = Coins()
    in_parts.row_bytes = 2**21 // 100  # of a budget of 2 MiB: parts of a hundred rows
    whole, parted = fit(x=x, steps=5), fit(in_parts, x=x, steps=5)
    np.testing.assert_allclose(parted.model.heads, whole.model.heads, rtol=1e-12)
    expected = log_likelihood(whole.model.heads, x)
    assert whole.history["log_likelihood"][-1] == pytest.approx(expected, rel=1e-12)


def test_the_loop_or_the_e_step_may_be_compiled():
    expected = fit(steps=6).model.heads
    for compiled in (True, "e_step"):
        model = Coins()
        model.jit_compile = compiled
        np.testing.assert_allclose(fit(model, steps=6).model.heads, expected, rtol=1e-12)


# -- other E-steps, minibatches ----------------------------------------------------------------


def test_monte_carlo_steps_come_near_the_maximum():
    x = np.random.default_rng(1).binomial(10, [[0.3], [0.8]] * 300).reshape(-1, 1).astype(float)
    exact = fit(x=x, steps=200).model.heads
    drawn = fit(SampledCoins(), x=x, steps=60, e_step="monte_carlo", samples=50).model.heads
    np.testing.assert_allclose(drawn, exact, atol=0.01)
    again = fit(SampledCoins(), x=x, steps=60, e_step="monte_carlo", samples=50).model.heads
    np.testing.assert_array_equal(drawn, again)


def test_minibatches_come_near_the_maximum_in_a_few_passes():
    x = np.random.default_rng(1).binomial(10, [[0.3], [0.8]] * 1000).reshape(-1, 1).astype(float)
    exact = fit(x=x, steps=200)
    batched = fit(x=x, steps=5, batch_size=100)
    np.testing.assert_allclose(batched.model.heads, exact.model.heads, atol=0.01)
    assert len(batched.history["log_likelihood"]) == 5
    expected = log_likelihood(batched.model.heads, x)
    assert batched.metrics["log_likelihood"] == pytest.approx(expected, rel=1e-12)


def test_noisy_climbs_go_on_through_falls_and_end_when_means_rest():
    x = np.random.default_rng(1).binomial(10, [[0.3], [0.8]] * 300).reshape(-1, 1).astype(float)
    exact = fit(x=x, steps=200).metrics["log_likelihood"]
    for model, options in (
        (SampledCoins(), {"e_step": "monte_carlo", "samples": 5}),
        (Coins(), {"batch_size": 50}),
    ):
        done = fit(model, x=x, steps=500, tolerance=1e-4, **options)
        trace = done.history["log_likelihood"]
        assert np.diff(trace).min() < 0  # it fell, and went on
        assert 20 <= len(trace) < 500
        assert done.metrics["converged"] == 1
        assert done.metrics["log_likelihood"] > exact - 1.0


def test_an_e_step_that_the_model_lacks_is_refused():
    with pytest.raises(errors.ModelError, match="has no variational E-step"):
        fit(e_step="variational")


# -- starts ------------------------------------------------------------------------------------


def test_restarts_keep_the_best_and_record_all():
    done = fit(initial="random", restarts=4, steps=3, seed=5)
    finals = done.history["log_likelihood_of_restarts"]
    assert len(finals) == 4
    assert len(set(finals)) == 4
    assert done.metrics["log_likelihood"] == max(finals)
    assert done.history["log_likelihood"][-1] == max(finals)
    assert log_likelihood(done.model.heads) == pytest.approx(max(finals), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": {"head": [0.1, 0.2]}}, "must hold the arrays heads. Did you mean 'heads'?"),
        ({"initial": {"heads": [0.1, 0.2, 0.3]}}, r"the shape \[2\]. Received: \[3\]"),
        ({"restarts": 2}, "Expected restarts=1. Received: restarts=2"),
        ({"initial": "best"}, "one of 'auto', 'kmeans\\+\\+', 'random', 'current', or a mapping"),
        ({"tolerance": -1.0}, "of at least 0, or none"),
        ({"forgetting": 0.5}, "above 0.5 and at most 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        fit(**options)


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_trace_that_falls_is_an_error_that_names_the_step():
    good = fit(steps=30).history["log_likelihood"]
    step = int(np.argmax(np.array(good) > -32.5)) + 2  # the M-step after it goes wrong
    with pytest.raises(errors.ModelError, match=f"log likelihood fell at step {step}, which EM"):
        fit(Falling(), steps=30)


def test_a_climb_that_fails_leaves_the_others(recwarn):
    class SometimesFalling(Falling):
        """Goes wrong on the way to one of two maxima alone."""

        def m_step(self, statistics):
            right = statistics["heads"] / statistics["tosses"]
            wrong = (statistics["log_prob"] > -32.5) & (right[0] > right[1])
            return {"heads": tf.where(wrong, 1.0 - right, right)}

    options = {"initial": "random", "restarts": 6, "steps": 30, "seed": 1}
    with pytest.warns(errors.TfbdlWarning, match=r"fell at step .* The other climbs stand"):
        done = fit(SometimesFalling(), **options)
    assert 1 <= len(done.history["log_likelihood_of_restarts"]) < 6
    assert done.model.heads[0] < done.model.heads[1]


def test_a_degenerate_climb_loses_to_a_lower_one():
    class Suspicious(Coins):
        """The highest maximum is said to mean little."""

        def degenerate(self, params):
            return bool(params["heads"][0] > params["heads"][1])

    options = {"initial": "random", "restarts": 6, "steps": 30, "seed": 1}
    done = fit(Suspicious(), **options)
    finals = done.history["log_likelihood_of_restarts"]
    assert done.model.heads[0] < done.model.heads[1]
    assert len(finals) == 6


def test_a_likelihood_that_is_not_finite_is_an_error():
    with pytest.raises(errors.ModelError, match="not finite after step 0"):
        fit(Undefined(), steps=3)


def test_data_are_needed_and_weights_refused():
    with pytest.raises(errors.DataError, match="Received: None"):
        fit(x=None)
    weighted = (HEADS, HEADS[:, 0], np.ones(5))
    with pytest.raises(errors.DataError, match="Received: a sample_weight"):
        fit(x=weighted)


# -- runs --------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_resumes_to_the_same_bits(tmp_path):
    options = {"initial": "random", "restarts": 3, "steps": 20, "checkpoint_seconds": 0.0}
    whole = fit(seed=2, **options)
    with pytest.raises(Stop):
        fit(out=tmp_path / "run", on_step=stop_at(30), seed=2, **options)
    resumed = tfbdl.resume(tmp_path / "run", model=Coins(), data=HEADS)
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.model.heads, whole.model.heads)


def test_steps_are_reported_and_a_cancel_is_obeyed():
    reported = []

    def cancel(metrics):
        reported.append(metrics)
        raise errors.RunCancelled("enough")

    with pytest.raises(errors.RunCancelled):
        fit(on_step=cancel, steps=500)
    assert reported[0]["steps"] == 500
    assert reported[0]["log_likelihood"] < 0


# -- the guide ---------------------------------------------------------------------------------


def test_the_model_of_the_plugin_authors_guide_is_fitted():
    guide = (Path(__file__).parents[1] / "docs" / "plugin-authors.md").read_text()
    (code,) = re.findall(r"```python\n(class Poissons.*?)```", guide, re.DOTALL)
    names = {"ParametricModel": ParametricModel, "np": np, "tf": tf, "tfbdl": tfbdl}
    exec(code, names)
    x = np.random.default_rng(0).poisson([[2.0], [9.0]] * 300).reshape(-1, 1).astype(float)
    done = tfbdl.fit(names["Poissons"](None), x, engine_options={"restarts": 3}, seed=1)
    np.testing.assert_allclose(np.sort(done.model.rates_), [2.0, 9.0], rtol=0.1)
    trace = done.history["log_likelihood"]
    assert min(np.diff(trace)) >= -1e-9 * abs(trace[0])
    by_hand = 0.5 * stats.poisson(done.model.rates_).pmf(x)
    assert trace[-1] == pytest.approx(np.log(by_hand.sum(axis=1)).sum(), rel=1e-12)
