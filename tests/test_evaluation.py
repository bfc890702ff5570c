from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import pearsonr
from tests.pictures import picture

from halfsight.datasets import DatasetError
from halfsight.evaluation import evaluate
from halfsight.models.card import Scale
from halfsight.scorer import Scorer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Images").mkdir()
    rows = [("filename", "mos", "split")]
    for number in range(10):
        name = f"Images/ss0{1 + number % 2} ({number}).jpg"
        Image.fromarray(picture(130, 140 + number, number)).save(tmp_path / name)
        rows.append((name, f"{number / 9:.3f}", "test"))
    with (tmp_path / "biq2021.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return tmp_path


def test_figures_are_those_of_the_scores(scorer: Scorer, root: Path) -> None:
    report = evaluate(scorer, "biq2021", root, split="test", resamples=50)
    scores = [scorer.score(root / name) for name, _, _ in report.rows]
    mos = [1 + 4 * number / 9 for number in range(10)]
    assert [row[1] for row in report.rows] == scores
    assert np.allclose([row[2] for row in report.rows], mos, atol=2e-3)
    whole = report.parts["all"]
    assert whole.plcc == pytest.approx(pearsonr(scores, mos)[0], abs=1e-3)
    assert set(report.parts) == {"all", "ss01", "ss02"}
    assert report.parts["ss01"].n == 5
    figure = report.figure()
    assert figure.plcc_interval[0] <= figure.plcc <= figure.plcc_interval[1]
    assert len(report.scores_csv().splitlines()) == 11


def test_bad_images_are_listed(scorer: Scorer, root: Path) -> None:
    (root / "Images" / "ss01 (0).jpg").write_bytes(b"")
    report = evaluate(scorer, "biq2021", root, resamples=10)
    assert len(report.failures) == 1
    assert report.total == 10
    assert report.parts["all"].n == 9
    with pytest.raises(DatasetError, match="at least 3"):
        evaluate(scorer, "biq2021", root, limit=2, resamples=10)


def test_scores_on_another_scale_are_brought_to_five_levels(scorer: Scorer, root: Path) -> None:
    class Percent(Scorer):
        def score(self, source: object) -> float:
            return 25 * (super().score(source) - 1)  # type: ignore[arg-type]

    card = scorer.card.model_copy(update={"scale": Scale(min=0, max=100)})
    percent = Percent(scorer.net, scorer.policy, card)
    first = evaluate(scorer, "biq2021", root, resamples=10)
    second = evaluate(percent, "biq2021", root, resamples=10)
    assert np.allclose([row[1] for row in first.rows], [row[1] for row in second.rows])
    assert second.parts["all"].rmse == pytest.approx(first.parts["all"].rmse)


def test_what_was_left_out_is_said(scorer: Scorer, root: Path, tmp_path: Path) -> None:
    some = evaluate(scorer, "biq2021", root, limit=4, seed=3, resamples=10)
    again = evaluate(scorer, "biq2021", root, limit=4, seed=3, resamples=10)
    assert some.rows == again.rows
    assert some.notes == ("4 of 10 images, drawn at random with seed 3",)
    table = root / "biq2021.csv"
    text = table.read_text().replace("0.000,test", "0.000,train")
    table.write_text(text + "Images/twin.png,0.5,test\n")
    with Image.open(root / "Images" / "ss01 (0).jpg") as picture_:
        picture_.save(root / "Images" / "twin.png")
    hashes = tmp_path / "hashes.parquet"
    report = evaluate(
        scorer,
        "biq2021",
        root,
        split="test",
        without_twins_of="train",
        hashes=hashes,
        resamples=10,
    )
    assert hashes.is_file()
    scored = {name for name, _, _ in report.rows}
    assert "Images/twin.png" not in scored
    assert len(scored) >= 7  # the others are generated, and some look alike by chance
    left_out = 10 - len(scored)
    assert report.notes == (f"{left_out} images left out that look like one of split train",)


def test_options_reach_the_data_set(scorer: Scorer, root: Path) -> None:
    own = {"labels": root / "biq2021.csv", "scale": (0, 1)}
    report = evaluate(scorer, "table", root, limit=4, resamples=10, **own)
    assert len(report.rows) == 4
