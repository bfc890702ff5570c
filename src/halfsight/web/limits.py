"""What one request, and all of them together, may use."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        photographs: most photographs in one request.
        megabytes: largest file, in millions of bytes.
        megapixels: largest photograph, in millions of pixels.
        regions: most regions of a grid; the table has two to that power entries.
        seconds: longest time for one photograph with one model. It is looked at between masks, so
            that a pass of the network is never torn apart.
        upload_seconds: longest time for a request's body to arrive.
        workers: jobs worked on at once.
        waiting: jobs that may wait beyond those; further ones are asked to come again.
        minutes: how long a finished job's files are kept.
        kept_megabytes: disk space for all files that are kept, in millions of bytes.
        streams: most event streams open on one job.
    """

    photographs: int = 6
    megabytes: float = 20.0
    megapixels: float = 50.0
    regions: int = 12
    seconds: float = 120.0
    upload_seconds: float = 60.0
    workers: int = 1
    waiting: int = 16
    minutes: float = 15.0
    kept_megabytes: float = 1000.0
    streams: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "waiting" else 1e-9
            if not least <= value < float("inf"):
                raise ValueError(
                    f"got {field.name} = {value:g}, expected more than 0; raise this limit"
                )

    @property
    def file_bytes(self) -> int:
        """Largest file in bytes."""
        return int(self.megabytes * 1e6)

    @property
    def body_bytes(self) -> int:
        """Largest request body in bytes: as many of the largest files as allowed, and the rest."""
        return self.photographs * self.file_bytes + 1_000_000

    @property
    def kept_bytes(self) -> int:
        """Disk space for all files that are kept, in bytes."""
        return int(self.kept_megabytes * 1e6)
