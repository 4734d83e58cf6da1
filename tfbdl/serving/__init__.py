"""The side process: it keeps fits warm and computes what pages show of them, on request.

``server`` and ``tasks`` are light: they answer before TensorFlow is loaded. The tasks themselves,
and ``runs``, which reads the fits, are heavy.
"""
