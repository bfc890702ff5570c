from __future__ import annotations

from pathlib import Path

from halfsight.bench import clock, document


def test_sections_are_replaced_in_place_and_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "benchmarks.md"
    machine = clock.machine()
    document.write(path, "First", "halfsight bench first", "one", machine)
    document.write(path, "Second", "halfsight bench second", "two", machine)
    path.write_text(path.read_text() + "\n## By hand\n\nkept\n")
    document.write(path, "First", "halfsight bench first", "new one", machine)
    text = path.read_text()
    assert text.startswith("# Benchmarks\n")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## First", "## Second", "## By hand"]
    assert "new one" in text
    assert "\none\n" not in text
    assert "kept" in text
    assert text.count(machine["processor"]) == 2
    document.write(path, "First", "halfsight bench first", "new one", machine)
    assert path.read_text() == text
