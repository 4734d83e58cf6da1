"""Data and closed forms that the tests of the linear regressions share."""

import numpy as np
from scipy import stats
from sklearn.datasets import load_diabetes

import tfbdl


def simulated(n=30, m=4, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, m)) + 0.5
    return x, x @ rng.normal(size=m) + noise * rng.normal(size=n) + 2.0


def closed(x, y, model="linear", **options):
    return tfbdl.fit(model, (x, y), engine="exact", model_options=options)


def mvn_evidence(phi, t, alpha, beta):
    """log N(t | 0, I / beta + Phi Phi' / alpha); alpha a number or one for each column."""
    covariance = np.eye(len(t)) / beta + (phi / alpha) @ phi.T
    return stats.multivariate_normal.logpdf(t, np.zeros(len(t)), covariance)


def standardised_diabetes():
    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), (y - y.mean()) / y.std()
