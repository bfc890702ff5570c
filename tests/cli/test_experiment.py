from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.pictures import picture
from typer.testing import CliRunner

from halfsight.cli import app
from halfsight.experiments import faithfulness, published
from halfsight.experiments.store import RowStore
from halfsight.grid import RegionGrid
from halfsight.table import CoalitionTable

run = CliRunner()
COUNT = 10


def draw(folder: Path) -> list[str]:
    """Ten pictures of two shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{at:02}.jpg" for at in range(COUNT)]
    for at, name in enumerate(names):
        size = (160, 128) if at == 4 else (128, 160)
        Image.fromarray(picture(*size, seed=at)).save(folder / name, quality=95)
    return names


@pytest.fixture(scope="module", autouse=True)
def few_pictures() -> Iterator[None]:
    """LIME scores fewer pictures than it should, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faithfulness, "LIME_SAMPLES", 16)
        yield


@pytest.fixture(scope="module")
def clive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clive")
    rows = [
        f"images/{name},{20 + at * 37 % 60},10,val" for at, name in enumerate(draw(root / "images"))
    ]
    (root / "clive.csv").write_text("\n".join(["filename,mos,mos_std,split", *rows]) + "\n")
    return root


@pytest.fixture(scope="module")
def made(
    clive: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The four experiments, run once; the later ones on the table of the first."""
    place = tmp_path_factory.mktemp("made")
    table = ("--table", place / "importance" / "table")
    extra: dict[str, tuple[object, ...]] = {
        "importance": (),
        "half": (*table, "--fills", "zero,mean", "--own", 44),
        "matching": table,
        "agreement": (
            *table,
            "--models",
            weights,
            "--masks",
            44,
            "--own-limit",
            5,
            "--attribution-limit",
            5,
            "--cache",
            place / "half" / "cache",
        ),
    }
    found = {}
    for name, options in extra.items():
        found[name] = (
            place / name,
            experiment(
                name,
                "clive",
                "--root",
                clive,
                "-m",
                weights,
                "--split",
                "val",
                "-o",
                place / name,
                *options,
            ),
        )
    return found


def experiment(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = run.invoke(app, ["experiment", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    if code == 2:
        lines = result.stderr.splitlines()
        assert len(lines) == 1
        return {"said": lines[0]}
    return dict(json.loads(result.stdout))


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a folder but the manifest, which has the time."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


class Ids(HTMLParser):
    """Ids, references and addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href") and value:
                self.links.append(value)


@pytest.mark.parametrize("name", ["importance", "half", "matching", "agreement"])
def test_a_folder_with_numbers_tables_figures_and_a_page(made: Any, clive: Path, name: str) -> None:
    folder, summary = made[name]
    there = contents(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["finished"]
    assert manifest["run"]["options"]["split"] == "val"
    assert manifest["run"]["options"]["seed"] == 0
    assert set(manifest["versions"]) >= {"halfsight", "torch", "python"}
    assert all(len(one) == 64 for one in manifest["run"]["models"].values())
    assert manifest["command"].startswith(f"halfsight experiment {name} clive --root DIR")
    results = {one for one in there if not one.startswith(("table/", "cache/"))}
    assert results == set(manifest["files"])
    saved = json.loads(there["summary.json"])
    assert saved == {key: value for key, value in summary.items() if key != "output"}
    assert saved["photographs"] == COUNT
    assert [one for one in results if one.startswith("tables/") and one.endswith(".csv")]
    figures = {one.rpartition(".")[0] for one in results if one.startswith("figures/")}
    assert figures
    assert {f"{one}.{kind}" for one in figures for kind in ("svg", "png")} <= results
    for one in results:
        if not one.endswith((".png", ".parquet")):  # nothing tells where this machine keeps things
            assert str(clive) not in there[one].decode()
            assert str(folder.parent) not in there[one].decode()
    assert str(folder.parent) not in (folder / "manifest.json").read_text()


@pytest.mark.parametrize("name", ["importance", "half", "matching", "agreement"])
def test_the_page_stands_alone(made: Any, name: str) -> None:
    text = unescape((made[name][0] / "index.html").read_text())
    page = Ids()
    page.feed(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 1
    assert "default-src 'none'" in text
    assert re.findall(r"url\(#([\w-]+)\)", text)
    assert set(re.findall(r"url\(#([\w-]+)\)", text)) <= set(page.ids)
    assert "#1b2023" not in text.partition("</style>")[2]  # figures take the page's colours


def test_importance_is_what_the_table_says(made: Any) -> None:
    folder, summary = made["importance"]
    table = CoalitionTable.load(folder / "table")
    assert table.scores.shape == (COUNT, 4096)
    chosen = table.halves("dist_plcc")
    bits = chosen @ (1 << np.arange(12))
    change = abs(table.scores[range(COUNT), bits] - table.scores[:, 0]).mean()
    found = summary["halves"]
    assert found["important, dist_plcc"]["change"]["value"] == pytest.approx(change, rel=1e-4)
    assert {
        f"{half}, {criterion}"
        for half in ("trivial", "important")
        for criterion in ("dist_plcc", "abs_delta", "shapley", "token_corr", "by position")
    } <= set(found)
    assert {"random halves", "centre", "border"} <= set(found)
    assert summary["published"] is None


def test_half_zeroes_the_regions_of_the_table(made: Any, clive: Path, scorer: Any) -> None:
    folder, summary = made["half"]
    scores = pl.read_parquet(folder / "tables" / "scores.parquet")
    table = CoalitionTable.load(folder.parent / "importance" / "table")
    row = 2
    pixels = np.array(Image.open(clive / table.ids[row]).convert("RGB"))
    tokens = scorer.token_shape(scorer.read(pixels)[1])
    boxes = RegionGrid(*table.grids[row]).boxes(*pixels.shape[:2], tokens=tokens)
    for box in boxes[table.halves("dist_plcc")[row]]:
        pixels[box[0] : box[2], box[1] : box[3]] = 0
    assert scores["triq zero important"][row] == pytest.approx(scorer.score(pixels), abs=1e-4)
    assert scores["triq whole"][row] == pytest.approx(table.scores[row, 0], abs=1e-4)
    cells = {(one["fill"], one["half"]) for one in summary["cells"]}
    assert {
        (fill, half)
        for fill in ("zero", "mean")
        for half in ("trivial", "important", "random", "centre", "own trivial", "own important")
    } <= cells
    assert summary["own_masks"] == 44


def test_matching_says_which_objectness_and_has_the_chance_row(made: Any) -> None:
    folder, summary = made["matching"]
    assert summary["objectness"]
    with (folder / "tables" / "matching.csv").open(newline="") as stream:
        rows = {row["measure"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"saliency", "frequency", "objectness", "averaged", "centre-bias", "chance"}
    chance = [round(float(rows["chance"][f"t{t}"]), 1) for t in range(1, 6)]
    assert chance == [96.0, 71.6, 28.4, 4.0, 0.1]
    degrees = [float(rows["saliency"][f"t{t}"]) for t in range(1, 6)]
    assert degrees == sorted(degrees, reverse=True)
    assert float(rows["saliency"]["t3_low"]) <= degrees[2] <= float(rows["saliency"]["t3_high"])


def test_agreement_has_curves_pairs_and_faithfulness(made: Any) -> None:
    _, summary = made["agreement"]
    best, worst = (summary["curves"][kept]["full"] for kept in ("best", "worst"))
    assert len(best) == len(worst) == 11
    pairs = {(one["first"], one["second"]): one for one in summary["agreement"]}
    assert pairs["triq, dist_plcc", "triq, abs_delta"]["photographs"] == COUNT
    assert pairs["triq, dist_plcc", "triq, pixels"]["photographs"] == 5
    assert {one["method"] for one in summary["faithfulness"]} == {"lime", "gradcam", "rollout"}
    assert all(one["photographs"] == 5 for one in summary["faithfulness"])


def test_killed_and_resumed_gives_the_same_files(
    made: Any, clive: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made["half"]
    given = (
        "half",
        "clive",
        "--root",
        clive,
        "-m",
        weights,
        "--split",
        "val",
        "-o",
        tmp_path / "h",
        "--table",
        folder.parent / "importance" / "table",
        "--fills",
        "zero,mean",
        "--own",
        44,
    )
    append, calls = RowStore.append, []

    def killed(self: RowStore, name: str, values: Any) -> None:
        append(self, name, values)
        calls.append(name)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(RowStore, "append", killed)
    run.invoke(app, ["experiment", *map(str, given)])
    assert len(calls) == 4
    assert not json.loads((tmp_path / "h" / "manifest.json").read_text())["finished"]
    said = experiment(*given, "--seed", 1, code=2)["said"]
    assert "unfinished run" in said
    monkeypatch.setattr(RowStore, "append", lambda *args: (calls.append(args[1]), append(*args)))
    experiment(*given)
    assert len(calls) == 3 * COUNT  # scores, own importance, own scores; none twice
    wanted = contents(folder)  # where another experiment keeps its own files too
    assert contents(tmp_path / "h") == {
        name: data for name, data in wanted.items() if "attribution" not in name
    }


def test_results_are_not_overwritten_unless_asked(made: Any, clive: Path, weights: Path) -> None:
    folder, before = made["importance"]
    given = ("importance", "clive", "--root", clive, "-m", weights, "--split", "val", "-o", folder)
    assert "has results already" in experiment(*given, code=2)["said"]
    there = contents(folder)
    shards = {p: p.stat().st_mtime_ns for p in (folder / "table").rglob("*.parquet")}
    assert experiment(*given, "--overwrite") == before
    assert contents(folder) == there
    assert {p: p.stat().st_mtime_ns for p in shards} == shards  # the table was not built again


def koniq10k(root: Path) -> None:
    rows = [
        f"{name},0,0,0.5,0.5,0,100,{50 + at * 7 % 30},0.5,test"
        for at, name in enumerate(draw(root / "1024x768"))
    ]
    header = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"
    (root / "koniq10k_distributions_sets.csv").write_text("\n".join([header, *rows]) + "\n")


def spaq(root: Path) -> None:
    rows = [
        f"{name.replace('.jpg', '.png')},{30 + at * 7 % 40},test"
        for at, name in enumerate(draw(root / "TestImage"))
    ]
    (root / "spaq_splits_you.csv").write_text("\n".join(["filename,mos,split", *rows]) + "\n")


@pytest.mark.parametrize("tree", [koniq10k, spaq])
def test_the_papers_data_sets_have_the_papers_numbers(
    tree: Any, weights: Path, tmp_path: Path
) -> None:
    name = tree.__name__
    tree(tmp_path / name)
    given = (name, "--root", tmp_path / name, "-m", weights, "--split", "test", "--limit", 6)
    found = experiment("importance", *given, "-o", tmp_path / "i")
    trivial, important = published.pair(name) or (0, 0)
    assert (found["published"]["trivial"], found["published"]["important"]) == (trivial, important)
    table = ("--table", tmp_path / "i" / "table")
    found = experiment("half", *given, *table, "--fills", "zero", "-o", tmp_path / "h")
    (row,) = found["published"]
    assert row["model"] == "triq"
    report = (tmp_path / "h" / "report.md").read_text()
    assert f"*{row['important_predicted']:.3f}*" in report
    found = experiment("matching", *given, *table, "-o", tmp_path / "m")
    assert found["published"]["objectness"] == [100, 100, 77.3, 66.6, 44.7]
    assert "*saliency (paper)*" in (tmp_path / "m" / "report.md").read_text()
    found = experiment("agreement", *given, *table, "--attribution-limit", 5, "-o", tmp_path / "a")
    assert found["enough"]["regions"] == 12


def test_mistakes_are_one_line(clive: Path, weights: Path, made: Any, tmp_path: Path) -> None:
    new = ("--root", clive, "-m", weights, "-o", tmp_path / "x")
    assert "data set" in experiment("importance", "klive", *new, code=2)["said"]
    assert "split" in experiment("importance", "clive", *new, "--split", "dev", code=2)["said"]
    assert "fill" in experiment("half", "clive", *new, "--fills", "pink", code=2)["said"]
    assert "measure" in experiment("matching", "clive", *new, "--saliency", "x", code=2)["said"]
    table = made["importance"][0] / "table"
    said = experiment("importance", "clive", *new, "--table", table, "-c", "x", code=2)["said"]
    assert "criterion" in said
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    said = experiment(
        "importance",
        "clive",
        "--root",
        clive,
        "-m",
        weights,
        "-o",
        tmp_path / "full",
        "--overwrite",
        code=2,
    )["said"]
    assert "not of an experiment" in said


def test_a_photograph_that_cannot_be_read_is_listed(
    clive: Path, weights: Path, tmp_path: Path
) -> None:
    root = tmp_path / "clive"
    rows = []
    for at, name in enumerate(draw(root / "images")[:6]):
        rows.append(f"images/{name},{30 + 5 * at},10,val")
    (root / "images" / "02.jpg").write_text("no picture")
    (root / "clive.csv").write_text("\n".join(["filename,mos,mos_std,split", *rows]) + "\n")
    found = experiment(
        "importance",
        "clive",
        "--root",
        root,
        "-m",
        weights,
        "--split",
        "val",
        "-o",
        tmp_path / "o",
        code=1,
    )
    assert found["photographs"] == 5
    (failure,) = found["failures"]
    assert failure.startswith("images/02.jpg")
    assert "Photographs left out" in (tmp_path / "o" / "index.html").read_text()
