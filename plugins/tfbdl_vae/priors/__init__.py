"""Priors of latent variables, one class a file."""
