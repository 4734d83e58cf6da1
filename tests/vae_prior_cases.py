"""Small priors of latent variables, and a mixture's density by SciPy."""

import scipy.special
import scipy.stats

SMALL = {
    "gaussian_mixture": {"components": 3},
    "vamp": {"pseudo_inputs": 4},
    "stick_breaking": {"components": 3, "concentration": 2.0},
    "normalizing_flow": {"layers": 3, "hidden": 5},
}
NAMES = list(SMALL)


def log_mixture(z, log_pi, loc, scale):
    """A mixture's log density by SciPy, of ``z [n, d]``."""
    each = scipy.stats.norm.logpdf(z[:, None], loc, scale).sum(-1)
    return scipy.special.logsumexp(each + log_pi, axis=1)
