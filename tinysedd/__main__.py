"""The command line: tinysedd train | sample | evaluate | page | race, or python -m tinysedd."""

import argparse
import contextlib
import glob
import json
import math
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tinysedd.fast import RECIPE

TRAIN_EXAMPLES = """examples:
  tinysedd train --corpus fables --minutes 5
  tinysedd train --corpus my_poems.txt --minutes 2 --out poems.pt
  tinysedd train --corpus names.txt --lines --minutes 1 --out names.pt
  tinysedd train --corpus animals:world --out animals.pt    the world in animals.py
  tinysedd train --resume poems.pt.train                after Ctrl-C
  tinysedd train --resume poems.pt.train --minutes 9    the same, for longer"""
RACE_EXAMPLES = """a recipe is a Python file like this one, which gets 20,000 texts of the hidden world:
  from tinysedd import Absorbing, Config, Training, Transformer, fit

  def train(corpus, seconds, generator):
      process = Absorbing(len(corpus.alphabet))
      model = Transformer(process, Config(layers=2, width=64), corpus.alphabet, corpus.length)
      fit(model, corpus, Training(steps=None, minutes=seconds / 60))
      return model

examples:
  tinysedd race --minutes 2 --world 7 --recipe mine.py --name Ada --out ada.json
  tinysedd race --board *.json                          the table of the class"""
SAMPLERS = [
    "euler", "tweedie", "first_hitting", "trapezoidal", "entropy_bounded", "spread", "planned", "corrected",
]  # fmt: skip
PROCESSES = ["absorbing", "uniform"]
# The options of train. The parser leaves out those that were not given, so that a given one is never silently ignored.
DEFAULTS = {
    "corpus": "fables", "lines": False, "process": "absorbing", "minutes": None, "steps": None, "out": Path("model.pt"),
    "resume": None, "start": None, "length": None, "layers": 2, "width": 96, "heads": 4, "neighbors": 2,
    "bigrams": 2048, "no_token_shift": False, "free_scores": False, "batch": 64, **RECIPE,
    "noise_center": 0.45, "noise_width": 0.2, "even_from": 0.7, "reference": 0, "ema_decay": 0.995, "bfloat16": None,
    "seed": 0, "device": None, "force": False,
}  # fmt: skip
WITH_RESUME = {"resume", "minutes", "steps", "lr", "out", "corpus", "device", "force"}
NOT_WITH_START = {
    "process", "length", "layers", "width", "heads", "neighbors", "bigrams", "no_token_shift", "free_scores",
}  # fmt: skip


class Usage(ValueError):
    """A command that asks for something impossible: exit code 2."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from tinysedd import __version__

    top = argparse.ArgumentParser(prog="tinysedd", description="Text diffusion by score entropy.")
    top.add_argument("--version", action="version", version=f"tinysedd {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    which_model = "fables, fables-uniform, shakespeare, or a file (default: fables)"
    which_device = "cpu or cuda (default: cuda if there is a GPU)"

    add = commands.add_parser(
        "train", help="train a model", epilog=TRAIN_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    ).add_argument  # fmt: skip
    add("--corpus", help="fables, shakespeare, words, a UTF-8 text file, or a world, module:name (default: fables)")
    add("--lines", action="store_true", help="the file has one text per line: names, words, formulas")
    add("--process", choices=PROCESSES, help="kind of noise (default: absorbing)")
    add("--minutes", type=float, help="training time (default: 5)")
    add("--steps", type=int, help="training steps, instead of minutes: repeats exactly, stopped and resumed or not")
    add("--out", type=Path, help="checkpoint to write (default: model.pt)")
    add("--force", action="store_true", help="replace files that exist; with --resume, go on though the text changed")
    add("--resume", type=Path, help="continue a stopped training, given its .train file; it knows the other options")
    add("--start", help="start from the weights of a checkpoint, given its name or file")
    add("--length", type=int, help="characters per text (default: the world's; the longest line; 128)")
    add("--layers", type=int, help="transformer blocks (default: 2)")
    add("--width", type=int, help="features per character (default: 96)")
    add("--heads", type=int, help="attention heads (default: 4)")
    add("--neighbors", type=int, help="neighbors embedded with a character, on each side (default: 2)")
    add("--bigrams", type=int, help="size of the hashed bigram table, 0 for none (default: 2048)")
    add("--no-token-shift", action="store_true", help="the MLP sees only a character's own features")
    add("--free-scores", action="store_true", help="the published parametrization: free log-scores, given sigma")
    add("--batch", type=int, help="texts per step (default: 64)")
    add("--lr", type=float, help="peak learning rate (default: 0.018)")
    add("--embed-lr", type=float, help="learning rate of the embeddings, as a multiple of --lr (default: 8)")
    add("--noise-center", type=float, help="most frequent share of characters that the noise hits (default: 0.45)")
    add("--noise-width", type=float, help="how far that share spreads: width of a normal distribution (default: 0.2)")
    add(
        "--even-from", type=float,
        help="fraction of the training after which all shares are equally likely, 0 to 1 (default: 0.7)",
    )  # fmt: skip
    add("--reference", type=int, help="average each target over a reference batch of this many texts (default: 0)")
    add("--ema-decay", type=float, help="decay of the weights' moving average (default: 0.995)")
    add(
        "--bfloat16", action=argparse.BooleanOptionalAction,
        help="bfloat16 matmuls on a CPU too (default: if the CPU has them in hardware, at twice the speed)",
    )  # fmt: skip
    add("--seed", type=int, help="random seed (default: 0)")
    add("--device", help=which_device)

    add = commands.add_parser("sample", help="watch text appear out of noise").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--prompt", help="text to keep, with _ for each free character; everything after its end is free")
    add("--count", type=_count, default=1, help="number of texts (default: 1)")
    add("--steps", type=_count, help="sampling steps (default: one per character)")
    add("--sampler", choices=SAMPLERS, help="sampler (default: corrected; tweedie if there are no masks)")
    add("--seed", type=_natural, help="random seed, to get the same text again (default: a new one)")
    add("--save", type=Path, help="also write an animation or the text: .gif, .png, .html or .txt")
    add("--force", action="store_true", help="let --save replace a file that exists")
    add("--plain", action="store_true", help="print only the text, without the animation")
    add("--device", help=which_device)

    add = commands.add_parser("evaluate", help="measure how good a model is").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--corpus", help="as for train; module:name has to be given (default: what the model was trained on)")
    add("--lines", action="store_true", help="the file has one text per line")
    add("--texts", type=_count, help="texts for the bound (default: all held-out texts; 2000 of a world)")
    add("--samples", type=_count, help="samples for each number of steps, for a world only (default: 500)")
    add("--orders", type=_natural, help="texts for the cost of each order, 0 for none; with masks only (default: 32)")
    add("--seed", type=_natural, default=1, help="random seed (default: 1)")
    add("--json", action="store_true", help="print JSON")
    add("--device", help=which_device)

    add = commands.add_parser("page", help="write a web page in which a model runs").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--corpus", help="fables, or a Fables of your own, module:name, for the exact answers (default: as trained)")
    add("--out", type=Path, default=Path("page.html"), help="web page to write (default: page.html)")
    add("--force", action="store_true", help="replace a file that exists")

    add = commands.add_parser(
        "race", help="train on a hidden world against the clock, and be judged by its exact entropy",
        epilog=RACE_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS,
    ).add_argument  # fmt: skip
    add("--minutes", type=float, help="training time (default: 2)")
    add("--world", type=_natural, help="the number of the hidden world, the same for the whole class (default: 1)")
    add("--recipe", type=Path, help="a Python file with a function train (default: what `tinysedd train` does)")
    add("--name", help="who races (default: the name of the recipe)")
    add("--texts", type=_count, help="texts to judge on, at least 2 (default: 400)")
    add("--out", type=Path, help="file for the result (default: race-NAME.json)")
    add("--force", action="store_true", help="replace the result if it exists")
    add("--board", type=Path, nargs="+", help="print the table of these results instead of racing")
    return top


def _count(text: str) -> int:
    return _integer(text, 1)


def _natural(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {least}, not {text!r}")
    return int(text)


def train(given: dict[str, Any], command: str) -> None:
    """tinysedd train: a new training or a resumed one, up to the written checkpoint. given: the options, without those
    that were left out."""
    args = argparse.Namespace(**DEFAULTS | given)
    _check_train_options(args, given)
    device = _device(args.device)
    if device != "cpu" and args.bfloat16 is False:
        raise Usage("--no-bfloat16 has no effect on a GPU, which always trains with bfloat16")

    import torch

    from tinysedd import fit, save
    from tinysedd.checkpoint import SHIPPED, is_checkpoint, is_state, notes, save_state
    from tinysedd.costs import information_curve
    from tinysedd.fast.objective import Shares, fast_loss
    from tinysedd.files import check_output, claim, file_of, is_own_world
    from tinysedd.guard import only_masks
    from tinysedd.worlds import WORLDS

    training, run, model, corpus, text, resume = _resumed(args, given) if args.resume else _new(args, command)
    if args.resume and "out" not in given:
        args.out = args.resume.with_suffix("")
    out, state_file = args.out, Path(f"{args.out}.train")
    if str(out) in (*SHIPPED, *WORLDS, "shakespeare"):
        raise Usage(
            f"{out} could not be told from the model or corpus of that name: write to another --out, like {out}.pt"
        )
    finished = ours = is_checkpoint(out)  # a stopped training must not replace a finished one
    with contextlib.suppress(ValueError, OSError):  # notes that are damaged
        finished = finished and notes(out).get("unfinished") is not True
    read = [file_of(text), args.start]
    check_output(out, [*read, args.resume], args.force, ours)
    check_output(state_file, read, force=True)
    with _usage():
        shares = Shares(run["noise_center"], run["noise_width"], run["even_from"])
        loss = fast_loss(corpus, shares, run["reference"])
    parameters = sum(p.numel() for p in model.parameters())
    _say(f"{parameters:,} parameters; texts of {corpus.length} characters, {len(corpus.alphabet)} different ones")
    own = args.resume is not None and state_file.exists() and state_file.samefile(args.resume)
    kept, curve, complete = own, None, False
    story = {key: value for key, value in run.items() if key != "folder"}  # a checkpoint may be given to others

    def keep(state: dict) -> None:
        nonlocal kept, complete
        save_state(state_file, model, training, state, run)
        kept, complete = True, training.done(state["step"], state["clock"]) >= 1

    if not own:
        claim(state_file, is_state(state_file), args.force)
    try:
        with _signals() as received, contextlib.suppress(KeyboardInterrupt):
            curve = fit(
                model.to(device), corpus, training, loss=loss, keep=keep, stop=lambda: bool(received), resume=resume
            )
        if curve is None or (received and not complete):
            if finished:
                _say(f"\n{out} is as it was.")
            else:
                save(model, out, **story, unfinished=True)
                _say(f"\n{out} has the weights so far.")
            if kept:  # not if a second Ctrl-C came before the first step was over
                again = f" --corpus {text}" if is_own_world(text) else ""
                _say(f"Continue with:  tinysedd train --resume {_quoted(state_file)}{again}")
            sys.exit(128 + received[0])
        story |= {"training": asdict(training), "curve": [asdict(point) for point in curve]}
        save(model, out, **story)
        kept = False
        if only_masks(model.process):  # saved first, because this takes a moment
            few, rng = corpus.validation[: max(2000 // corpus.length, 8)].to(device), torch.Generator().manual_seed(0)
            costs = information_curve(model, model.process, few, generator=rng).g
            if costs.isfinite().all():
                model.costs = costs
                save(model, out, **story)
    except FloatingPointError as error:
        rest = f". {state_file} has the last good state: --resume it with a lower --lr" if kept else ""
        raise FloatingPointError(f"{error}{rest}") from None
    finally:
        if not kept:
            state_file.unlink(missing_ok=True)
    error = "" if math.isnan(curve[-1].standard_error) else f" +- {curve[-1].standard_error:.4f}"
    _say(f"bound {curve[-1].bound:.4f}{error} nats per character. See what it writes:")
    _say(f"  tinysedd sample --checkpoint {_quoted(out)}")


def _quoted(path: Path) -> str:
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def _check_train_options(args: argparse.Namespace, given: dict) -> None:
    """Usage for a combination of options of which one would have no effect."""
    if args.steps is not None and args.minutes is not None:
        raise Usage("give --steps or --minutes, not both")
    ignored = set(given) - WITH_RESUME if args.resume else set(given) & NOT_WITH_START if "start" in given else set()
    if ignored:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(ignored))
        why = "the stopped training" if args.resume else "the checkpoint"
        raise Usage(f"{names} cannot be used with --{'resume' if args.resume else 'start'}: {why} has it settled")
    if args.resume and "out" not in given and args.resume.suffix != ".train":
        raise Usage(f"name the checkpoint to write with --out: {args.resume} does not end in .train")
    if args.even_from == 0 and given.keys() & {"noise_center", "noise_width"}:
        raise Usage("--noise-center and --noise-width have no effect with --even-from 0")
    if "bigrams" in given and args.bigrams > 0 and args.neighbors == 0:
        raise Usage("--bigrams has no effect with --neighbors 0: bigrams are pairs of neighbors")


def _new(args: argparse.Namespace, command: str) -> tuple:
    """What a new training consists of: Training, notes, model, corpus, where the text is, and no state."""
    import torch

    from tinysedd import Absorbing, Training, Uniform, load, load_corpus
    from tinysedd.checkpoint import notes
    from tinysedd.fast.model import FastConfig, FastTransformer
    from tinysedd.files import fingerprint, is_world
    from tinysedd.guard import check_at_least

    minutes = 5.0 if args.steps is None and args.minutes is None else args.minutes
    with _usage():
        if args.length is not None:
            check_at_least(1, length=args.length)
        training = Training(
            steps=args.steps, minutes=minutes, batch=args.batch, lr=args.lr, embed_lr=args.embed_lr,
            ns_steps=args.ns_steps, ema_decay=args.ema_decay, seed=args.seed,
            bfloat16=_has_bfloat16() if args.bfloat16 is None else args.bfloat16,
        )  # fmt: skip
        config = FastConfig(
            args.layers, args.heads, args.width, args.free_scores,
            neighbors=args.neighbors, token_shift=not args.no_token_shift, bigrams=args.bigrams,
        )  # fmt: skip
    run = {
        "command": command, "corpus": args.corpus, "lines": args.lines, "length": args.length,
        "noise_center": args.noise_center, "noise_width": args.noise_width, "even_from": args.even_from,
        "reference": args.reference, "folder": os.getcwd(), "fingerprint": fingerprint(args.corpus),
    }  # fmt: skip
    torch.manual_seed(args.seed)  # torch draws initial weights from its global generator
    if args.start is None:
        corpus = load_corpus(args.corpus, args.length, lines=args.lines)
        process = {"absorbing": Absorbing, "uniform": Uniform}[args.process](len(corpus.alphabet))
        model = FastTransformer(process, config, corpus.alphabet, corpus.length)
    else:
        model = load(args.start).train().requires_grad_()
        length = None if is_world(args.corpus) else model.length
        corpus = load_corpus(args.corpus, length, model.alphabet, args.lines)
        run |= {"length": model.length, "start": notes(args.start)}
        if corpus.alphabet != model.alphabet or corpus.length != model.length:
            raise ValueError(f"{args.start} has another alphabet or length than {args.corpus}: leave out --start")
    return training, run, model, corpus, args.corpus, None


def _resumed(args: argparse.Namespace, given: dict) -> tuple:
    """The same for a stopped training: all from its state, but for the few options that may change."""
    from tinysedd import Training, load_corpus
    from tinysedd.checkpoint import build, read_state
    from tinysedd.files import check_fit, fingerprint, is_own_world, is_world, load_world

    state = read_state(args.resume)
    run = state["notes"]
    known = {
        "corpus": str, "lines": bool, "length": int | None, "noise_center": float | int, "noise_width": float | int,
        "even_from": float | int, "reference": int, "folder": str,
    }  # fmt: skip
    missing = [name for name, kind in known.items() if name not in run or not isinstance(run[name], kind)]
    if missing:
        raise ValueError(
            f"{args.resume} does not say its {', '.join(missing)}: it was made by another version of "
            "tinysedd, or not by `tinysedd train`"
        )
    changed: dict[str, Any] = {"lr": args.lr} if "lr" in given else {}
    if args.steps is not None or args.minutes is not None:
        changed |= {"steps": args.steps, "minutes": args.minutes}
    with _usage():
        training = replace(Training(**state["training"]), **changed)
    if changed.keys() & {"steps"} and training.done(state["step"], state["clock"]) >= 1:
        so_far = f"{state['step']} steps and {state['clock'] / 60:.2g} minutes"
        raise Usage(f"this training has already had {so_far}: to go on, give more --steps or --minutes")

    text = run["corpus"]
    if "corpus" in given:
        text = args.corpus
    elif is_own_world(text):
        raise ValueError(_not_named(args.resume, text))
    elif not is_world(text) and text != "shakespeare":
        text = os.path.join(run["folder"], text)
        if not Path(text).is_file():
            raise ValueError(f"the text {text} is not there any more: say where it is now with --corpus")
    model = build(state)
    now = fingerprint(text)
    if now != run.get("fingerprint") and not args.force:
        raise ValueError(f"{text} is not the text that this training began with: bring that back, or use --force")
    if "corpus" in given:
        run |= {"corpus": text, "folder": os.getcwd()}
    run["fingerprint"] = now
    if is_world(text):
        check_fit(load_world(text), text, model.alphabet, model.length)
    corpus = load_corpus(text, None if is_world(text) else model.length, model.alphabet, run["lines"])
    return training, run, model, corpus, text, state


def _not_named(file: Path | str, world: str) -> str:
    """Why a world in a file's notes is not read: a file of weights, perhaps a stranger's, must not run code."""
    return (
        f"{file} was trained on a world of someone's own code, {world}: name it, if you trust it, with --corpus {world}"
    )


def sample(args: argparse.Namespace) -> None:
    """tinysedd sample: write texts, show them, save them."""
    device = _device(args.device)

    import torch

    import tinysedd
    from tinysedd.files import check_output
    from tinysedd.show import play, save
    from tinysedd.show.export import check_path

    if args.force and not args.save:
        raise Usage("--force has no effect without --save")
    if args.save:
        check_output(check_path(args.save), [args.checkpoint], args.force)
    model = tinysedd.load(args.checkpoint, device)
    generator = torch.Generator()
    generator.seed() if args.seed is None else generator.manual_seed(args.seed)
    trajectory = tinysedd.sample(
        model, model.process, prompt=args.prompt, count=args.count,
        steps=model.length if args.steps is None else args.steps, sampler=args.sampler, generator=generator,
    )  # fmt: skip
    try:
        if args.save:
            save(trajectory, args.save)
    finally:  # a full disk must not cost the text
        play(trajectory, plain=args.plain)


def evaluate(args: argparse.Namespace) -> None:
    """tinysedd evaluate: the bound on held-out texts and the cost of each order; for a world also the gap to the truth
    and the share of valid texts."""
    device = _device(args.device)

    import torch
    from tqdm.auto import tqdm

    import tinysedd
    from tinysedd.checkpoint import notes
    from tinysedd.evaluate import measure_bound, measure_gap, measure_orders, valid_share
    from tinysedd.fast.sampling import best_sampler
    from tinysedd.files import check_fit, fingerprint, is_own_world, is_world, load_world
    from tinysedd.guard import deviation, only_masks
    from tinysedd.objective import Bound

    model = tinysedd.load(args.checkpoint, device)
    trained_on = notes(args.checkpoint)
    name = trained_on.get("corpus") if args.corpus is None else args.corpus
    lines = args.lines or (args.corpus is None and trained_on.get("lines", False))
    if not isinstance(name, str):
        raise ValueError(f"{args.checkpoint} does not say what it was trained on: name a text with --corpus")
    if args.corpus is None and is_own_world(name):
        raise ValueError(_not_named(args.checkpoint, name))
    if model.alphabet is None:
        raise ValueError(f"{args.checkpoint} has no alphabet, so it cannot read {name}")
    rng = torch.Generator().manual_seed(args.seed)
    world = load_world(name) if is_world(name) else None
    if world is None:
        if args.samples is not None:
            raise Usage(f"--samples has no effect with {name}: only a world can tell which samples are valid")
        texts = tinysedd.load_corpus(name, model.length, model.alphabet, lines).validation[: args.texts]
        if args.corpus is None and trained_on.get("fingerprint", fingerprint(name)) != fingerprint(name):
            _say(f"note: {name} has changed since {args.checkpoint} was trained on it", sys.stderr)
    elif args.lines:
        raise Usage(f"--lines has no effect with {name}, which is not a file")
    else:
        check_fit(world, name, model.alphabet, model.length)
        texts = world.sample(2000 if args.texts is None else args.texts, rng)
    samples = 500 if args.samples is None else args.samples
    if args.orders is not None and model.process.mask is None:
        raise Usage("--orders has no effect on a model without masks, which writes in no order")

    gap = None if world is None else measure_gap(model, world, texts, args.seed, progress=not args.json)
    desc = None if args.json else "bound"
    learned = gap.learned if gap else measure_bound(model, model.process, texts.to(model.device), args.seed, desc)
    result = {
        "checkpoint": str(args.checkpoint), "corpus": name, "texts": len(texts), "characters_per_text": model.length,
        "nats_per_char": learned.nats_per_char, "bits_per_char": learned.bits_per_char,
        "standard_error": learned.standard_error,
    }  # fmt: skip
    orders = 32 if args.orders is None else args.orders
    if only_masks(model.process) and orders:
        few = texts[:orders]
        costs = measure_orders(model, model.process, few.to(model.device), args.seed, progress=not args.json)
        result |= {"texts_for_orders": len(few), "orders": {}}
        if world:
            costs["truth"] = Bound(-world.log_prob(few), world.length)
        for order, cost in costs.items():
            difference = (cost.per_text - costs["random"].per_text) / cost.length
            result["orders"][order] = {
                "nats_per_char": cost.nats_per_char, "minus_random": float(difference.mean()),
                "standard_error": deviation(difference) / math.sqrt(len(difference)),
            }  # fmt: skip
    if gap and world:
        result |= {
            "entropy_per_char": world.entropy() / world.length,
            "gap": gap.relative, "gap_standard_error": gap.standard_error,
            "samples": samples, "sampler": best_sampler(model.process), "share_of_valid_texts": {},
        }  # fmt: skip
        for steps in tqdm([8, 16, 32, 64], desc="samples", disable=args.json, leave=False):
            drawn = tinysedd.sample(model, model.process, count=samples, steps=steps, generator=rng)
            result["share_of_valid_texts"][steps] = valid_share(world, drawn.states[-1])
    if args.json:  # JSON has no nan, which is the standard error of a single text
        result = _finite(result)
    _say(json.dumps(result, indent=1, allow_nan=False) if args.json else _report(result))


def page(args: argparse.Namespace) -> None:
    """tinysedd page: a web page in which the model runs, beside the exact posterior if its world is known."""
    from tinysedd import Fables, load
    from tinysedd.checkpoint import notes
    from tinysedd.files import check_fit, check_output, is_own_world, is_world, load_world, write_atomically
    from tinysedd.show import page as render
    from tinysedd.worlds import WORLDS

    if args.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"browsers would not open {args.out.name!r} as a web page: end the name in .html")
    check_output(args.out, [args.checkpoint], args.force)
    model = load(args.checkpoint)
    world, trained_on = None, notes(args.checkpoint).get("corpus")
    if args.corpus is not None:
        if not is_world(args.corpus):
            raise Usage(f"--corpus has no effect with {args.corpus}: only a world knows exact answers")
        world = load_world(args.corpus)
        check_fit(world, args.corpus, model.alphabet, model.length)
    elif isinstance(trained_on, str) and WORLDS.get(trained_on) is Fables:
        world = Fables()
        if (world.alphabet, world.length) != (model.alphabet, model.length):
            world = None  # the notes of a checkpoint can say anything
    elif isinstance(trained_on, str) and is_own_world(trained_on):
        _say(f"note: the page has no exact answers. {_not_named(args.checkpoint, trained_on)}", sys.stderr)
    content = render(model, world, title=Path(args.checkpoint).stem).encode()
    write_atomically(args.out, content)
    _say(f"{args.out} has the model in it ({len(content) / 1e6:.1f} MB): open it in a browser, on any device, offline")


def _matches(path: Path) -> list[Path]:
    """The files that a name with * or ? stands for, if none has this name: Windows' shells leave that to a program."""
    return [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))] or [path]


def race(given: dict[str, Any]) -> None:
    """tinysedd race: one entrant's result, or the table of many. given: the options, without those left out."""
    if "board" in given:
        if others := ", ".join(f"--{name}" for name in sorted(given.keys() - {"board"})):
            raise Usage(f"{others} has no effect with --board, which only prints a table")
        from tinysedd.race import board, read_results

        results = []
        for path in chain.from_iterable(map(_matches, given["board"])):
            try:
                results += read_results(path)
            except ValueError as error:
                _say(f"skipped: {error}", sys.stderr)
        if not results:
            raise ValueError("there is no result of a race in these files: make one with  tinysedd race --out FILE")
        _say(board(results))
        return

    from tinysedd.files import check_output, write_atomically
    from tinysedd.guard import check_at_least, check_between
    from tinysedd.race import board, default_recipe, load_recipe
    from tinysedd.race import race as run_race

    recipe, minutes, texts = given.get("recipe"), given.get("minutes", 2.0), given.get("texts", 400)
    name = given.get("name", recipe.stem if recipe else "tinysedd")
    with _usage():
        check_between(0, math.inf, minutes=minutes)
        check_at_least(2, texts=texts)
    out = given.get("out", Path(f"race-{re.sub('[^A-Za-z0-9-]+', '-', name)}.json"))
    check_output(out, [recipe], "force" in given)
    train = load_recipe(recipe) if recipe else default_recipe
    try:
        result, printed = run_race(name, given.get("world", 1), minutes, train, recipe, texts, progress=True)
    except KeyboardInterrupt:
        _say(f"\nThe race was stopped, so there is no {out}.", sys.stderr)
        raise
    if printed.strip():
        _say(f"the recipe printed:\n{printed.rstrip()[-2000:]}", sys.stderr)
    write_atomically(out, (json.dumps(result, allow_nan=False) + "\n").encode())
    _say(board([result]))
    _say(f"The result is in {out}. Compare results with:  tinysedd race --board *.json")


def _report(result: dict) -> str:
    def error(values: dict, key: str, form: str = ".4f") -> str:
        return "" if math.isnan(values[key]) else f" +- {values[key]:{form}}"  # of a single text there is none

    lines = [
        f"{result['checkpoint']} on {result['texts']} texts of {result['corpus']}",
        f"bound     {result['nats_per_char']:.4f}{error(result, 'standard_error')} nats per character"
        f" ({result['bits_per_char']:.4f} bits)",
    ]
    if "orders" in result:
        few = result["texts_for_orders"]
        lines.append(f"orders    exact -log p of {few} texts, one character at a time; difference from random order:")
        for order, cost in result["orders"].items():
            lines.append(
                f"  {order:17} {cost['nats_per_char']:.4f}  {cost['minus_random']:+.4f}{error(cost, 'standard_error')}"
            )
    if "gap" in result:
        lines += [
            f"entropy   {result['entropy_per_char']:.4f} nats per character, exact",
            f"gap       {result['gap']:.2%}{error(result, 'gap_standard_error', '.2%')} of the entropy",
            f"samples   {result['samples']} for each number of steps, by {result['sampler']}; share that is valid:",
            *(f"  {steps:4} steps  {share:.1%}" for steps, share in result["share_of_valid_texts"].items()),
        ]
    return "\n".join(lines)


def _finite(value: Any) -> Any:
    """A value for JSON, which has no nan and no infinity: None in their place."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """A ValueError in here comes from a bad option."""
    try:
        yield
    except ValueError as error:
        raise Usage(str(error)) from None


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """The list of signals so far: Ctrl-C, or a request to end. The second one interrupts at once."""
    received: list[int] = []

    def on_signal(number: int, frame) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    ignored = (signal.SIG_IGN, None)  # by nohup, or in the background of a script
    before = {number: handler for number, handler in before.items() if handler not in ignored}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 matmuls in hardware, which make training about twice as fast."""
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _device(name: str | None) -> str:
    """The device of that name, or the best one. Usage if it is not here or not supported."""
    import torch

    gpus = torch.cuda.device_count()
    no_mps = "Apple's GPU cannot be used, because it has no 64-bit floating-point numbers, which the noise needs"
    if name is None:
        if not gpus and torch.backends.mps.is_available():
            _say(f"note: this runs on the CPU. {no_mps}.", sys.stderr)
        return "cuda" if gpus else "cpu"
    if name == "cpu" or (gpus and name == "cuda") or name in [f"cuda:{i}" for i in range(gpus)]:
        return name
    if name == "mps":
        raise Usage(f"{no_mps}: leave out --device mps")
    if re.fullmatch(r"cuda(:\d+)?", name):
        raise Usage(f"torch finds {gpus or 'no'} GPU{'s' * (gpus > 1)} here: leave out --device {name}")
    raise Usage(f"the device is cpu or cuda, not {name!r}")


def _clean(text: str) -> str:
    """The text without control characters, which could do harm in a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _say(text: str, file=None) -> None:
    print(_clean(text), file=file or sys.stdout, flush=True)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _end(number: int, frame) -> None:
    sys.exit(128 + number)


def main(argv: list[str] | None = None) -> None:
    """Run a command. Exit code 0 for success, 1 for a failure, 2 for wrong usage, 128 + n after signal n (130 for
    Ctrl-C), 141 if the reader of a pipe has closed it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: `tinysedd sample >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        with contextlib.suppress(AttributeError):  # a character that the terminal lacks must not cost the result
            getattr(sys, name).reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)  # like Ctrl-C: the cursor comes back, and no half-written file stays
    try:
        try:
            _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        sys.exit(141)
    except Usage as error:
        _say(f"tinysedd: {error}", sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, FloatingPointError) as error:
        if isinstance(error, OSError):
            _close_stdout()  # if this is what failed, it would fail again at exit
        _say(f"tinysedd: {_sentence(error)}", sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "tinysedd").startswith("tinysedd"):
            fix = "activate the environment in which you installed tinysedd, or install it"
            _say(f"tinysedd: this Python ({sys.executable}) has no {error.name}: {fix}", sys.stderr)
        elif isinstance(error, OverflowError) or "overflow" in str(error).lower():
            _say("tinysedd: a number in this command is too large", sys.stderr)
        elif isinstance(error, MemoryError) or re.search(r"memory|too large", str(error).lower()):
            _say("tinysedd: there is not enough memory for this: ask for less, or for a smaller model", sys.stderr)
        else:
            _say(traceback.format_exc(), sys.stderr)
            _say("tinysedd: this is a bug. Please report it where you got tinysedd, with the lines above.", sys.stderr)
        sys.exit(1)


def _run(argv: list[str]) -> None:
    args = parser().parse_args(argv)
    given = {name: value for name, value in vars(args).items() if name != "command"}
    for name, value in given.items():
        if isinstance(value, list) and name != "board":  # what some versions of argparse make of --name=--
            raise Usage(f"--{name.replace('_', '-')} cannot be --")
    if args.command == "train":
        train(given, shlex.join(["tinysedd", *argv]))
    elif args.command == "sample":
        sample(args)
    elif args.command == "page":
        page(args)
    elif args.command == "race":
        race(given)
    else:
        evaluate(args)


def _close_stdout() -> None:
    """Point standard output to nowhere, so that what is left in its buffer raises no error at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
