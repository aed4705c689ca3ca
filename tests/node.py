"""JavaScript modules of the page, run in Node."""

import json
import shutil
import subprocess
from pathlib import Path

import playwright

import minibert.viz

PAGE = Path(minibert.viz.__file__).parent / "page"
NODE = shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")
"""Playwright, which drives the browser of the tests, brings its own."""


def node(script, given=None):
    """What `script` returns: the body of a function of `given`, with `load(name)` for a module.

    Numbers of typed arrays come back as lists.
    """
    source = f"""
    import {{ readFileSync }} from "node:fs";
    const load = (name) => import({json.dumps(PAGE.as_uri())} + "/" + name + ".js");
    const given = JSON.parse(readFileSync(0, "utf8"));
    const found = await (async () => {{ {script} }})();
    process.stdout.write(JSON.stringify(found ?? null,
      (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)));
    """
    run = subprocess.run(
        [NODE, "--input-type=module", "--experimental-detect-module", "-e", source],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)
