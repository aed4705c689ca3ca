"""BERT in a page: one HTML file that holds a model and runs it, without Python or a network.

`page` makes it. The folder has two halves. The engine is `weights.js`, `tokenizer.js`, `model.js`,
`roles.js` and `answer.js`: the model, in plain JavaScript, under the names that it has in Python.
The other modules draw. `app.js` is the page, with its sentences and tabs, and each tab has a view:
`guess_view.js`, `attention_view.js`, `walk_view.js` (its stops are in `walk_stops.js`),
`layers_view.js` and `training_view.js`. `panel.js`, with `heads.js`, `links.js` and `guesses.js`,
also draws the explorer of a notebook.
"""

from __future__ import annotations

from minibert.viz.page.page import page

__all__ = ["page"]
