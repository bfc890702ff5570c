"""Load test of ``halfsight serve``: many clients at once, none lost, memory bounded.

    python benchmarks/load.py --model triq --clients 50 --markdown docs/reliability.md

Starts a server on loopback. Every client explains a photograph of its own, comes again when it is
told that the server is busy, follows its job to the end, and compares the result with its own
photograph's score. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

MARKS = ("<!-- load:start -->", "<!-- load:end -->")


def photograph(seed: int, height: int, width: int) -> bytes:
    """A JPEG that is different for every seed."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(image) + draw.normal(0, 4 + seed % 20, (height, width, 3))
    stream = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


async def patient(
    http: httpx.AsyncClient, path: str, answers: Counter[str], **body: Any
) -> httpx.Response:
    """Post until the server has room, waiting as long as it says."""
    while True:
        answer = await http.post(path, **body)
        answers[f"{path} {answer.status_code}"] += 1
        if answer.status_code not in (429, 503):
            return answer
        await asyncio.sleep(float(answer.headers["retry-after"]))


async def client(
    http: httpx.AsyncClient, number: int, size: tuple[int, int], answers: Counter[str]
) -> dict[str, Any]:
    """One client from its photograph to its result."""
    began = time.perf_counter()
    files = {"photographs": (f"client-{number}.jpg", photograph(number, *size), "image/jpeg")}
    answer = await patient(http, "/api/explain", answers, files=files)
    answer.raise_for_status()
    job = answer.json()
    while job["state"] not in ("done", "cancelled"):
        await asyncio.sleep(0.5)
        job = (await http.get(job["links"]["status"])).raise_for_status().json()
    (item,) = job["items"]
    stored = (await http.get(item["links"]["explanation"])).raise_for_status().json()
    scored = (await patient(http, "/api/score", answers, files=files)).raise_for_status().json()
    seconds = time.perf_counter() - began
    own = scored["scores"][0]["score"]
    right = stored["path"] == f"client-{number}.jpg" and abs(stored["score"] - own) < 1e-4
    return {"seconds": seconds, "right": right and len(stored["table"]) == 4096}


async def watch(process: psutil.Process, sizes: list[int], done: asyncio.Event) -> None:
    """Note the server's resident memory until the end."""
    while not done.is_set():
        sizes.append(process.memory_info().rss)
        await asyncio.sleep(0.2)


async def measure(address: str, pid: int, clients: int, size: tuple[int, int]) -> dict[str, Any]:
    """Run all clients at once."""
    answers: Counter[str] = Counter()
    process = psutil.Process(pid)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=900, limits=limits) as http:
        await client(http, 0, size, Counter())  # warm: the first pass allocates
        warm = process.memory_info().rss
        sizes, done = [warm], asyncio.Event()
        watcher = asyncio.create_task(watch(process, sizes, done))
        began = time.perf_counter()
        found = await asyncio.gather(
            *(client(http, number, size, answers) for number in range(1, clients + 1)),
            return_exceptions=True,
        )
        spent = time.perf_counter() - began
        done.set()
        await watcher
    results = [one for one in found if isinstance(one, dict)]
    for lost in found:
        if isinstance(lost, BaseException):
            print(f"lost: {lost!r}", file=sys.stderr)
    waits = sorted(one["seconds"] for one in results) or [float("nan")]
    return {
        "clients": clients,
        "pixels": f"{size[1]}x{size[0]}",
        "answered": len(results),
        "right": sum(one["right"] for one in results),
        "lost": clients - len(results),
        "answers": dict(sorted(answers.items())),
        "seconds": round(spent, 1),
        "seconds_per_client": {
            "median": round(float(np.median(waits)), 1),
            "p95": round(float(np.quantile(waits, 0.95)), 1),
            "longest": round(waits[-1], 1),
        },
        "memory_mb": {
            "warm": round(warm / 1e6),
            "highest": round(max(sizes) / 1e6),
        },
        "processors": psutil.cpu_count(),
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def table(found: dict[str, Any], command: str, note: str) -> str:
    """The figures as Markdown."""
    wait, memory = found["seconds_per_client"], found["memory_mb"]
    rows = [
        ("clients at once", found["clients"]),
        ("answered, each with its own photograph's result", found["right"]),
        ("lost", found["lost"]),
        *[
            (f"answers to `POST {key.split()[0]}` with status {key.split()[1]}", count)
            for key, count in found["answers"].items()
        ],
        ("seconds for all", found["seconds"]),
        (
            "seconds a client, waiting included: median / 95 % / longest",
            f"{wait['median']} / {wait['p95']} / {wait['longest']}",
        ),
        ("server's memory: warm / highest", f"{memory['warm']} / {memory['highest']} MB"),
    ]
    lines = [
        f"`{command}` on {found['date']}, {found['processors']} processor cores. {note}".strip(),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put the figures between the marks in a page."""
    page = path.read_text(encoding="utf-8")
    start, end = MARKS
    if start not in page or end not in page:
        raise SystemExit(f"{path}: got no {start} ... {end}, expected both; add them")
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    filled = pattern.sub(lambda _: f"{start}\n{text}\n{end}", page, count=1)
    path.write_text(filled, encoding="utf-8")


def main() -> None:
    """Start a server, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="triq")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--height", type=int, default=384, help="of the photographs")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--note", default="", help="about the machine, for the page")
    chosen = parser.parse_args()
    size = (chosen.height, chosen.width)
    command = [sys.executable, "-m", "halfsight", "serve", "--port", "0", "--model", chosen.model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            address = re.search(r"http://\S+", said)
            if address is None:
                raise SystemExit("the server did not start")
            found = asyncio.run(measure(address.group(), server.pid, chosen.clients, size))
        finally:
            server.terminate()
    print(json.dumps(found, indent=2))
    if chosen.markdown:
        model = Path(chosen.model).name if "/" in chosen.model else chosen.model
        shown = f"python benchmarks/load.py --model {model} --clients {chosen.clients}"
        shown += f" --height {size[0]} --width {size[1]}"
        write(chosen.markdown, table(found, shown, chosen.note))
    raise SystemExit(0 if found["right"] == chosen.clients else 1)


if __name__ == "__main__":
    main()
