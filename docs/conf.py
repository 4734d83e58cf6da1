"""Sphinx: what the documentation is made of. ``make docs`` builds it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("arviz").setLevel(logging.WARNING)
sys.path.insert(0, str(Path(__file__).parent))  # the extensions that stand here

from tfbdl._version import __version__  # noqa: E402

project = "tfbdl"
author = "The authors of tfbdl"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docstrings",
    "mathml",
    "plugin_pages",
]
nitpicky = True
nitpick_ignore_regex = [
    # annotations with what others document, and we do not ask the network for
    ("py:class", r"(np|numpy|pd|pandas|xr|xarray|tf|tensorflow|tensorflow_probability|keras)\..*"),
    ("py:class", r"(annotated_types|collections|os|pathlib)\..*"),
    ("py:class", "Options"),  # of the verbs: a mapping
    # states and numbers that are handed on, and that nobody builds
    ("py:class", r"tfbdl_kalman_lstm\.(gain_steps|recurrence)\..*"),
    ("py:class", r"tfbdl\.layers\.(prior|weight)_functions\..*"),
]
smartquotes_action = "D"  # dashes; quotes stay as they are typed
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Keras' own are no reStructuredText
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_param = False  # arguments of one meaning share a line
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style"), ("Shapes", "params_style")]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "tfbdl"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_copyright = False
