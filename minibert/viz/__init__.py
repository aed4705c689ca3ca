"""Views of attention: `head_view(attention, tokens)`, and others that are called the same way."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minibert.viz.attention_data import AttentionData as AttentionData
    from minibert.viz.attention_map import attention_map as attention_map
    from minibert.viz.bertviz_views import head_view as head_view
    from minibert.viz.bertviz_views import model_view as model_view
    from minibert.viz.bertviz_views import neuron_view as neuron_view
    from minibert.viz.explorer import explore as explore
    from minibert.viz.forming import forming as forming
    from minibert.viz.page import page as page

# Imported when first used, because the style of a picture needs no torch.
_HOME = {
    "AttentionData": "attention_data",
    "attention_map": "attention_map",
    "explore": "explorer",
    "forming": "forming",
    "head_view": "bertviz_views",
    "model_view": "bertviz_views",
    "neuron_view": "bertviz_views",
    "page": "page",
}
__all__ = list(_HOME)


class _Views(ModuleType):
    """A package in which a name that a view shares with its module always means the view.

    Otherwise Python would bind the module to that name as soon as anything imports from it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Views


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'minibert.viz' has no attribute {name!r}")
    return getattr(import_module(f"minibert.viz.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
