"""Inside a learner's Python while it is graded: limits before the first cell, clean checks after.

`execution.py` calls these functions in the notebook's own process.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

KEPT = ("builtins", "copy", "importlib", "math", "minibert", "numpy", "os", "torch")
_kept: dict[str, tuple[ModuleType, dict[str, Any]]] = {}
"""The functions of these modules as they were before any cell ran."""


def set_limits(memory: int, refuse_network: bool) -> None:
    """Limit memory and network, and remember the functions that cells might replace."""
    import_module("minibert.course.checks").exercises()  # brings torch and numpy
    pack_anything(import_module("IPython").get_ipython().kernel.session)
    for name, module in sys.modules.items():
        if name.partition(".")[0] in KEPT:
            _kept[name] = module, {k: v for k, v in vars(module).items() if callable(v)}
    try:
        import resource

        # Beyond what torch has mapped by now, which is much and differs from build to build.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    except (ImportError, OSError, ValueError):
        pass  # not Linux: the sandbox watches the memory
    if refuse_network:
        import socket

        def refused(*_: Any, **__: Any) -> None:
            raise OSError("there is no network while a notebook is graded")

        for place, name in (
            (socket.socket, "connect"),
            (socket.socket, "connect_ex"),
            (socket, "create_connection"),
            (socket, "getaddrinfo"),
        ):
            setattr(place, name, refused)


def pack_anything(session: Any) -> None:
    """Let a kernel's messages hold lone surrogates, as JSON escapes.

    Jupyter would lose such a message, and with it the end of the cell that printed it.
    """
    from jupyter_client.jsonutil import json_clean, json_default

    usual = session.pack

    def pack(message: Any) -> bytes:
        try:
            return usual(message)
        except UnicodeEncodeError:
            return json.dumps(json_clean(message), default=json_default).encode()

    session.pack = pack


def restore_checks() -> None:
    """Before a check: put the functions of Python, torch and minibert back, and load new checks."""
    for name, (module, functions) in _kept.items():
        sys.modules[name] = module
        module.__dict__.update(functions)
    for name in [name for name in sys.modules if name.startswith("minibert.course.checks")]:
        del sys.modules[name]
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    sys.modules["__main__"].__dict__["check"] = import_module("minibert.course.checks")
