"""The pages, one a module, each with one function ``show``."""
