"""`python -m minibert` is the command `minibert`."""

from minibert.cli import main

main()
