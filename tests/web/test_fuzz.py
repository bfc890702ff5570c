"""Whatever is sent, the server never answers 5xx. HALFSIGHT_FUZZ multiplies the number of tries."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.pictures import picture
from tests.web.conftest import served

from halfsight.web.app import create_app
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf

TIMES = int(os.environ.get("HALFSIGHT_FUZZ", "1"))
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM")


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def address(shelf: Shelf) -> Iterator[str]:
    with served(create_app(shelf, limits=Limits(photographs=2, megabytes=1))) as found:
        yield found


def test_the_interface_keeps_its_contract(address: str) -> None:
    """What OpenAPI allows, and what it does not, gets an answer that OpenAPI tells of."""
    statuses: Counter[int] = Counter()
    operations = [found.ok() for found in api(address).get_all_operations()]
    for operation in operations:
        kinds = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

        @settings(
            max_examples=6 * TIMES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=one_of(kinds))
        def run(case: Any) -> None:
            response = case.call()
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        run()
    assert len(operations) == 15
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}")


def api(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """A file with bytes changed, cut off, doubled, or swapped."""
    found = bytearray(data)
    for _ in range(int(draw.integers(1, 4))):
        kind, at = draw.integers(4), int(draw.integers(len(found)))
        if kind == 0:
            found[at] = int(draw.integers(256))
        elif kind == 1 and at > 8:
            del found[at:]
        elif kind == 2:
            found[at:at] = found[at : at + int(draw.integers(1, 64))]
        else:  # mostly in the header, where sizes and counts are
            found[int(draw.integers(min(64, len(found))))] = int(draw.integers(256))
    return bytes(found)


def test_mutated_photographs(address: str) -> None:
    originals = {}
    for name in FORMATS:
        stream = io.BytesIO()
        Image.fromarray(picture(48, 64)).save(stream, name)
        originals[name] = stream.getvalue()
    draw = np.random.default_rng(0)
    answers: Counter[int] = Counter()
    for number in range(28 * TIMES):
        data = mutated(originals[FORMATS[number % len(FORMATS)]], draw)
        files = {"photographs": (f"{number}.jpg", data)}
        answer = httpx.post(f"{address}/api/score", files=files, timeout=120)
        answers[answer.status_code] += 1
        assert answer.status_code in (200, 413, 415, 422), answer.text
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"code", "message"}
    assert len(answers) > 1
    print(f"{sum(answers.values())} mutated photographs: {dict(sorted(answers.items()))}")
