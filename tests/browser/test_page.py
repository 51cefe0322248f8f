"""The live page, opened from the file system without a network: what it computes, and how it is used."""

import pytest
import torch

from tinysedd import Alphabet, Config, Fables, Transformer, Uniform, load, sample
from tinysedd.show import page

from .conftest import FLAGS, OFFLINE
from .needs import CHROMIUM, expect, sync_playwright

ASK = "async (asked) => (await tinysedd.ask('posterior', asked)).log"
HOSTILE = "</script><img src=x onerror=document.title='hacked'>&amp;"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, OFFLINE])
        yield started
        started.close()


def opened(browser, folder, html: str, width: int = 1280, **options):
    """The page in a tab of its own, and the list of its errors."""
    path = folder / "page.html"
    path.write_text(html, "utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 800}, offline=True, reduced_motion="reduce", **options
    )
    tab, problems = context.new_page(), []
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(path.as_uri())
    return tab, problems


@pytest.mark.parametrize("name", ["fables", "fables-uniform", "shakespeare", "plain"])
def test_the_posteriors_are_those_of_python(browser, tmp_path, name):
    """The authority is the network in 64 bits, with the norms' eps of 32 bits."""
    if name == "plain":
        alphabet = Alphabet("abcdé 漢")
        torch.manual_seed(0)
        model = Transformer(Uniform(len(alphabet)), Config(layers=1, width=32), alphabet, 20)
        torch.nn.init.normal_(model.head.weight, std=0.1)  # a new network knows nothing: make it say something
        model.load_state_dict({key: w.half().float() for key, w in model.state_dict().items()})
    else:
        model = load(name)
    world = Fables() if name.startswith("fables") else None
    tab, problems = opened(browser, tmp_path, page(model, world), bypass_csp=True)  # `evaluate` needs the bypass
    network, process = model.double(), model.process
    for module in network.modules():
        if isinstance(module, torch.nn.RMSNorm):
            module.eps = torch.finfo(torch.float32).eps
    generator, count = torch.Generator().manual_seed(1), 100 if name != "shakespeare" else 30
    for k in range(count):
        random = torch.randint(process.num_tokens, (1, model.length), generator=generator)
        x0 = random if world is None else world.sample(1, generator)
        sigma = torch.tensor([(0.1, 0.5, 1.0, 3.0)[k % 4]], dtype=torch.float64)
        x = process.perturb(x0, sigma, generator)
        asked = {"x": x[0].tolist(), "sigma": sigma.item(), "exact": False}
        got = torch.tensor(tab.evaluate(ASK, asked), dtype=torch.float64).view(model.length, -1)
        with torch.no_grad():
            torch.testing.assert_close(got, network.log_posterior(x, sigma)[0].double(), atol=1e-3, rtol=0)
        if world is not None and k % 4 == 0:
            exact = [float("-inf") if value is None else value for value in tab.evaluate(ASK, asked | {"exact": True})]
            joint = world.marginals(process.log_likelihood(x, sigma).exp())[0]
            want = joint / joint.sum(-1, keepdim=True)
            torch.testing.assert_close(
                torch.tensor(exact, dtype=torch.float64).view(64, -1).exp(), want, atol=1e-6, rtol=0
            )
    assert problems == []
