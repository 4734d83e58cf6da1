"""Dirichlet process mixture: variational bound and collapsed Gibbs against sums over partitions."""

from __future__ import annotations

import itertools

import mixture_oracles as oracle
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats
from tfbdl_mixture import collapsed, partitions, stick_breaking, wishart

import tfbdl
from tfbdl import diagnostics, errors

W0 = [[0.6, 0.2], [0.2, 0.9]]
HYPER = {"beta0": 0.7, "nu0": 3.5, "m0": [0.5, -0.5], "W0": W0}
PRIOR = (0.7, 3.5, np.array([0.5, -0.5]), np.array(W0))


def clusters(n: int, seed: int = 0, k: int = 3, far: float = 8.0) -> np.ndarray:
    """Rows about k points on a line, by turns."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + far * (np.arange(n)[:, None] % k - (k - 1) / 2)


def fit(x, engine="em", seed=0, engine_options=None, **options):
    return tfbdl.fit(
        "dp_mixture",
        x,
        engine=engine,
        model_options=options,
        engine_options=engine_options or {},
        seed=seed,
    )


def check_mean(values: np.ndarray, expected: float) -> None:
    """Draws ``[chain, draw]`` have this mean, but for Monte Carlo error."""
    error = diagnostics.mcse_mean(values) if np.ptp(values) else 0.0
    assert abs(values.mean() - expected) < 4.5 * error + 5e-4  # rare ones may never be seen


# -- variational Bayes -------------------------------------------------------------------------


def log_ratio(model, x, prior_of_alpha, draws: int) -> np.ndarray:
    """ln p - ln q at draws of q, by SciPy's distributions."""
    rng = np.random.default_rng(0)
    a, b = model.gamma1_, model.gamma2_
    alpha, total = np.full(draws, model.concentration_), np.zeros(draws)
    if prior_of_alpha is not None:
        q = stats.gamma(model.w_[0], scale=1 / model.w_[1])
        alpha = q.rvs(draws, random_state=rng)
        total += prior_of_alpha.logpdf(alpha) - q.logpdf(alpha)
    v = rng.beta(a, b, size=(draws, len(a)))
    total += (stats.beta(1, alpha[:, None]).logpdf(v) - stats.beta(a, b).logpdf(v)).sum(axis=1)
    one = np.ones((draws, 1))
    log_pi = np.log(np.hstack([v, one])) + np.hstack([0 * one, np.cumsum(np.log1p(-v), axis=1)])
    density = []
    beta0, nu0, m0, scale = PRIOR
    for beta, nu, m, W in zip(model.beta_, model.nu_, model.m_, model.W_, strict=True):
        Lambda = stats.wishart(nu, W).rvs(draws, random_state=rng)
        moved = np.moveaxis(Lambda, 0, -1)
        total += stats.wishart(nu0, scale).logpdf(moved) - stats.wishart(nu, W).logpdf(moved)
        noise = rng.normal(size=(draws, 2))
        root = np.linalg.cholesky(np.linalg.inv(Lambda))
        mu = m + np.einsum("sij,sj->si", root, noise) / np.sqrt(beta)
        from_prior = np.einsum("si,sij,sj->s", mu - m0, Lambda, mu - m0)
        total += np.log(beta0 / beta) - 0.5 * (beta0 * from_prior - (noise**2).sum(axis=1))
        y = x - mu[:, None]
        squares = np.einsum("sni,sij,snj->sn", y, Lambda, y)
        half = 0.5 * np.linalg.slogdet(Lambda)[1]
        density.append(half[:, None] - np.log(2 * np.pi) - 0.5 * squares)
    r = model.responsibilities(x)
    z = (rng.uniform(size=(draws, len(x), 1)) > np.cumsum(r, axis=1)).sum(axis=2)
    log_p = np.stack(density, axis=2) + log_pi[:, None] - np.log(r)
    return total + np.take_along_axis(log_p, z[..., None], axis=2)[..., 0].sum(axis=1)


@pytest.mark.filterwarnings("ignore:All . sticks")  # few rows, few sticks, few steps
@pytest.mark.parametrize("learned", [pytest.param(False, marks=pytest.mark.slow), True])
def test_bound_is_the_mean_of_log_p_less_log_q(learned: bool) -> None:
    x = clusters(12, far=3.0)
    alpha = {"concentration": None, "concentration_shape": 2.0, "concentration_rate": 3.0}
    options = {"truncation": 4, **HYPER, **(alpha if learned else {"concentration": 1.7})}
    run = fit(x, engine_options={"steps": 2}, **options)  # on the way, not at its end
    gamma = stats.gamma(2.0, scale=1 / 3) if learned else None
    ratio = log_ratio(run.model, x, gamma, 2500)
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.2
    assert run.history["elbo"][-1] == pytest.approx(ratio.mean(), abs=4 * error)


@pytest.mark.filterwarnings("ignore:All . sticks")  # few rows, few sticks
@pytest.mark.parametrize("truncation", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_bound_is_below_the_evidence_of_all_labellings(truncation: int) -> None:
    x, alpha = clusters(6, 1, far=3.0), 0.8
    blocks = oracle.log_joints(x, PRIOR, truncation, lambda sizes: 0.0)
    logs = []
    for z in itertools.product(range(truncation), repeat=6):
        count = np.bincount(z, minlength=truncation)
        after = np.cumsum(count[::-1])[::-1] - count
        sticks = special.betaln(1 + count, alpha + after) - special.betaln(1, alpha)
        logs.append(sticks[:-1].sum() + blocks[oracle.canonical(np.array(z))])
    evidence = special.logsumexp(logs)
    options = {"concentration": alpha, "truncation": truncation, **HYPER}
    bound = fit(x, **options).metrics["elbo"]
    # no partition of so few rows has half of the probability, so some nats are lost
    assert evidence - 5.0 < bound < evidence


@pytest.mark.parametrize("concentration", [pytest.param(1.0, marks=pytest.mark.slow), None])
def test_bound_never_falls_and_finds_the_clusters(concentration: float | None) -> None:
    x = clusters(150)
    run = fit(x, concentration=concentration, engine_options={"tolerance": 1e-9})
    trace, model = run.history["elbo"], run.model
    assert len(trace) > 3
    assert np.diff(trace).min() > -1e-8
    assert model.weights_.sum() == pytest.approx(1.0)
    # at 0.02 rows each, what is left over of 17 sticks is no cluster
    np.testing.assert_allclose(model.weights_[model.active(0.05)], 1 / 3, atol=0.02)
    truth = np.arange(150) % 3
    labels = model.responsibilities(x).argmax(axis=1)
    np.testing.assert_array_equal(labels[:, None] == labels, truth[:, None] == truth, strict=True)
    expected = 1.0 if concentration else model.w_[0] / model.w_[1]
    assert model.concentration_ == pytest.approx(expected)


def test_minibatches_come_near_the_maximum_where_clusters_change_places() -> None:
    x = clusters(300)  # clusters of one size: which has most rows, is another with each minibatch
    best = fit(x, truncation=8).metrics["elbo"]
    run = fit(x, truncation=8, engine_options={"batch_size": 30, "steps": 20})
    # 20 passes; statistics of different components, mixed up, would cost 200 nats and more
    assert best - 10.0 < run.metrics["elbo"] < best + 1.0
    assert run.metrics["elbo"] == pytest.approx(run.model.elbo(x), abs=1e-8)
    np.testing.assert_allclose(run.model.weights_[:3], 1 / 3, atol=0.03)


def test_components_end_sorted_and_a_start_must_be() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) + 8.0 * rng.choice(3, 120, p=[0.2, 0.5, 0.3])[:, None]
    run = fit(x, truncation=5)
    assert (np.diff(run.model.beta_) <= 0.0).all()
    again = fit(x, truncation=5, engine_options={"initial": run.model.params, "steps": 0})
    assert again.metrics["elbo"] == pytest.approx(run.metrics["elbo"], abs=1e-8)
    turned = {
        n: v[::-1] if n in ("beta", "nu", "m", "W") else v for n, v in run.model.params.items()
    }
    with pytest.raises(errors.OptionsError, match="those with most rows first: 'beta' must not"):
        fit(x, truncation=5, engine_options={"initial": turned})


def test_best_concentration_is_where_coordinate_ascent_ends() -> None:
    count = np.array([40.0, 7.5, 2.5, 0.3, 0.0, 0.0])
    alpha, after = 1.0, np.cumsum(count[::-1])[::-1] - count
    for _ in range(3000):
        a, b = 1.0 + count[:-1], alpha + after[:-1]
        w2 = 0.7 - (special.digamma(b) - special.digamma(a + b)).sum()
        alpha = (1.3 + len(count) - 1) / w2
    found = stick_breaking.best_concentration(tf.constant(count, tf.float64), 1.3, 0.7)
    np.testing.assert_allclose(found, [1.3 + 5, w2], rtol=1e-8)


def test_sticks_have_the_moments_of_their_draws() -> None:
    sticks = stick_breaking.Sticks(np.array([3.0, 0.5, 9.0]), np.array([5.0, 2.0, 1.0]))
    v = np.random.default_rng(0).beta(*sticks, size=(200_000, 3))
    weights = np.column_stack([v, np.ones(len(v))])
    weights[:, 1:] *= np.cumprod(1 - v, axis=1)
    np.testing.assert_allclose(
        stick_breaking.expected_weights(sticks), weights.mean(axis=0), atol=3e-3
    )
    np.testing.assert_allclose(
        stick_breaking.weights_stddev(sticks), weights.std(axis=0), atol=3e-3
    )
    logs = stick_breaking.expected_log_weights(stick_breaking.Sticks(*map(tf.constant, sticks)))
    np.testing.assert_allclose(logs, np.log(weights).mean(axis=0), atol=0.05)
    drawn = stick_breaking.sample(sticks, tf.constant([1, 2]), 100_000).numpy()
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
    np.testing.assert_allclose(drawn.mean(axis=0), weights.mean(axis=0), atol=4e-3)


# -- collapsed Gibbs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Six rows, and 8,000 draws of their labels."""
    x = clusters(6, 4, k=2, far=3.0)
    options = {"chains": 4, "warmup": 100, "draws": 2000}
    run = fit(x, "gibbs", 3, options, concentration=0.9, truncation=8, **HYPER)
    return x, run


def test_gibbs_draws_partitions_from_the_exact_posterior(small) -> None:
    x, run = small
    joint = oracle.log_joints(x, PRIOR, 6, oracle.chinese_restaurant(0.9))
    assert len(joint) == 203  # Bell's number of six rows
    _, exact = oracle.normalised(joint)
    z = run.posterior.draws["z"]
    assert z.dtype == np.int32
    assert z.shape == (4, 2000, 6)
    found = [[oracle.canonical(row) for row in chain] for chain in z]
    likely = [p for p, probability in exact.items() if probability > 2e-3]
    assert sum(exact[p] for p in likely) > 0.8
    for partition in likely:
        check_mean(np.array([[f == partition for f in chain] for chain in found], float),
                   exact[partition])  # fmt: skip
    counts = partitions.num_clusters(z)
    check_mean(counts.astype(float), sum(p * (max(q) + 1) for q, p in exact.items()))
    together = partitions.co_clustering(z)
    expected = sum(p * np.equal.outer(np.array(q), np.array(q)) for q, p in exact.items())
    np.testing.assert_allclose(together, expected, atol=0.03)


def test_density_after_gibbs_is_that_of_the_urn_averaged_over_partitions(small) -> None:
    x, run = small
    _, exact = oracle.normalised(oracle.log_joints(x, PRIOR, 6, oracle.chinese_restaurant(0.9)))
    new = np.array([[1.5, 1.5], [0.0, 0.0], [9.0, -9.0]])

    def density(z: np.ndarray) -> np.ndarray:
        blocks = [x[z == b] for b in range(max(z) + 1)]
        each = [len(b) * oracle.predictive(oracle.condition(b, PRIOR)).pdf(new) for b in blocks]
        return (sum(each) + 0.9 * oracle.predictive(PRIOR).pdf(new)) / (len(x) + 0.9)

    expected = sum(p * density(np.array(z)) for z, p in exact.items())
    # 250 draws of a density that varies by about half its size between partitions
    np.testing.assert_allclose(run.model.log_prob(new, x), np.log(expected), atol=0.2)


@pytest.mark.slow
def test_rows_drawn_after_gibbs_have_the_density_of_the_draws(small) -> None:
    x, run = small
    drawn = run.model.sample(8000, seed=1, rows=x)
    grid = np.linspace(-30.0, 30.0, 76)
    points = np.array(np.meshgrid(grid, grid, indexing="ij")).reshape(2, -1).T
    mass = np.exp(run.model.log_prob(points, x)).reshape(76, 76).sum(axis=1) * 0.8**2
    assert mass.sum() == pytest.approx(1.0, abs=0.02)
    for at in (25, 35, 37, 40, 50):
        below = mass[:at].sum() + 0.5 * mass[at]  # four standard errors and the cells' width
        assert (drawn[:, 0] < grid[at]).mean() == pytest.approx(below, abs=0.03)


def test_draws_are_of_use_with_the_training_rows_alone(small) -> None:
    x, run = small
    for rows, received in ((None, "none"), (x[:4], "4"), (x + 1e-9, "6 others")):
        with pytest.raises(errors.ModelError, match=f"Expected the 6 rows.*Received: {received}"):
            run.model.log_prob(x, rows)
    with pytest.raises(errors.ModelError, match=r"sample\(n, seed, rows\)"):
        run.model.sample(3)
    for name in ("responsibilities", "predict", "elbo"):
        with pytest.raises(errors.ModelError, match=r"labels may change places.*co_clustering"):
            getattr(run.model, name)(x)


@pytest.mark.slow
def test_gibbs_learns_the_concentration() -> None:
    x = clusters(5, 4, k=2, far=3.0)
    run = fit(
        x, "gibbs", 1, {"chains": 4, "warmup": 100, "draws": 4000}, truncation=6,
        concentration=None, concentration_shape=2.0, concentration_rate=1.5, **HYPER,
    )  # fmt: skip
    gamma = stats.gamma(2.0, scale=1 / 1.5)
    blocks = oracle.log_joints(x, PRIOR, 5, lambda sizes: float(sum(map(special.gammaln, sizes))))

    def moment(k: int, power: int) -> float:
        """The integral of p(alpha) alpha^power alpha^k / (alpha (alpha + 1) ...)."""

        def of(a: float) -> float:
            return gamma.pdf(a) * a ** (k + power) / special.poch(a, len(x))

        return integrate.quad(of, 0, 60)[0]

    moments = {k: (moment(k, 0), moment(k, 1)) for k in range(1, 6)}
    logs = {z: value + np.log(moments[max(z) + 1][0]) for z, value in blocks.items()}
    _, exact = oracle.normalised(logs)
    sizes = partitions.num_clusters(run.posterior.draws["z"])
    for k in range(1, 6):
        check_mean((sizes == k).astype(float), sum(p for z, p in exact.items() if max(z) + 1 == k))
    mean = sum(p * np.divide(*moments[max(z) + 1][::-1]) for z, p in exact.items())
    check_mean(run.posterior.draws["concentration"], mean)


def test_slots_after_updates_are_those_computed_afresh() -> None:
    x = clusters(30, far=40.0) + 1e4
    d = 2
    base = wishart.GaussWishart(
        np.array(1.0), np.array(3.0), x.mean(axis=0), np.linalg.inv(np.cov(x.T))
    )
    z = np.arange(30, dtype=np.int32) % 3
    slots = collapsed.slots_of(tf.constant(x), tf.constant(z), base, 4)
    for i in range(30):  # each row moves to the next slot
        for slot, sign in ((i % 3, -1), (i % 3 + 1, 1)):
            slots = collapsed.updated(slots, tf.range(4) == slot, tf.constant(x[i]), base, sign)
    for k in range(4):
        rows = x[z + 1 == k]
        _, _, m, W = oracle.condition(rows, tuple(np.asarray(part) for part in base))
        assert int(slots.count[k]) == len(rows)
        np.testing.assert_allclose(slots.m[k], m, rtol=1e-9)
        np.testing.assert_allclose(slots.W[k], W, rtol=1e-6, atol=1e-9 * np.abs(W).max())
        assert float(slots.log_det[k]) == pytest.approx(np.linalg.slogdet(W)[1], abs=1e-6)
    assert slots.m.shape == (4, d)


def test_full_slots_are_reported() -> None:
    x = clusters(30, k=4)
    draws = tfbdl.Posterior({"z": np.array([[[0, 1], [0, 0], [0, 1], [1, 0]]])})
    with pytest.warns(errors.TfbdlWarning, match="All 2 slots.*in 75% of the draws"):
        tfbdl.build("dp_mixture", x, model_options={"truncation": 2}).adopt(draws)
    with pytest.warns(errors.TfbdlWarning, match="All 2 sticks.*a larger truncation"):
        fit(x, truncation=2)


# -- what draws of labels say ------------------------------------------------------------------


def test_clusters_and_pairs_are_counted_by_hand() -> None:
    z = np.array([[[0, 0, 3], [5, 5, 5]], [[1, 2, 3], [2, 1, 2]]])
    np.testing.assert_array_equal(partitions.num_clusters(z), [[2, 1], [3, 2]])
    expected = [[1.0, 0.5, 0.5], [0.5, 1.0, 0.25], [0.5, 0.25, 1.0]]
    np.testing.assert_array_equal(partitions.co_clustering(z), expected)
    with pytest.raises(errors.DataError, match=r"integers.*float64"):
        partitions.num_clusters(np.zeros((2, 3)))


def test_fit_survives_a_folder(tmp_path, small) -> None:
    x, run = small
    run.save(tmp_path / "gibbs")
    loaded = tfbdl.load(tmp_path / "gibbs")
    np.testing.assert_array_equal(loaded.posterior.draws["z"], run.posterior.draws["z"])
    np.testing.assert_array_equal(loaded.model.rows_digest, run.model.rows_digest)
    np.testing.assert_array_equal(loaded.model.sample(2, 0, x), run.model.sample(2, 0, x))
    other = fit(clusters(30), concentration=None)
    other.save(tmp_path / "em")
    loaded = tfbdl.load(tmp_path / "em")
    np.testing.assert_array_equal(loaded.model.log_prob(x), other.model.log_prob(x))
    np.testing.assert_array_equal(loaded.model.weights_, other.model.weights_)
    assert loaded.model.concentration_ == other.model.concentration_


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": 1}, "'truncation'.*at least 2"),
        ({"concentration": 0.0}, "'concentration'.* above 0"),
        ({"nu0": 0.5}, "nu0 must be above 1"),
    ],
)
def test_wrong_options_are_refused(options, message: str) -> None:
    with pytest.raises(errors.OptionsError, match=message):
        fit(clusters(10), **options)


@pytest.mark.parametrize("engine", ["em", "gibbs"])
def test_rows_without_a_covariance_are_refused(engine: str) -> None:
    with pytest.raises(errors.DataError, match="constant columns"):
        fit(np.column_stack([np.arange(9.0), np.ones(9)]), engine)
