"""Write the shipped worlds of the routing benchmark from their definition in Python.

``python scripts/worlds.py --write`` writes them; without it, the exit status says whether the
committed files are those the definition makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from caiwutong.benchmarks.worlds.default import FOLDER, SHIPPED, text


def main() -> int:
    stale = 0
    for name, make in SHIPPED.items():
        path = FOLDER / name
        if "--write" in sys.argv:
            path.write_text(text(make()), encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text(make()):
            print(f"{name} is not what default.py makes: run with --write", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
