"""The live page, opened from the file system without a network: what it computes, and how it is used."""

import re
from importlib.resources import files
from importlib.util import find_spec

import pytest
import torch

from tinysedd import Absorbing, Alphabet, Config, Fables, Transformer, Uniform, load, sample
from tinysedd.costs import best_sizes
from tinysedd.evaluate import valid_share
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.show import page

from .needs import Page, expect, missing

POSTERIOR = "async (asked) => (await tinysedd.ask('posterior', asked)).log"
WRITE = """async ({ seeds, ...asked }) => {
  const texts = [];
  for (const seed of seeds) {
    let steps = [];
    await tinysedd.ask("write", { ...asked, seed }, (item) => steps.push(item));
    texts.push([steps.at(-1).x, steps.slice(1).map((item) => item.drawn.length)]);
  }
  return texts;
}"""
HOSTILE = "</script><img src=x onerror=document.title='hacked'><!--&amp;${title}"
ANIMALS = Fables(["a {:size} {A:animal}, the {A}", "the {:animal}"], {"size": "big", "animal": "cat dog"}, 20)


@pytest.fixture
def opened(browser, tmp_path):
    """opened(html) -> Page: the page in a tab of its own, without a network. At the end: no error on its console, and
    it has asked for nothing but itself."""
    problems, contexts = [], []

    def open_page(html: str, width: int = 1280, **options) -> Page:
        path = tmp_path / "page.html"
        path.write_text(html, "utf-8")
        viewport = {"width": width, "height": 844}
        context = browser.new_context(viewport=viewport, offline=True, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: problems.append(request.url) if ours(request.url) else None)

        def ours(url: str) -> bool:
            return url != path.as_uri() and not url.startswith("blob:null/")

        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def tiny(process=Absorbing, world: Fables = ANIMALS) -> FastTransformer:
    """An untrained model, to which all characters are equally likely. It is fast."""
    alphabet = world.alphabet
    return FastTransformer(process(len(alphabet)), FastConfig(1, 2, 16), alphabet, world.length)


def texts(tab: Page, count: int, **asked) -> tuple[torch.Tensor, list[list[int]]]:
    """Texts (count, L) drawn in the page, and for each how many characters each step has drawn."""
    drawn = tab.evaluate(WRITE, {"seeds": list(range(count)), "exact": False, **asked})
    return torch.tensor([x for x, _ in drawn]), [sizes for _, sizes in drawn]


# What it computes


@pytest.mark.parametrize("name", ["fables", "fables-uniform", "shakespeare", "plain"])
def test_the_posteriors_are_those_of_python(opened, name):
    """The authority is the network with 64 bits, but with the constants that it was trained with: those of 32 bits."""
    if name == "plain":
        alphabet = Alphabet("abcdé 漢")
        torch.manual_seed(0)
        model = Transformer(Uniform(len(alphabet)), Config(layers=1, width=32), alphabet, 20)
        torch.nn.init.normal_(model.head.weight, std=0.1)  # a new network knows nothing: make it say something
        model.load_state_dict({key: w.half().float() for key, w in model.state_dict().items()})
    else:
        model = load(name)
    world = Fables() if name.startswith("fables") else None
    tab = opened(page(model, world), bypass_csp=True)  # `evaluate` needs the bypass
    network, process = model.double(), model.process
    for module in network.modules():
        if isinstance(module, torch.nn.RMSNorm):
            module.eps = torch.finfo(torch.float32).eps
    generator = torch.Generator().manual_seed(1)
    for k in range(100):
        random = torch.randint(process.num_tokens, (1, model.length), generator=generator)
        x0 = random if world is None else world.sample(1, generator)
        sigma = torch.tensor([(0.1, 0.5, 1.0, 3.0)[k % 4]], dtype=torch.float64)
        x = process.perturb(x0, sigma, generator)
        asked = {"x": x[0].tolist(), "sigma": sigma.item(), "exact": False}
        got = torch.tensor(tab.evaluate(POSTERIOR, asked), dtype=torch.float64).view(model.length, -1)
        with torch.no_grad():
            torch.testing.assert_close(got, network.log_posterior(x, sigma)[0].double(), atol=1e-3, rtol=0)
        if world is not None:
            exact = torch.tensor(tab.evaluate(POSTERIOR, asked | {"exact": True}), dtype=torch.float64)
            joint = world.marginals(process.log_likelihood(x, sigma).exp())[0]
            want = joint / joint.sum(-1, keepdim=True)
            torch.testing.assert_close(exact.view(64, -1).exp(), want, atol=1e-6, rtol=0)


def test_300_texts_of_the_model_are_fables_as_often_as_pythons(opened):
    """Of 300 texts in 6 steps, about 3 in 10 are fables. A difference of 3 standard errors fails: if there is none,
    that happens to 3 of 1,000 seeds, and the seeds are fixed; a difference of 15 percentage points is found 9 times of
    10. The sizes of the groups are those of Python, exactly."""
    model, world = load("fables"), Fables()
    tab = opened(page(model, world), bypass_csp=True)
    x, sizes = texts(tab, 300, given=[None] * 64, sampler="corrected", steps=6)
    assert sizes == 300 * [[*best_sizes(model.costs, 5), 4]]
    own = sample(model, model.process, count=300, steps=6, generator=torch.Generator().manual_seed(1))
    assert_same_share(valid_share(world, x), valid_share(world, own.states[-1]), 300)


@pytest.mark.parametrize(
    ("process", "sampler", "own", "steps"),
    [
        (Absorbing, "corrected", "corrected", 16),
        (Absorbing, "planned", "spread", 12),
        (Absorbing, "one at a time", "first_hitting", 64),
        (Uniform, "tweedie", "tweedie", 4),
    ],
)
def test_each_sampler_writes_as_well_as_pythons(opened, process, sampler, own, steps):
    """With the exact posterior, around the words of a template. Size and power as above."""
    world = Fables()
    noise = process(len(world.alphabet))
    prompt = world.prompts[0] if process is Absorbing else ""
    x = sample(
        world.score(noise), noise, prompt=prompt, count=300, length=64, alphabet=world.alphabet, steps=steps,
        sampler=own, generator=torch.Generator().manual_seed(1),
    ).states[-1]  # fmt: skip
    tab = opened(page(tiny(process, world), world), bypass_csp=True)
    given = [None if c == "_" else world.alphabet.characters.index(c) for c in prompt.ljust(64, "_")]
    drawn, _ = texts(tab, 300, given=given, sampler=sampler, steps=steps, exact=True)
    for state, i in zip(given, range(64)):
        assert state is None or (drawn[:, i] == state).all()
    assert_same_share(valid_share(world, drawn), valid_share(world, x), 300)


def assert_same_share(a: float, b: float, n: int) -> None:
    mean = (a + b) / 2
    assert abs(a - b) <= 3 * (2 * mean * (1 - mean) / n) ** 0.5, (a, b)
