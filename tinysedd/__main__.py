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
    top = argparse.ArgumentParser(prog="python -m tinysedd", description="Text diffusion by score entropy, character by character.")
    commands = top.add_subparsers(dest="command", required=True)

    train = commands.add_parser(
        "train", help="train a model", epilog=TRAIN_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    train.add_argument("--corpus", default="fables", help="fables, shakespeare, words, or a UTF-8 text file (default: fables)")
    train.add_argument("--process", choices=["absorbing", "uniform"], default="absorbing", help="forward process (default: absorbing)")
    train.add_argument("--minutes", type=float, help="train for so long (default: 5)")
    train.add_argument("--steps", type=int, help="or for so many steps; repeats exactly, and so does --resume")
    train.add_argument("--out", type=Path, default=Path("model.pt"), help="checkpoint to write (default: model.pt)")
    train.add_argument("--resume", type=Path, help="go on with a stopped training: its .train.pt file; other options are taken from it")
    train.add_argument("--length", type=int, help="characters a text (default: the world's, or 128)")
    train.add_argument("--layers", type=int, default=4, help="blocks of the network (default: 4)")
    train.add_argument("--width", type=int, default=128, help="features of a character (default: 128)")
    train.add_argument("--heads", type=int, default=4, help="attention heads (default: 4)")
    train.add_argument("--free-scores", action="store_true", help="the published parametrisation: free log-scores, told sigma")
    train.add_argument("--batch", type=int, default=64, help="texts a step (default: 64)")
    train.add_argument("--rate", type=float, default=1e-2, help="peak learning rate (default: 0.01)")
    train.add_argument("--average", type=float, default=0.995, help="decay of the weights' moving average (default: 0.995)")
    train.add_argument("--bfloat16", action="store_true", help="16-bit matrix products on a CPU that has them; a GPU always uses them")
    train.add_argument("--seed", type=int, default=0, help="(default: 0)")

    sample = commands.add_parser("sample", help="watch text appear out of noise")
    sample.add_argument("--checkpoint", default="fables", help="fables, fables-uniform, shakespeare, or a file (default: fables)")
    sample.add_argument("--prompt", help="text to keep, with _ for each character that is free; free after its end")
    sample.add_argument("--count", type=int, default=1, help="texts (default: 1)")
    sample.add_argument("--steps", type=int, help="steps (default: one a character)")
    sample.add_argument("--sampler", choices=["euler", "tweedie", "first_hitting"], help="(default: first_hitting, or tweedie under Uniform)")
    sample.add_argument("--seed", type=int, help="the same seed gives the same text (default: a fresh one)")
    sample.add_argument("--save", type=Path, help="also write an animation or the text: .gif, .png, .html or .txt")
    sample.add_argument("--plain", action="store_true", help="print the text only, without the show")

    evaluate = commands.add_parser("evaluate", help="how good a model is")
    evaluate.add_argument("--checkpoint", default="fables", help="fables, fables-uniform, shakespeare, or a file (default: fables)")
    evaluate.add_argument("--corpus", help="fables, shakespeare, words, or a text file: its last tenth is used (default: what the model learned)")
    evaluate.add_argument("--texts", type=int, help="texts for the bound (default: all of the last tenth; 2000 of a world)")
    evaluate.add_argument("--samples", type=int, default=500, help="samples of each number of steps, for fables (default: 500)")
    evaluate.add_argument("--seed", type=int, default=1, help="(default: 1)")
    evaluate.add_argument("--json", action="store_true", help="print JSON")

    for command in (train, sample, evaluate):
        command.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    return top


def train(args: argparse.Namespace, command: str) -> None:
    from tinysedd import train as room
    from tinysedd.model import Shape, Transformer

    resume = room.read_state(args.resume) if args.resume else None
    if resume:
        run = resume["run"]
        corpus = room.load_corpus(run["corpus"], run["length"])
        model, training, out, command = room.build(resume), room.Training(**resume["training"]), Path(run["out"]), run["command"]
        if corpus.alphabet != model.alphabet:
            raise ValueError(f"{run['corpus']} is not what it was when the training began: its characters are others now")
    else:
        if args.steps is not None and args.minutes is not None:
            raise ValueError("give --steps or --minutes, not both")
        minutes = 5.0 if args.steps is None and args.minutes is None else args.minutes
        corpus, out = room.load_corpus(args.corpus, args.length), args.out
        run = {"corpus": args.corpus, "length": args.length, "out": str(out), "command": command}
        training = room.Training(
            steps=args.steps, minutes=minutes, batch=args.batch, rate=args.rate, average=args.average,
            bfloat16=args.bfloat16, seed=args.seed,
        )  # fmt: skip
        import torch

        torch.manual_seed(args.seed)  # the initial weights: torch's modules draw them from the global generator
        process = room.PROCESSES[args.process](len(corpus.alphabet))
        shape = Shape(args.layers, args.heads, args.width, args.free_scores)
        model = Transformer(process, shape, corpus.alphabet, corpus.length)
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} into: make it first")
    state = out.with_suffix(".train.pt")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, texts of {corpus.length} characters, alphabet of {len(corpus.alphabet)}")
    try:
        curve = room.fit(model.to(_device(args)), corpus, training, state=state, resume=resume, run=run)
    except KeyboardInterrupt:
        room.save(model, out, command=command, corpus=run["corpus"], stopped=True)
        print(f"\nStopped. {out} holds the weights so far; go on with:  python -m tinysedd train --resume {state}")
        return
    room.save(model, out, command=command, corpus=run["corpus"], training=asdict(training), curve=[asdict(point) for point in curve])
    state.unlink(missing_ok=True)
    print(f"bound {curve[-1].bound:.4f} +- {curve[-1].standard_error:.4f} nats per character. See what it writes:")
    print(f"  python -m tinysedd sample --checkpoint {out}")


def sample(args: argparse.Namespace) -> None:
    import torch

    from tinysedd import sampling
    from tinysedd.show import play, save
    from tinysedd.train import load

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

    blocks = tqdm(texts.to(model.device).split(32), desc="bound", disable=args.json, leave=False)
    parts = [likelihood_bound(model, model.process, block, generator=generator).per_text for block in blocks]
    bound = Bound(torch.cat(parts), model.length)
    result = {
        "checkpoint": str(args.checkpoint), "corpus": name, "texts": len(texts), "characters_a_text": model.length,
        "nats_per_char": bound.nats_per_char, "bits_per_char": bound.bits_per_char, "standard_error": bound.standard_error,
    }  # fmt: skip
    if world is not None:
        # Text by text, bound and truth differ by less noise than the two means do.
        gaps = (bound.per_text + world.log_prob(texts)) / world.entropy()
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


if __name__ == "__main__":
    main()
