"""Ours and what one would otherwise use, side by side: the numbers of two pages of `docs`.

make bench                         # every group: some hours
make bench ONLY="step inference"   # some of them
python docs/bench tables           # the pages again, from what has been measured
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for `short_run`

from harness import measure
from pages import DOCS, PAGES, PICTURES
from steps import contend, print_peak

OF_A_CHILD = {"contend": contend, "peak": print_peak}

ALL = [group for groups in PAGES.values() for group in groups]

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in OF_A_CHILD:
        OF_A_CHILD[arguments[0]](*arguments[1:])
        sys.exit()
    if unknown := set(arguments) - {"tables", *ALL}:
        sys.exit(f"no such group: {', '.join(sorted(unknown))}. There are {', '.join(ALL)}")
    for name, groups in PAGES.items():
        wanted = [group for group in groups if group in arguments or not arguments]
        results = measure(wanted, DOCS / f"{name}.json", DOCS / f"{name}.md", groups)
        group, draw = PICTURES[name]
        if group in results:
            figure = draw(results[group]["lines"])
            figure.savefig(DOCS / f"{name}.png", dpi=110, metadata={"Software": None})
