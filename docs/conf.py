"""The documentation site: `make docs` builds it with Sphinx into build/docs."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

from pksm import __version__  # noqa: E402

project = "pksm"
author = "The pksm authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pksm_reference"]
exclude_patterns = ["_ext"]
default_role = "code"  # what stands between backticks in a docstring
smartquotes_action = "D"  # dashes, and quotation marks as they are

# Names in annotations have to lead somewhere, unless they are of others or not public.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!pksm\.).*"),
    ("py:.*", r"pksm\.(documents|engine|hosts|(fleet|policies|recording|scan|simulation|sources)\.\w+)\..*"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "inherited-members": "Exclusive,BaseException,tuple,int,dict,Protocol"}
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Mirrors"]

html_theme = "furo"
html_title = f"pksm {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
