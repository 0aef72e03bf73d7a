"""`python -m couchgate`: the `couchgate` command, where a script of that name may not be run."""

import sys

from couchgate.cli import main

if __name__ == "__main__":
    sys.exit(main())
