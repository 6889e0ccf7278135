"""``python -m caiwutong.cli``: how the supervisor starts the house's own processes."""

from caiwutong.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
