import numpy as np
import pytest

from halfsight.grid import RegionGrid
from halfsight.measures.base import MeasureError, region_values
from halfsight.measures.frequency import (
    SpatialFrequency,
    contrast_sensitivity,
    luminance,
    pixels_per_degree,
)

DEGREE = 60.0


def encode(light):
    """Linear light 0..1 to a grey sRGB image."""
    level = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.repeat(np.rint(level * 255).astype(np.uint8)[..., None], 3, axis=2)


def light_grating(cycles, *, height=256, width=256, contrast=0.5, mean=0.4, angle=0.0):
    """Luminance of a sinusoid of ``cycles`` a degree, shape (height, width)."""
    y, x = np.mgrid[:height, :width]
    phase = 2 * np.pi * cycles / DEGREE * (x * np.cos(angle) + y * np.sin(angle))
    return mean * (1 + contrast * np.sin(phase))


def grating(cycles, **options):
    """The same as an sRGB image."""
    return encode(light_grating(cycles, **options))


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def oracle_energy(light, weight):
    """The definition, by a full transform and loops over its terms."""
    height, width = light.shape
    hann = np.array(
        [
            [
                np.sin(np.pi * (r + 0.5) / height) ** 2 * np.sin(np.pi * (c + 0.5) / width) ** 2
                for c in range(width)
            ]
            for r in range(height)
        ]
    )
    centred = light - (light * hann).sum() / hann.sum()
    spectrum = np.fft.fft2(centred * hann)
    total = 0.0
    for r in range(height):
        for c in range(width):
            if (r, c) != (0, 0):
                cycles = DEGREE * np.hypot(np.fft.fftfreq(height)[r], np.fft.fftfreq(width)[c])
                total += weight(cycles) * abs(spectrum[r, c]) ** 2
    return total / (height * width * (hann**2).sum())


def test_contrast_sensitivity_is_the_published_curve():
    assert contrast_sensitivity(0) == pytest.approx(2.6 * 0.0192)
    assert contrast_sensitivity(8.0) == pytest.approx(
        2.6 * (0.0192 + 0.912) * np.exp(-(0.912**1.1)), rel=1e-12
    )
    cycles = np.linspace(0, 60, 60001)
    assert cycles[contrast_sensitivity(cycles).argmax()] == pytest.approx(8, abs=0.2)
    assert contrast_sensitivity(cycles).max() == pytest.approx(0.98, abs=0.005)


def test_default_geometry_is_one_minute_of_arc_a_pixel():
    assert pixels_per_degree() == pytest.approx(60, abs=0.5)
    assert pixels_per_degree(2160, distance=1.6) == pytest.approx(pixels_per_degree())


def test_luminance_of_known_colours():
    pixels = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [128, 128, 128]]], np.uint8)
    assert luminance(pixels)[0] == pytest.approx([1, 0, 0.2126, 0.21586], abs=1e-5)
    assert luminance(pixels, response="cube-root")[0, 3] == pytest.approx(0.21586 ** (1 / 3), 1e-4)


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2])
def test_eight_cycles_beat_one_and_twenty_five(angle):
    measure = SpatialFrequency(degree=DEGREE)
    low, middle, high = (
        measure.energies(luminance(grating(c, angle=angle))[None])[0] for c in (1, 8, 25)
    )
    assert middle > 2 * low
    assert middle > 2 * high


@pytest.mark.parametrize("cycles", [3.75, 7.5, 15.0])
def test_energy_of_a_grating_is_half_its_squared_amplitude_times_sensitivity(cycles):
    # Not through uint8: rounding to grey levels adds a harmonic or two.
    values = SpatialFrequency(degree=DEGREE).energies(light_grating(cycles)[None])
    amplitude = 0.4 * 0.5
    assert values[0] == pytest.approx(amplitude**2 / 2 * contrast_sensitivity(cycles), rel=0.02)


def test_energy_grows_with_the_square_of_contrast():
    measure = SpatialFrequency()
    strong, weak = (
        measure.energies(luminance(grating(8, contrast=c))[None])[0] for c in (0.8, 0.4)
    )
    assert strong / weak == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("shape", [(12, 16), (13, 16), (12, 15), (7, 9), (1, 5)])
def test_energy_equals_the_plain_definition(shape):
    light = luminance(photo(*shape))
    value = SpatialFrequency(degree=DEGREE).energies(light[None])[0]
    assert value == pytest.approx(oracle_energy(light, contrast_sensitivity), rel=1e-10)


def test_parseval_all_energy_is_the_windowed_variance():
    # A band from 0 up holds everything: share 1, and the plain sum is that of the pixels.
    light = luminance(photo(24, 31))
    assert SpatialFrequency(weighting="band", band=(0, 1e9)).energies(light[None])[
        0
    ] == pytest.approx(1)
    rows, cols = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in light.shape)
    hann = np.outer(rows, cols)
    centred = (light - (light * hann).sum() / hann.sum()) * hann
    assert oracle_energy(light, lambda f: 1.0) == pytest.approx(
        (centred**2).sum() / (hann**2).sum(), rel=1e-10
    )


def test_band_gives_the_share_of_the_middle_frequencies():
    measure = SpatialFrequency(weighting="band", degree=DEGREE)
    shares = [measure.energies(luminance(grating(c))[None])[0] for c in (1, 8, 25)]
    assert shares[1] > 0.99
    assert max(shares[0], shares[2]) < 0.05
    faint = measure.energies(luminance(grating(8, contrast=0.1))[None])[0]
    assert faint == pytest.approx(shares[1], abs=0.02)


@pytest.mark.parametrize("weighting", ["csf", "band"])
@pytest.mark.parametrize("level", [0, 77, 255])
def test_one_colour_has_no_energy(weighting, level):
    pixels = np.full((90, 120, 3), level, np.uint8)
    measure = SpatialFrequency(weighting=weighting)
    assert region_values(measure, pixels, RegionGrid()) == pytest.approx(np.zeros(12), abs=1e-15)
    assert np.abs(measure(pixels)).max() < 1e-15


def test_brightness_alone_does_not_count():
    # The same ripple on a brighter ground: what leaks from the mean would show here.
    measure = SpatialFrequency()
    ripple = 0.05 * np.sin(2 * np.pi * 8 / DEGREE * np.arange(128))[None, :] * np.ones((128, 1))
    values = measure.energies(np.stack([0.2 + ripple, 0.9 + ripple]))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize("tokens", [None, (5, 6)])
def test_region_value_is_the_energy_of_the_regions_own_pixels(tokens):
    pixels = photo(61, 83)
    measure = SpatialFrequency()
    grid = RegionGrid()
    values = region_values(measure, pixels, grid, tokens=tokens)
    light = luminance(pixels)
    for value, (top, left, bottom, right) in zip(
        values, grid.boxes(61, 83, tokens=tokens), strict=True
    ):
        assert value == pytest.approx(measure.energies(light[None, top:bottom, left:right])[0])


def test_the_region_with_the_grating_is_found():
    pixels = np.full((192, 256, 3), 100, np.uint8)
    pixels[64:128, 128:192] = grating(8, height=64, width=64)
    for how in ("mean", "max", "top10"):
        assert region_values(SpatialFrequency(), pixels, RegionGrid(), how=how).argmax() == 6


def test_map_is_the_energy_of_windows_around_each_pixel():
    pixels = photo(160, 200)
    measure = SpatialFrequency(window=32)
    found = measure(pixels)
    light = luminance(pixels)
    assert found.shape == (160, 200)
    assert found.dtype == np.float32
    for row, col in ((64, 80), (96, 128)):  # a window's centre lies before these pixels
        window = light[row - 16 : row + 16, col - 16 : col + 16]
        between = found[row - 1 : row + 1, col - 1 : col + 1].mean()
        assert between == pytest.approx(measure.energies(window[None])[0], rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (63, 65), (300, 17)])
def test_map_has_the_images_size(shape):
    found = SpatialFrequency()(photo(*shape))
    assert found.shape == shape
    assert np.isfinite(found).all()
    assert found.min() >= 0


def test_distance_moves_the_peak():
    # Twice as far away, an image of 4 cycles a degree (at 60) becomes 8 cycles a degree.
    light = light_grating(4)[None]
    near, far = (SpatialFrequency(degree=d).energies(light)[0] for d in (60, 120))
    assert far / near == pytest.approx(contrast_sensitivity(8) / contrast_sensitivity(4), rel=0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"degree": 0},
        {"weighting": "flat"},
        {"response": "log"},
        {"band": (8, 4)},
        {"window": 33},
        {"window": 2},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(MeasureError, match="expected"):
        SpatialFrequency(**options)
