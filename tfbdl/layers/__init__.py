"""Keras layers with a posterior of their own."""
