import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from halfsight.measures.base import MeasureError
from halfsight.measures.bing import FILES, FOLDER_VARIABLE, Bing, ranks_of

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "weights" / "bing"


def write_trained(folder):
    """Files of OpenCV's form: a filter that likes a closed outline, every size calibrated alike."""
    outline = np.full((8, 8), -1.0, np.float32)
    outline[0] = outline[-1] = outline[:, 0] = outline[:, -1] = 1
    for name in FILES:
        stem, part = name.removesuffix(".yml.gz").split(".")
        sizes = np.arange(36, dtype=np.int32)[:, None]
        content = {
            "wS1": outline / 1000,
            "wS2": np.tile(np.float32([1, 0]), (36, 1)),
            "idx": sizes,
        }
        stream = cv2.FileStorage(str(folder / name), cv2.FILE_STORAGE_WRITE)
        stream.write(stem, content[part])
        stream.release()


@pytest.fixture(scope="session", params=["made", "real"] if REAL.is_dir() else ["made"])
def trained(request, tmp_path_factory):
    """Folder of trained files: made here, and OpenCV's own where they are at hand."""
    if request.param == "real":
        return REAL
    folder = tmp_path_factory.mktemp("bing")
    write_trained(folder)
    return folder


def opencv_values(*lengths):
    return [
        factor * (300 + rank)
        for factor, length in zip((1, 3, 5), lengths, strict=True)
        for rank in range(length)
    ]


@pytest.mark.parametrize(
    "lengths",
    # 600 values end at 899, and the second run starts at 900; likewise 200 at 1497 and 1500.
    [(3, 4, 2), (1, 1, 1), (4269, 4270, 4284), (600, 5, 5), (7, 200, 5), (600, 200, 3), (0, 0, 0)],
)
def test_ranks_are_read_back_for_each_colour_space(lengths):
    expected = np.concatenate([np.arange(length) for length in lengths])
    assert np.array_equal(ranks_of(opencv_values(*lengths)), expected)


@pytest.mark.parametrize("values", [[300, 301, 17], [5, 6, 7], [300, 900, 1500, 300]])
def test_other_values_are_refused(values):
    with pytest.raises(MeasureError, match="continue no run"):
        ranks_of(values)


def test_without_files_it_says_which_are_missing(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(MeasureError, match=FOLDER_VARIABLE):
        Bing()
    for name in FILES[1:]:
        (tmp_path / name).touch()
    with pytest.raises(MeasureError, match=FILES[0].replace(".", r"\.") + ";"):
        Bing(tmp_path)


@pytest.mark.parametrize("options", [{"side": 8}, {"fade": 0}])
def test_wrong_options_are_refused(trained, options):
    with pytest.raises(MeasureError, match="expected at least"):
        Bing(trained, **options)


def square():
    pixels = np.random.default_rng(0).integers(98, 103, (256, 256, 3), dtype=np.uint8)
    pixels[64:192, 64:192] = (220, 180, 60)
    return pixels


def overlap(box, other):
    """Intersection over union."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    if min(wide, high) <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return wide * high / (sum(areas) - wide * high)


def test_the_best_ranks_hold_the_object(trained):
    boxes, ranks = Bing(trained).boxes(square())
    assert len(boxes) == len(ranks) > 300
    assert (ranks == 0).sum() == 3
    assert boxes.min() >= 0
    assert boxes.max() <= 256
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    overlaps = np.array([overlap(box, (64, 64, 192, 192)) for box in boxes])
    assert overlaps[ranks < 100].max() > 0.6
    assert overlaps[ranks > ranks.max() - 100].max() < 0.4


def test_the_object_gets_the_votes(trained):
    found = Bing(trained)(square())
    assert found.shape == (256, 256)
    assert found.dtype == np.float32
    inside = np.zeros((256, 256), bool)
    inside[64:192, 64:192] = True
    assert found[inside].mean() > 1.5 * found[~inside].mean()


@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (16, 16), (20, 30), (17, 900), (900, 17)])
def test_every_size_gives_a_finite_map(trained, shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = Bing(trained)(pixels)
    assert found.shape == shape
    assert np.isfinite(found).all()
    assert found.min() >= 0


def test_one_colour_has_no_object(trained):
    assert not Bing(trained)(np.full((64, 64, 3), 90, np.uint8)).any()


def test_nothing_is_printed_and_nothing_is_left_behind(trained, tmp_path):
    # In a process of its own with a piped output: C buffers that and writes it at the end.
    code = (
        "import numpy as np, os, sys\n"
        "from halfsight.measures.bing import Bing\n"
        "print('before', end=' ')\n"
        "x = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)\n"
        f"Bing({str(trained)!r})(x)\n"
        "print('after')\n"
        "print(sorted(os.listdir('.')), os.listdir(os.environ['TMPDIR']))\n"
    )
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=work,
        env={"TMPDIR": str(temporary), "PATH": ""},
        check=True,
    )
    assert done.stdout == "before after\n[] []\n"
    assert not Path("/BBoxesB2W8I").exists()
