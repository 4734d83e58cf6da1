"""What the metrics of a run mean, in one sentence each."""

from __future__ import annotations

import re

METRIC_MEANINGS: dict[str, str] = {
    "active_components": "Components that hold more than 1 % of the rows.",
    "active_units": "Latent dimensions whose mean varies over rows (variance above 0.01).",
    "accuracy": "Share of inputs whose most probable class is right; higher is better.",
    "acceptance_rate": "Share of proposed states that were accepted.",
    "accept_prob": "Mean probability of accepting a proposed state.",
    "aic": "Akaike's criterion of training rows: parameters weighed against fit; lower is better.",
    "bound": "The bound that training raises, per row in nats; higher is better.",
    "brier": "Mean squared distance of class probabilities from the truth; lower is better.",
    "alpha": "Precision of the prior over the weights.",
    "beta": "Precision of the noise; where a KL term has a weight, that weight.",
    "bic": "Schwarz' criterion of training rows: parameters weighed against fit; lower is better.",
    "candidates": "Candidates that were drawn, taken or not.",
    "commitment": "Mean squared distance of the encoder's vectors from their codes.",
    "converged": "Whether the steps ended for want of gain, rather than of number.",
    "coverage": "Share of targets inside their predictive interval.",
    "crps": "Continuous ranked probability score, in units of the target; lower is better.",
    "decoder_kl": "KL divergence from prior to posterior of a decoder's weights, in nats.",
    "divergences": "Transitions whose energy went astray; should be 0.",
    "ece": "Expected calibration error: mean gap of confidence and accuracy; lower is better.",
    "effective_components": "Exponential of the entropy of the weights: components that count.",
    "elbo": "Evidence lower bound in nats: of the whole data set for random weights, of a row for "
    "latent variables; higher is better.",
    "entropy": "Mean entropy of the predictive distribution in nats.",
    "epistemic": "Mean variance of the prediction that more data would remove.",
    "aleatoric": "Mean variance of the prediction that is noise in the data.",
    "epistemic_share": "Share of variance (classes: entropy) that more data would remove, 0 to 1.",
    "error": "Share of inputs whose most probable class is wrong; lower is better.",
    "explained_share": "Share of the variance that lies along the axes kept, 0 to 1.",
    "effective_size": "Equal weights that the weights count for, or the fewest of a stage.",
    "ess_bulk": "Effective sample size for the centre, the smallest over parameters.",
    "ess_tail": "Effective sample size for the tails, the smallest over parameters.",
    "expected_log_likelihood": "Log-likelihood under the posterior, in nats; higher is better.",
    "expected_size": "Items of a subset, on average.",
    "gamma": "Parameters that the data, rather than the prior, determine.",
    "icl": "As BIC, with data and their most probable states together; lower is better.",
    "inertia": "Sum of squared distances of rows from their cluster's centre; lower is better.",
    "interval_score": "Width of the interval plus a penalty for misses; lower is better.",
    "kl": "KL divergence from prior to posterior in nats: what the weights, or a row's latent "
    "variables, learned.",
    "log_evidence": "Log marginal likelihood in nats; higher is better.",
    "log_evidence_mcse": "Monte Carlo standard error of log_evidence, in nats.",
    "log_joint": "Log joint density of parameters and data, in nats.",
    "log_likelihood": "Log-likelihood of the data in nats; higher is better.",
    "log_marginal": "Log marginal likelihood in nats; higher is better.",
    "log_prior": "Log prior density of the parameters, in nats.",
    "loss": "The objective that training minimises; lower is better.",
    "mae": "Mean absolute error, in units of the target; lower is better.",
    "mse": "Mean squared error, in squared units of the target; lower is better.",
    "mutual_information": "Mean information in nats that the label would give on the weights.",
    "nll": "Negative log predictive density per datum, in nats; lower is better.",
    "nll_mean_weights": "As nll, with each weight at its posterior mean.",
    "newton_steps": "Steps of the search for the mode.",
    "num_components": "Components, axes or clusters of the fitted model.",
    "num_data": "Training rows that the likelihood was scaled to.",
    "num_items": "Items that subsets are drawn from.",
    "pareto_k": "Shape of the largest importance weights; above 0.7 estimates are not reliable.",
    "perplexity": "Exponential of an entropy: how many codes are in use, or among how many symbols "
    "a prediction wavers.",
    "perplexity_mean_weights": "As perplexity, with each weight at its posterior mean.",
    "r_hat": "Disagreement of the chains, the largest over parameters; should be below 1.01.",
    "evaluations": "Looks at the density.",
    "reconstruction": "Expected log-likelihood of the data given their codes, in nats.",
    "rmse": "Root mean squared error, in units of the target; lower is better.",
    "score": "What the method makes as large as it can; higher is better.",
    "seconds": "Time that the run took.",
    "stages": "Steps from the reference to the posterior.",
    "steps": "Steps that were made.",
    "step_size": "Step of the integrator or the update.",
    "temperature": "Place on the path from the reference (0) to the posterior (1).",
}

_PREFIXES = {
    "val_": "On held-out rows. ",
    "validation_": "On held-out rows. ",
    "test_": "On test rows. ",
    "train_": "On training rows. ",
}
_SUFFIXES = ("_max", "_min", "_mean")


def meaning(name: str) -> str:
    """One sentence on a metric, or an empty text if nothing is known of it.

    ``val_``, ``test_`` and ``train_`` before a name, ``_max``, ``_min`` and ``_mean`` behind it,
    and levels such as ``coverage_90`` are understood.
    """
    if name in METRIC_MEANINGS:
        return METRIC_MEANINGS[name]
    for prefix, where in _PREFIXES.items():
        if name.startswith(prefix):
            rest = meaning(name.removeprefix(prefix))
            return where + rest if rest else ""
    if match := re.fullmatch(r"coverage_(\d+)", name):
        level = match[1]
        return (
            f"Share of targets inside the {level} % interval; should be near {int(level) / 100:g}."
        )
    if match := re.fullmatch(r"kl_(\d+)", name):
        return f"KL divergence of latent dimension {match[1]} in nats; near 0: it is not used."
    if name.startswith("kl."):
        layer = name.removeprefix("kl.")
        return f"KL divergence from prior to posterior of the weights of {layer}, in nats."
    if match := re.fullmatch(r"interval_width_(\d+)", name):
        return f"Mean width of the {match[1]} % interval, in units of the target."
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return METRIC_MEANINGS.get(name.removesuffix(suffix), "")
    return ""
