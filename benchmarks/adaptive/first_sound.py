"""`headroom run pipeline=dub` with the variants that need no weights, on this machine's CPU: what its own reports say of the first sound.

Each run is a process of its own, as a user's is; its time to first audio begins when its models are loaded and the task is asked for.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.paths import user_folders

TEXT = (
    "The lighthouse keeper wrote every evening. He noted the wind, the ships, and the colour of the sea. "
    "On the last page there was only a drawing of the moon. Nobody knows who tore out the page before it."
)
#: Seconds that the first sound may take on two cores.
WANTED = 1.5
_PINNED = ("pipeline=dub", "device=cpu", "model/speak=espeak", "model/convert=world", "memory_plot=false")


def result(tier: str = "cpu", sentences: int = 4, runs: int = 5) -> dict[str, object]:
    """`runs` runs as fast as can be, and as many paced, toward the voice of a recording that another run made."""
    text = ". ".join(TEXT.split(". ")[:sentences])
    with TemporaryDirectory() as root:
        folder = Path(root)
        voice = _voice(folder)
        parts = {
            name: [_detected(folder / f"{name}-{at}", f"tier={tier}", f"text={text}", f"voice={voice}", f"stream.pace={paced}")
                   for at in range(runs)]
            for name, paced in (("unpaced", "false"), ("paced", "true"))
        }  # fmt: skip
    return {"tier": tier, "cores": len(os.sched_getaffinity(0)), "wanted_seconds": WANTED,
            **{name: _row(reports) for name, reports in parts.items()}}  # fmt: skip


def _voice(folder: Path) -> Path:
    """Five seconds of another voice to convert to."""
    message = "text=A higher voice says these few words, so that there is somebody to sound like."
    _run(folder / "voice", message, "model.speak.knobs.pitch=90", "stream.use=false")
    return next((folder / "voice").rglob("wav/*.wav"))


def _detected(outputs: Path, *settings: str) -> Mapping[str, Any]:
    """The report of one run."""
    _run(outputs, *settings)
    record = json.loads(next(outputs.rglob("run.json")).read_text(encoding="utf-8"))
    (report,) = record["stream"].values()
    return dict(report)


def _run(outputs: Path, *settings: str) -> None:
    command = [sys.executable, "-m", "pipelines.cli.main", "run", *_PINNED, *settings, f"outputs_dir={outputs}"]
    mine = user_folders()  # measured footprints are the benchmark's own; weights and digests stay the user's
    environment = {
        **os.environ,
        "HEADROOM_HOME": str(outputs.parent / "home"),
        "HEADROOM_WEIGHTS": str(mine.weights),
        "HEADROOM_CACHE": str(mine.cache),
    }
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=environment)


def _row(reports: list[Mapping[str, Any]]) -> dict[str, object]:
    firsts = [report["first_audio_seconds"] for report in reports]
    return {
        "runs": len(reports),
        "audio_seconds": reports[0]["audio_seconds"],
        "first_audio_median": round(statistics.median(firsts), 3),
        "first_audio_max": max(firsts),
        "prebuffer_seconds": round(statistics.median(report["prebuffer_seconds"] for report in reports), 2),
        "real_time_factor": round(statistics.median(report["real_time_factor"] for report in reports), 3),
        "gaps": sum(report["gaps"] for report in reports),
        "utilisation": round(statistics.median(report["utilisation"] for report in reports), 3),
        "utilisation_range": reports[0]["utilisation_range"],
    }
