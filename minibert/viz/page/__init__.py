"""BERT in a page: one HTML file that holds a model and runs it, without Python or a network.

`page` makes it. The folder has two halves. The engine is `weights.js`, `tokenizer.js`, `model.js`,
`roles.js` and `answer.js`: the model, in plain JavaScript, under the names that it has in Python.
The drawings are the other modules: `app.js` is the page, and `panel.js` (with `heads.js`,
`links.js` and `guesses.js`) also draws the explorer of a notebook.
"""

from __future__ import annotations

from minibert.viz.page.page import page

__all__ = ["page"]
