"""``python -m caiwutong.simulation --seeds N``: see ``cli``."""

import sys

from caiwutong.simulation.cli import main

if __name__ == "__main__":
    sys.exit(main())
