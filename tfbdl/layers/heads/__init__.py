"""Heads: layers that end a net in the parameters of a distribution."""
