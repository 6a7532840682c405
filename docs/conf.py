"""Sphinx configuration of the documentation; `make docs` builds it."""

project = "llmtool"
html_title = "llmtool"
extensions = ["myst_parser"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
myst_heading_anchors = 3  # link targets for headings, as on GitHub
highlight_language = "none"
