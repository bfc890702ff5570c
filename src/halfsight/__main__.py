"""``python -m halfsight``."""

from halfsight.cli import main

main()
