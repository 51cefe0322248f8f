"""The command line: tinysedd train | sample | evaluate, or python -m tinysedd."""

import argparse
import contextlib
import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from tinysedd import __version__

TRAIN_EXAMPLES = """examples:
  tinysedd train --corpus fables --minutes 5
  tinysedd train --corpus my_poems.txt --minutes 2 --out poems.pt
  tinysedd train --corpus names.txt --lines --minutes 1 --out names.pt
  tinysedd train --resume poems.train.pt        after Ctrl-C"""
SAMPLERS = ["euler", "tweedie", "first_hitting", "entropy_bounded", "spread", "corrected"]
PROCESSES = ["absorbing", "uniform"]


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(prog="tinysedd", description="Text diffusion by score entropy.")
    top.add_argument("--version", action="version", version=f"tinysedd {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    which_model = "fables, fables-uniform, shakespeare, or a file (default: fables)"
    which_device = "cpu or cuda (default: cuda if there is a GPU)"

    add = commands.add_parser(
        "train", help="train a model", epilog=TRAIN_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    ).add_argument
    add("--corpus", default="fables", help="fables, shakespeare, words, or a UTF-8 text file (default: fables)")
    add("--lines", action="store_true", help="the file has one text per line: names, words, formulas")
    add("--process", choices=PROCESSES, default="absorbing", help="kind of noise (default: absorbing)")
    add("--minutes", type=float, help="training time (default: 5)")
    add("--steps", type=int, help="training steps, instead of minutes: repeats exactly, stopped and resumed or not")
    add("--out", type=Path, default=Path("model.pt"), help="checkpoint to write (default: model.pt)")
    add("--resume", type=Path, help="continue a stopped training, given its .train.pt; it knows the other options")
    add("--start", help="start from the weights of a checkpoint, given its name or file")
    add("--length", type=int, help="characters per text (default: the world's; the longest line; 128)")
    add("--layers", type=int, default=2, help="transformer blocks (default: 2)")
    add("--width", type=int, default=96, help="features per character (default: 96)")
    add("--heads", type=int, default=4, help="attention heads (default: 4)")
    add("--neighbors", type=int, default=2, help="neighbors embedded with a character, on each side (default: 2)")
    add("--bigrams", type=int, default=2048, help="size of the hashed bigram table, 0 for none (default: 2048)")
    add("--no-token-shift", action="store_true", help="the MLP sees only a character's own features")
    add("--free-scores", action="store_true", help="the published parametrization: free log-scores, given sigma")
    add("--batch", type=int, default=64, help="texts per step (default: 64)")
    add("--lr", type=float, default=1.2e-2, help="peak learning rate (default: 0.012)")
    add("--late", type=float, default=1.0, help="above 1: train more on texts that are nearly all noise (default: 1)")
    add(
        "--reference", type=int, default=0,
        help="average each target over a reference batch of this many texts (default: 0)",
    )  # fmt: skip
    add("--ema-decay", type=float, default=0.995, help="decay of the weights' moving average (default: 0.995)")
    add(
        "--bfloat16", action=argparse.BooleanOptionalAction,
        help="bfloat16 matmuls on a CPU too (default: if the CPU has them in hardware, at twice the speed)",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    add("--device", help=which_device)

    add = commands.add_parser("sample", help="watch text appear out of noise").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--prompt", help="text to keep, with _ for each free character; everything after its end is free")
    add("--count", type=int, default=1, help="number of texts (default: 1)")
    add("--steps", type=int, help="sampling steps (default: one per character)")
    add("--sampler", choices=SAMPLERS, help="sampler (default: corrected; tweedie if there are no masks)")
    add("--seed", type=int, help="random seed, to get the same text again (default: a new one)")
    add("--save", type=Path, help="also write an animation or the text: .gif, .png, .html or .txt")
    add("--plain", action="store_true", help="print only the text, without the animation")
    add("--device", help=which_device)

    add = commands.add_parser("evaluate", help="measure how good a model is").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--corpus", help="a world, shakespeare, or a text file (default: what the model was trained on)")
    add("--lines", action="store_true", help="the file has one text per line")
    add("--texts", type=int, help="texts for the bound (default: all held-out texts; 2000 of a world)")
    add("--samples", type=int, default=500, help="samples for each number of steps, for a world (default: 500)")
    add("--seed", type=int, default=1, help="random seed (default: 1)")
    add("--json", action="store_true", help="print JSON")
    add("--device", help=which_device)
    return top


def train(args: argparse.Namespace, command: str) -> None:
    """tinysedd train: a new training or a resumed one, up to the written checkpoint."""
    import torch

    from tinysedd import Absorbing, Training, Uniform, fit, load, load_corpus, save
    from tinysedd.checkpoint import build, notes, read_state, save_state
    from tinysedd.fast.model import FastConfig, FastTransformer
    from tinysedd.fast.objective import fast_loss
    from tinysedd.worlds import WORLDS

    if args.steps is not None and args.minutes is not None:
        raise ValueError("give --steps or --minutes, not both")
    resume = read_state(args.resume) if args.resume else None
    if resume is None:
        minutes = 5.0 if args.steps is None and args.minutes is None else args.minutes
        training = Training(
            steps=args.steps, minutes=minutes, batch=args.batch, lr=args.lr, ema_decay=args.ema_decay, seed=args.seed,
            bfloat16=_has_bfloat16() if args.bfloat16 is None else args.bfloat16,
        )  # fmt: skip
        run = {
            "command": command, "corpus": args.corpus, "lines": args.lines, "length": args.length,
            "out": str(args.out), "late": args.late, "reference": args.reference,
        }  # fmt: skip
        torch.manual_seed(args.seed)  # torch draws initial weights from its global generator
        if args.start is None:
            corpus = load_corpus(args.corpus, args.length, lines=args.lines)
            process = {"absorbing": Absorbing, "uniform": Uniform}[args.process](len(corpus.alphabet))
            config = FastConfig(
                args.layers, args.heads, args.width, args.free_scores,
                neighbors=args.neighbors, token_shift=not args.no_token_shift, bigrams=args.bigrams,
            )  # fmt: skip
            model = FastTransformer(process, config, corpus.alphabet, corpus.length)
        else:
            model = load(args.start).train().requires_grad_()
            length = None if args.corpus in WORLDS else model.length
            corpus = load_corpus(args.corpus, length, model.alphabet, args.lines)
            run |= {"length": model.length, "start": notes(args.start)}
    else:
        training, run, model = Training(**resume["training"]), resume["notes"], build(resume)
        corpus = load_corpus(run["corpus"], run["length"], model.alphabet, run["lines"])
    if corpus.alphabet != model.alphabet:
        raise ValueError(f"the model has another alphabet than {run['corpus']}: train a new one, without --start")
    out = Path(run["out"])
    state_file = out.with_suffix(".train.pt")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} to: create it first")

    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters; texts of {corpus.length} characters, {len(corpus.alphabet)} different ones")
    curve = None
    with _ctrl_c() as stop, contextlib.suppress(KeyboardInterrupt):
        curve = fit(
            model.to(_device(args)), corpus, training, stop=stop, resume=resume,
            loss=fast_loss(corpus, run["late"], run["reference"]),
            keep=lambda state: save_state(state_file, model, training, state, run),
        )  # fmt: skip
    if curve is None or stop():
        save(model, out, **run)
        print(f"\n{out} has the weights so far.")
        if state_file.exists():  # not if a second Ctrl-C came before the first step was over
            print(f"Continue with:  tinysedd train --resume {state_file}")
        raise KeyboardInterrupt
    save(model, out, **run, training=asdict(training), curve=[asdict(point) for point in curve])
    state_file.unlink(missing_ok=True)
    print(f"bound {curve[-1].bound:.4f} +- {curve[-1].standard_error:.4f} nats per character. See what it writes:")
    print(f"  tinysedd sample --checkpoint {out}")


def sample(args: argparse.Namespace) -> None:
    """tinysedd sample: write texts, show them, save them."""
    import torch

    import tinysedd
    from tinysedd.show import play, save
    from tinysedd.show.export import check_path

    if args.save:
        check_path(args.save)
    model = tinysedd.load(args.checkpoint, _device(args))
    generator = torch.Generator()
    generator.seed() if args.seed is None else generator.manual_seed(args.seed)
    trajectory = tinysedd.sample(
        model, model.process, prompt=args.prompt, count=args.count, steps=args.steps or model.length,
        sampler=args.sampler, generator=generator,
    )  # fmt: skip
    if args.save:
        save(trajectory, args.save)
    play(trajectory, plain=args.plain)


def evaluate(args: argparse.Namespace) -> None:
    """tinysedd evaluate: the bound on held-out texts; for a world also the gap to the truth and the share of valid
    texts."""
    import torch
    from tqdm.auto import tqdm

    import tinysedd
    from tinysedd.checkpoint import notes
    from tinysedd.evaluate import measure_bound, measure_gap, valid_share
    from tinysedd.fast.sampling import best_sampler
    from tinysedd.worlds import WORLDS

    model = tinysedd.load(args.checkpoint, _device(args))
    trained_on = notes(args.checkpoint)
    name = args.corpus or trained_on.get("corpus")
    lines = args.lines or (args.corpus is None and trained_on.get("lines", False))
    if name is None:
        raise ValueError(f"{args.checkpoint} does not say what it was trained on: name a text with --corpus")
    rng = torch.Generator().manual_seed(args.seed)
    world = WORLDS[name]() if name in WORLDS else None
    if world is None:
        texts = tinysedd.load_corpus(name, model.length, model.alphabet, lines).validation[: args.texts]
    elif world.alphabet == model.alphabet:
        texts = world.sample(args.texts or 2000, rng)
    else:
        raise ValueError(f"{args.checkpoint} was trained on another alphabet than that of {name}")

    gap = None if world is None else measure_gap(model, world, texts, args.seed, progress=not args.json)
    desc = None if args.json else "bound"
    learned = gap.learned if gap else measure_bound(model, model.process, texts.to(model.device), args.seed, desc)
    result = {
        "checkpoint": str(args.checkpoint), "corpus": name, "texts": len(texts), "characters_per_text": model.length,
        "nats_per_char": learned.nats_per_char, "bits_per_char": learned.bits_per_char,
        "standard_error": learned.standard_error,
    }  # fmt: skip
    if gap and world:
        result |= {
            "entropy_per_char": world.entropy() / world.length,
            "gap": gap.relative, "gap_standard_error": gap.standard_error,
            "samples": args.samples, "sampler": best_sampler(model.process), "share_of_valid_texts": {},
        }  # fmt: skip
        for steps in tqdm([8, 16, 32, 64], desc="samples", disable=args.json, leave=False):
            drawn = tinysedd.sample(model, model.process, count=args.samples, steps=steps, generator=rng)
            result["share_of_valid_texts"][steps] = valid_share(world, drawn.states[-1])
    print(json.dumps(result, indent=1) if args.json else _report(result))


def _report(result: dict) -> str:
    lines = [
        f"{result['checkpoint']} on {result['texts']} texts of {result['corpus']}",
        f"bound     {result['nats_per_char']:.4f} +- {result['standard_error']:.4f} nats per character"
        f" ({result['bits_per_char']:.4f} bits)",
    ]
    if "gap" in result:
        lines += [
            f"entropy   {result['entropy_per_char']:.4f} nats per character, exact",
            f"gap       {result['gap']:.2%} +- {result['gap_standard_error']:.2%} of the entropy",
            f"samples   {result['samples']} for each number of steps, by {result['sampler']}; share that is valid:",
            *(f"  {steps:4} steps  {share:.1%}" for steps, share in result["share_of_valid_texts"].items()),
        ]
    return "\n".join(lines)


@contextlib.contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Ctrl-C lets the training step finish and makes the function true; a second Ctrl-C interrupts at once."""
    pressed: list[int] = []

    def on_ctrl_c(number: int, frame) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 matmuls in hardware, which make training about twice as fast."""
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def _device(args: argparse.Namespace) -> str:
    import torch

    if args.device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"torch finds no GPU here: leave out --device {args.device}")
    return args.device


def main(argv: list[str] | None = None) -> None:
    """Run a command. Exit code 0 for success, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    try:
        if args.command == "train":
            train(args, shlex.join(["tinysedd", *argv]))
        elif args.command == "sample":
            sample(args)
        else:
            evaluate(args)
    except (ValueError, OSError) as error:
        sys.exit(f"tinysedd: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
