"""Ours and what one would otherwise use, side by side: the numbers of two pages of `docs`.

make bench                         # every group: some hours
make bench ONLY="step inference"   # some of them
python docs/bench page             # the pages again, from what has been measured
"""

import sys

from harness import measure
from pages import DOCS, PAGES
from steps import contend, print_peak

OF_A_CHILD = {"contend": contend, "peak": print_peak}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in OF_A_CHILD:
        OF_A_CHILD[arguments[0]](*arguments[1:])
    else:
        for name, groups in PAGES.items():
            wanted = [group for group in groups if group in arguments or not arguments]
            measure(wanted, DOCS / f"{name}.json", DOCS / f"{name}.md", groups)
