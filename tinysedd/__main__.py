"""The command line: python -m tinysedd train | sample | evaluate."""

import argparse
import json
import math
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

TRAIN_EXAMPLES = """examples:
  python -m tinysedd train --corpus fables --minutes 5
  python -m tinysedd train --corpus my_poems.txt --minutes 2 --out poems.pt
  python -m tinysedd train --resume poems.train.pt        after Ctrl-C"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tinysedd", description="Text diffusion by score entropy.")
    commands = top.add_subparsers(dest="command", required=True)
    which_model = "fables, fables-uniform, shakespeare, or a file (default: fables)"

    add = commands.add_parser(
        "train", help="train a model", epilog=TRAIN_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    ).add_argument
    add("--corpus", default="fables", help="fables, shakespeare, words, or a UTF-8 text file (default: fables)")
    add(
        "--process",
        choices=["absorbing", "uniform"],
        default="absorbing",
        help="how noise comes in (default: absorbing)",
    )
    add("--minutes", type=float, help="train for so long (default: 5)")
    add("--steps", type=int, help="or for so many steps: that repeats exactly, stopped and resumed or not")
    add("--out", type=Path, default=Path("model.pt"), help="checkpoint to write (default: model.pt)")
    add("--resume", type=Path, help="go on with a stopped training, given its .train.pt; it knows the other options")
    add("--length", type=int, help="characters a text (default: the world's, or 128)")
    add("--layers", type=int, default=2, help="blocks of the network (default: 2)")
    add("--width", type=int, default=96, help="features of a character (default: 96)")
    add("--heads", type=int, default=4, help="attention heads (default: 4)")
    add("--near", type=int, default=2, help="neighbors on each side that a character is embedded with (default: 2)")
    add("--pairs", type=int, default=2048, help="rows of a table for each pair of neighbors (default: 2048; 0: none)")
    add("--no-shift", action="store_true", help="perceptrons see a character's own features alone")
    add("--free-scores", action="store_true", help="the published parametrization: free log-scores, told sigma")
    add("--batch", type=int, default=64, help="texts a step (default: 64)")
    add("--rate", type=float, default=1.2e-2, help="peak learning rate (default: 0.012)")
    add("--late", type=float, default=1.0, help="above 1: train more on texts that are nearly all noise (default: 1)")
    add(
        "--reference", type=int, default=0,
        help="average what a masked text is taught over all of so many more texts that it may come from (default: 0)",
    )  # fmt: skip
    add("--start", help="begin with a checkpoint's weights and shape, given its name or file")
    add("--average", type=float, default=0.995, help="decay of the weights' moving average (default: 0.995)")
    add(
        "--bfloat16", action=argparse.BooleanOptionalAction,
        help="16-bit products also on a CPU (default: where it has them in hardware, for twice the speed)",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="(default: 0)")
    add("--device", help="cpu or cuda (default: cuda where there is one)")

    add = commands.add_parser("sample", help="watch text appear out of noise").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--prompt", help="text to keep, with _ for each free character; free after its end")
    add("--count", type=int, default=1, help="texts (default: 1)")
    add("--steps", type=int, help="steps (default: one a character)")
    add(
        "--sampler",
        choices=["euler", "tweedie", "first_hitting", "entropy_bounded", "spread", "corrected"],
        help="(default: the last, or tweedie under Uniform)",
    )
    add("--seed", type=int, help="the same seed gives the same text (default: a fresh one)")
    add("--save", type=Path, help="also write an animation or the text: .gif, .png, .html or .txt")
    add("--plain", action="store_true", help="print the text only, without the show")
    add("--device", help="cpu or cuda (default: cuda where there is one)")

    add = commands.add_parser("evaluate", help="how good a model is").add_argument
    add("--checkpoint", default="fables", help=which_model)
    add("--corpus", help="a world, shakespeare, or a text file, whose last tenth is used (default: what it learned)")
    add("--texts", type=int, help="texts for the bound (default: the whole last tenth; 2000 of a world)")
    add("--samples", type=int, default=500, help="samples for each number of steps, of a world (default: 500)")
    add("--seed", type=int, default=1, help="(default: 1)")
    add("--json", action="store_true", help="print JSON")
    add("--device", help="cpu or cuda (default: cuda where there is one)")
    return top


def train(args: argparse.Namespace, command: str) -> None:
    import torch

    from tinysedd.model import Shape, Transformer
    from tinysedd.train import (
        PROCESSES,
        WORLDS,
        Training,
        build,
        fast_bfloat16,
        fit,
        load,
        load_corpus,
        notes,
        read_state,
        save,
    )

    if args.steps is not None and args.minutes is not None:
        raise ValueError("give --steps or --minutes, not both")
    resume = read_state(args.resume) if args.resume else None
    if resume is None:
        minutes = 5.0 if args.steps is None and args.minutes is None else args.minutes
        training = Training(
            steps=args.steps, minutes=minutes, batch=args.batch, rate=args.rate, late=args.late,
            reference=args.reference, average=args.average, seed=args.seed,
            bfloat16=fast_bfloat16() if args.bfloat16 is None else args.bfloat16,
        )  # fmt: skip
        run = {"command": command, "corpus": args.corpus, "length": args.length, "out": str(args.out)}
        torch.manual_seed(args.seed)  # torch draws fresh weights from its global generator
        if args.start is None:
            corpus = load_corpus(args.corpus, args.length)
            process = PROCESSES[args.process](len(corpus.alphabet))
            shape = Shape(
                args.layers, args.heads, args.width, args.free_scores,
                near=args.near, shift=not args.no_shift, pairs=args.pairs,
            )  # fmt: skip
            model = Transformer(process, shape, corpus.alphabet, corpus.length)
        else:
            model = load(args.start).train().requires_grad_()
            corpus = load_corpus(args.corpus, None if args.corpus in WORLDS else model.length, model.alphabet)
            run |= {"length": model.length, "start": notes(args.start)}
    else:
        training, run, model = Training(**resume["training"]), resume["notes"], build(resume)
        corpus = load_corpus(run["corpus"], run["length"], model.alphabet)
    if corpus.alphabet != model.alphabet:
        raise ValueError(f"the model has another alphabet than {run['corpus']}: train a new one, without --start")
    out = Path(run["out"])
    state = out.with_suffix(".train.pt")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} into: make it first")

    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters; texts of {corpus.length} characters, {len(corpus.alphabet)} different ones")
    try:
        curve = fit(model.to(_device(args)), corpus, training, state=state, notes=run, resume=resume)
    except KeyboardInterrupt:
        save(model, out, **run)
        print(f"\n{out} has the weights so far.")
        if state.exists():  # not where a second Ctrl-C came before the first step was over
            print(f"Go on with:  python -m tinysedd train --resume {state}")
        raise
    save(model, out, **run, training=asdict(training), curve=[asdict(point) for point in curve])
    state.unlink(missing_ok=True)
    print(f"bound {curve[-1].bound:.4f} +- {curve[-1].standard_error:.4f} nats per character. See what it writes:")
    print(f"  python -m tinysedd sample --checkpoint {out}")


def sample(args: argparse.Namespace) -> None:
    import torch

    from tinysedd import sampling
    from tinysedd.show import play, save
    from tinysedd.show.export import checked
    from tinysedd.train import load

    if args.save:
        checked(args.save)
    model = load(args.checkpoint, _device(args))
    generator = torch.Generator()
    generator.seed() if args.seed is None else generator.manual_seed(args.seed)
    trajectory = sampling.sample(
        model, model.process, prompt=args.prompt, count=args.count, steps=args.steps or model.length,
        sampler=args.sampler or sampling.best_sampler(model.process), generator=generator,
    )  # fmt: skip
    if args.save:
        save(trajectory, args.save)
    play(trajectory, plain=args.plain)


def evaluate(args: argparse.Namespace) -> None:
    import torch
    from tqdm.auto import tqdm

    from tinysedd.objective import Bound, likelihood_bound
    from tinysedd.sampling import best_sampler
    from tinysedd.sampling import sample as draw
    from tinysedd.train import WORLDS, load, load_corpus, notes

    model = load(args.checkpoint, _device(args))
    name = args.corpus or notes(args.checkpoint).get("corpus")
    if name is None:
        raise ValueError(f"nothing beside {args.checkpoint} says what it learned: name a text with --corpus")
    generator = torch.Generator().manual_seed(args.seed)
    world = WORLDS[name]() if name in WORLDS else None
    if world is None:
        texts = load_corpus(name, model.length, model.alphabet).validation[: args.texts]
    elif world.alphabet == model.alphabet:
        texts = world.sample(args.texts or 2000, generator)
    else:
        raise ValueError(f"{args.checkpoint} was trained on another alphabet than that of {name}")

    def bound(score, name: str) -> Bound:
        """With the same noise for whatever score."""
        noise = torch.Generator().manual_seed(args.seed)
        blocks = tqdm(texts.to(model.device).split(32), desc=name, disable=args.json, leave=False)
        parts = [likelihood_bound(score, model.process, block, generator=noise).per_text for block in blocks]
        return Bound(torch.cat(parts), model.length)

    learned = bound(model, "bound")
    result = {
        "checkpoint": str(args.checkpoint), "corpus": name, "texts": len(texts), "characters_a_text": model.length,
        "nats_per_char": learned.nats_per_char, "bits_per_char": learned.bits_per_char,
        "standard_error": learned.standard_error,
    }  # fmt: skip
    if world is not None:
        # The exact score's bound is exact on average; with the same noise the two share most of their errors.
        exact = bound(world.score(model.process), "exact")
        gaps = (learned.per_text - exact.per_text) / world.entropy()
        sampler = best_sampler(model.process)
        result |= {
            "entropy_per_char": world.entropy() / world.length,
            "gap": float(gaps.mean()), "gap_standard_error": float(gaps.std()) / math.sqrt(len(gaps)),
            "samples": args.samples, "sampler": sampler, "share_of_texts_in_the_world": {},
        }  # fmt: skip
        for steps in tqdm([8, 16, 32, 64], desc="samples", disable=args.json, leave=False):
            drawn = draw(model, model.process, count=args.samples, steps=steps, sampler=sampler, generator=generator)
            right = world.log_prob(drawn.states[-1].cpu()) > -math.inf
            result["share_of_texts_in_the_world"][steps] = float(right.double().mean())
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
            f"samples   {result['samples']} each, by {result['sampler']}; share that the world can write:",
            *(f"  {steps:4} steps  {share:.1%}" for steps, share in result["share_of_texts_in_the_world"].items()),
        ]
    return "\n".join(lines)


def _device(args: argparse.Namespace) -> str:
    import torch

    if args.device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"there is no GPU that torch can use here; leave out --device {args.device}")
    return args.device


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    try:
        if args.command == "train":
            train(args, shlex.join(["python", "-m", "tinysedd", *argv]))
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
