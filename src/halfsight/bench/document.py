"""``docs/benchmarks.md``: a section a command, each replaced when its command runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfsight.outputs import write_atomic

TITLE = """# Benchmarks

Every section is written by the command it names, and replaced when that command runs again. Times
are those of the machine the section names; a load above its number of cores means that others used
the machine too, and then only ratios count.
"""


def write(path: Path, heading: str, command: str, body: str, machine: dict[str, Any]) -> None:
    """Put a section into the file, in the place of the one of that heading or at the end.

    Raises:
        OutputError: if the file cannot be written.
    """
    old = path.read_text(encoding="utf-8") if path.is_file() else TITLE
    head, *sections = ("\n" + old).split("\n## ")
    load = "" if machine["load"] is None else f", load {machine['load']}"
    made = (
        f"{heading}\n\n```bash\n{command}\n```\n\n{body}\n\n"
        f"*{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"torch {machine['torch']}, Python {machine['python']}{load}; {machine['date']}*\n"
    )
    kept = [section for section in sections if section.partition("\n")[0].strip() != heading]
    place = next(
        (i for i, one in enumerate(sections) if one.partition("\n")[0].strip() == heading),
        len(kept),
    )
    kept.insert(place, made)
    parts = [head.strip("\n"), *(section.strip("\n") for section in kept)]
    write_atomic(path, "\n\n## ".join(parts) + "\n")
