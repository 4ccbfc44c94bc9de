"""Sphinx's configuration: `nox -s docs` builds the site into build/docs/html."""

import os
import sys
from pathlib import Path

import heedful

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

os.environ.setdefault("OMP_NUM_THREADS", "2")  # of NumPy's BLAS in the notebooks

project = "heedful"
author = "heedful developers"
copyright = "2026, heedful developers"
version = release = heedful.__version__

extensions = [
    "mathml",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
templates_path = ["_templates"]

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "heedful"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_sphinx = False

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections state them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def skip_requests(app, what, name, obj, skip, options):  # type: ignore[no-untyped-def]
    """scikit-learn generates these methods, with references into its own pages."""
    generated = name.startswith("set_") and name.endswith("_request")
    return True if generated or name == "get_metadata_routing" else None


def hide_foreign(app, what, name, obj, options, signature, annotation):  # type: ignore[no-untyped-def]
    """Functions of attention take other libraries' options only to name their own."""
    if signature and ", **foreign" in signature:
        return signature.replace(", **foreign", ""), annotation
    return None


def setup(app):  # type: ignore[no-untyped-def]
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("autodoc-process-signature", hide_foreign)
