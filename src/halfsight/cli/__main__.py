"""``python -m halfsight.cli``."""

from halfsight.cli import main

main()
