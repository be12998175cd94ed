"""``python -m omnitok.cli``."""

from omnitok.cli import main

main()
