"""The benchmarks: the claims that tinysedd makes, measured on this machine.

    python tests/benchmarks/run.py likelihood sampling ledger worlds small growth --text tinyshakespeare.txt --out out/

Each part writes a .json and a .png to the results folder and adds rows to the table at the end. Contestants that are
compared run in turn, in the same run, because the speed of a machine drifts: trust ratios more than seconds.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tinysedd of this checkout, installed or not

import fuzz
import growth
import ledger
import likelihood
import plots
import quality
import sampling
import small
import worlds
from measure import Row, Settings, announce, format_number, machine

from tinysedd import load_corpus
from tinysedd.files import write_atomically


@dataclass(frozen=True)
class Part:
    """A part of the benchmarks.

    measure     yields its results so far, as plain values, again and again
    rows, draw  turn them into rows of the table and into a plot
    """

    measure: Callable[[Settings], Iterator[dict]]
    rows: Callable[[dict], list[Row]]
    draw: Callable[[dict, Path, bool], None]
    needs_text: bool = False


PARTS = {
    "likelihood": Part(likelihood.measure, likelihood.rows, plots.likelihood, needs_text=True),
    "sampling": Part(sampling.measure, sampling.rows, plots.sampling),
    "worlds": Part(worlds.measure, worlds.rows, plots.worlds),
    "ledger": Part(ledger.measure, ledger.rows, plots.ledger),
    "small": Part(small.measure, small.rows, plots.small),
    "growth": Part(growth.measure, growth.rows, plots.growth),
    "fuzz": Part(fuzz.measure, fuzz.rows, plots.fuzz),
    "quality": Part(quality.measure, quality.rows, plots.quality, needs_text=True),
    "tune": Part(likelihood.tune, likelihood.tune_rows, plots.tune, needs_text=True),
}
MIN_CHARACTERS = 100_000  # the last tenth of the text is then more than 100 validation blocks
DEFAULT_PARTS = [name for name in PARTS if name not in ("fuzz", "quality", "tune")]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = top.add_argument
    add("parts", nargs="*", help=f"some of {', '.join(PARTS)} (default: all except fuzz, quality and tune)")
    add("--text", type=Path, help="UTF-8 text file for likelihood, quality and tune; its last tenth is held out")
    add("--seeds", type=int, help="repetitions, each with its own seed (default: 3; with --quick 1)")
    add("--out", type=Path, default=Path("benchmarks"), help="results folder (default: benchmarks)")
    add("--minutes", type=float, default=15.0, help="training time of each contestant of quality (default: 15)")
    add("--compile", action="store_true", help="growth: also measure torch.compile, which needs a C++ compiler")
    add("--quick", action="store_true", help="tiny settings, to try the code; the numbers mean nothing")
    return top


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    try:
        stopped, errors = _run(args.parts or DEFAULT_PARTS, *_settings(args))
    except (ValueError, OSError) as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:  # while the machine is measured
        stopped, errors = True, []
    if errors:
        sys.exit("\n".join(f"benchmarks: {error}" for error in errors))
    if stopped:
        sys.exit(130)


def _settings(args: argparse.Namespace) -> tuple[Settings, dict | None]:
    """The settings and a description of the text. ValueError says what to fix, before anything slow begins."""
    names, seeds = args.parts or DEFAULT_PARTS, (1 if args.quick else 3) if args.seeds is None else args.seeds
    if unknown := [name for name in names if name not in PARTS]:
        raise ValueError(f"there is no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if seeds < 1 or args.minutes <= 0:
        raise ValueError("--seeds must be at least 1 and --minutes above 0")
    needing = [name for name in names if PARTS[name].needs_text]
    if needing and args.text is None:
        others = [name for name in names if name not in needing] or ["worlds"]
        raise ValueError(f"{', '.join(needing)} need a text: add --text FILE, or run only {' '.join(others)}")
    text = _read(args.text) if needing else None
    if "sampling" in names:
        load_corpus("shakespeare")  # ValueError if it is missing
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot create the folder {args.out}: {error.strerror}; choose another with --out") from None
    settings = Settings(args.out, seeds, args.quick, args.minutes, args.compile, text)
    if text is None:
        return settings, None
    if len(text) < MIN_CHARACTERS:
        raise ValueError(
            f"{args.text} has {len(text):,} characters; use a text of at least {MIN_CHARACTERS:,}, better a million"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return settings, {"name": args.text.name, "characters": len(text), "sha256": digest}


def _read(path: Path) -> str:
    hint = "pass a UTF-8 text file of about a million characters, such as tiny Shakespeare, with --text FILE"
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; {hint}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); {hint}") from None


def _run(names: list[str], settings: Settings, text: dict | None) -> tuple[bool, list[str]]:
    """Run the parts, store their results, print the table. Returns whether Ctrl-C stopped it, and the errors."""
    announce("benchmarks: measuring the machine")
    head = {"quick": settings.quick, "machine": machine(), "seeds": settings.seeds, "text": text}
    table, errors, stopped = {}, [], False
    for name in dict.fromkeys(names):
        part, values = PARTS[name], None

        def keep(values: dict, finished: bool, name: str = name) -> None:
            table[name] = PARTS[name].rows(values)
            lines = [row.plain() for row in table[name]]
            result = head | {"part": name, "finished": finished, "rows": lines, "values": values}
            write_atomically(settings.file(f"{name}.json"), (json.dumps(result, indent=1) + "\n").encode())

        try:
            for values in part.measure(settings):
                keep(values, finished=False)
            keep(values, finished=True)
        except (ValueError, OSError, RuntimeError) as error:  # the other parts can still run
            errors.append(f"{name}: {error}")
        except KeyboardInterrupt:
            stopped = True
        if values is not None:
            part.draw(values, settings.file(f"{name}.png"), settings.quick)
        if stopped:
            announce(f"benchmarks: stopped during {name}; the results so far are in {settings.out}")
            break
    if table:
        print(_table(table, head))
    return stopped, errors


def _table(table: dict[str, list[Row]], head: dict) -> str:
    """The rows of all parts as a Markdown table, with columns that are aligned in a terminal too."""
    lines = [("part", "what", "measured", "unit", "spread", "each seed", "target", "reached", "note")]
    for name, rows in table.items():
        for row in rows:
            few = " ".join(map(format_number, row.each)) if 1 < len(row.each) <= 3 else ""
            spread = "" if row.spread is None else f"± {format_number(row.spread)}"
            measured = "not measured" if row.measured is None else format_number(row.measured)
            lines.append((name, row.what, measured, row.unit, spread, few, row.target, row.reached, row.note))
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, tuple("-" * width for width in widths))
    grid = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    m = head["machine"]
    on = (
        f"{m['cpu']}, {m['cores']} cores, {m['threads']} threads, load {m['load']} at the start; torch {m['torch']}; "
        f"matmuls at {m['matrix_rate_float32'] / 1e9:.0f} GFLOP/s in float32, "
        f"{m['matrix_rate_bfloat16'] / 1e9:.0f} in bfloat16; seeds: {head['seeds']}."
    )
    quick = ["QUICK: tiny settings, to try the code. These numbers mean nothing.", ""] if head["quick"] else []
    return "\n".join([*quick, on, "", *grid, ""])


if __name__ == "__main__":
    main()
