"""Sphinx's settings for the course as a site. `build.py` prepares the sources and runs it."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "minibert"
author = "the authors of minibert"
copyright = author
release = importlib.metadata.version("minibert")
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "mathml", "excerpts", "icons"]
html_math_renderer = "mathml"
default_role = "code"  # what docstrings have between `single` marks
autodoc_typehints = "signature"
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

templates_path = ["templates"]
html_theme = "sphinx_book_theme"
html_title = "minibert"
html_static_path = ["static"]
exclude_patterns = ["extra"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_permalinks = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search of the sidebar is enough
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
