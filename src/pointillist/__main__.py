"""``python -m pointillist`` is the same as ``pointillist``."""

from pointillist.cli.main import main

if __name__ == "__main__":
    main()
