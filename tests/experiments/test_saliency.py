from __future__ import annotations

from dataclasses import replace

from halfsight.experiments import saliency
from halfsight.experiments.outcome import Measured
from halfsight.measures.validation import SaliencyRow

ROW = SaliencyRow("boolean-map", 20, 1.5, 0.1, 0.83, 0.01, 0.45, 0.02, 0.5, 4.2, 0.8, 0.1)


def test_the_best_measure_is_named_and_the_centre_is_a_control() -> None:
    centre = replace(ROW, measure="centre-bias", nss=2.0)
    other = replace(ROW, measure="fine-grained", nss=0.7)
    found = saliency.report([centre, ROW, other])
    assert found.headline.startswith("boolean-map (the default)")
    (table,) = found.tables
    assert [row.kind for row in table.rows] == ["control", "ours", "ours"]
    assert table.rows[1].cells[1] == Measured(1.5, 1.5 - 0.196, 1.5 + 0.196)
    assert found.summary["rows"][1]["auc_judd"] == 0.83
    better = saliency.report([centre, ROW, replace(other, nss=1.9)])
    assert "fine-grained (the default is boolean-map)" in better.headline
