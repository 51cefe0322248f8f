"""Shared by all parts: settings, rows of the table, timers, child processes, and the speed of the machine."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from tinysedd import Corpus

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Settings:
    """The options of the command line. text: the content of --text. minutes: training time of each contestant of
    `quality`."""

    out: Path
    seeds: int = 3
    quick: bool = False
    minutes: float = 15.0
    compile: bool = False
    text: str | None = None

    def corpus(self, length: int) -> Corpus:
        """The text in blocks; its last tenth is held out."""
        return Corpus.from_text(self.text, length)

    def file(self, name: str) -> Path:
        """A file in the results folder. With --quick it gets another name, so it never replaces a real result."""
        path = self.out / name
        return path.with_suffix(f".quick{path.suffix}") if self.quick else path


@dataclass(frozen=True)
class Row:
    """A row of the table: what was measured, its unit, and its target.

    measured  None if it could not be measured; the note says why
    each      one value per seed; empty for a single measurement
    """

    what: str
    measured: float | None
    unit: str = ""
    each: list[float] = field(default_factory=list)
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @classmethod
    def over(cls, what: str, each: list[float], unit: str = "", **target) -> "Row":
        """The mean over seeds."""
        return cls(what, statistics.fmean(each), unit, each, **target)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for fewer than two seeds."""
        return statistics.stdev(self.each) if len(self.each) > 1 else None

    @property
    def target(self) -> str:
        """The target in words; empty if there is none."""
        bounds = [("<=", self.at_most), (">=", self.at_least)]
        return " ".join(f"{sign} {value:g}" for sign, value in bounds if value is not None)

    @property
    def reached(self) -> str:
        """yes, no, or empty if there is no target."""
        if not self.target:
            return ""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return "yes" if self.measured is not None and low <= self.measured <= high else "no"

    def plain(self) -> dict:
        """As plain values, for JSON."""
        return asdict(self) | {"spread": self.spread, "target": self.target, "reached": self.reached}


def format_number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, or with thousands separators."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def announce(what: str) -> None:
    """Print a line above any progress bar."""
    tqdm.write(what, file=sys.stderr)


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call over `repeats`, after one warm-up call."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


@dataclass(frozen=True)
class Child:
    """A finished process: its wall time, its peak resident memory (from getrusage), and its output."""

    seconds: float
    peak_bytes: int
    output: str


# On Linux a process keeps its peak memory when it calls exec, so a child of this process would seem at least as large
# as this process. A small launcher in between avoids that and keeps its own start-up time out of the measurement.
_LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
child = subprocess.run(sys.argv[1:], capture_output=True, text=True, encoding="utf-8", errors="replace")
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([seconds, peak, child.stdout, child.stderr, child.returncode]))
"""


def run_python(*arguments: str) -> Child:
    """Run this Python with the tinysedd of this checkout. RuntimeError with the last line of its output if it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-S", "-c", _LAUNCHER, sys.executable, *arguments]
    launcher = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak, output, errors, code = json.loads(launcher.stdout)
    if code:
        raise RuntimeError(
            f"python {' '.join(arguments)[:80]} failed: {(errors.strip() or str(code)).splitlines()[-1]}"
        )
    return Child(seconds, peak * (1 if sys.platform == "darwin" else 1024), output)  # macOS counts bytes, Linux KiB


def matrix_rate(dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Mean FLOP/s over `seconds` of a (2048, 128) @ (128, 512) matmul, like the first one of an MLP.

    The mean and not the best, because other processes on the machine slow training down too.
    """
    a, b = torch.randn(2048, 128, dtype=dtype), torch.randn(128, 512, dtype=dtype)
    products, started = -1, time.perf_counter()
    while products < 1 or time.perf_counter() - started < seconds:
        a @ b
        products += 1
        if products == 0:  # the first one is a warm-up
            started = time.perf_counter()
    return products * 2 * 2048 * 128 * 512 / (time.perf_counter() - started)


def machine() -> dict:
    """A description of the machine. Matrix rates are in FLOP/s; load is that of the minute before."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "matrix_rate_float32": matrix_rate(torch.float32),
        "matrix_rate_bfloat16": matrix_rate(torch.bfloat16),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
