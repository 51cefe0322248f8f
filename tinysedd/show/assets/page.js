"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const about = JSON.parse(find("about").textContent);
  const letters = [...about.alphabet];
  const L = about.length;
  const masks = about.process === "Absorbing";
  const GAP = masks ? letters.length : null; // the state of a masked character
  const BREAK = "⏎"; // how a line break looks
  const SAMPLERS = masks
    ? { corrected: "groups, then corrections (best)", planned: "groups", "one at a time": "one at a time" }
    : { tweedie: "all characters at once, a little each step" };
  const slow = matchMedia("(prefers-reduced-motion: reduce)");

  const seen = (state) => (state === GAP ? "·" : letters[state] === "\n" ? BREAK : letters[state]);
  const named = (state) => (state === GAP || state === null ? "gap" : { " ": "space", "\n": "line break" }[letters[state]]
    ?? letters[state]);
  const percent = (p) => (p >= 0.9995 ? "100 %" : p >= 0.0995 ? `${(100 * p).toFixed(0)} %` : p >= 0.0005
    ? `${(100 * p).toFixed(1)} %` : "0 %");
  const element = (tag, text = "", name = "") => {
    const made = document.createElement(tag);
    made.textContent = text;
    made.className = name;
    return made;
  };

  // ---- the worker ----

  const code = ["engine", "worker"].map((id) => find(id).textContent);
  const worker = new Worker(URL.createObjectURL(new Blob(code, { type: "text/javascript" })));
  const waiting = new Map();
  let asked = 0;

  /** Ask the worker. Returns a promise of its answer; `each` is called with what it sends before. */
  function ask(question, values, each = () => {}) {
    return new Promise((resolve, reject) => {
      waiting.set(++asked, { resolve, reject, each });
      worker.postMessage({ id: asked, question, values });
    });
  }
  worker.onmessage = ({ data: { id, item, answer, error } }) => {
    const { resolve, reject, each } = waiting.get(id);
    if (item) return each(item);
    waiting.delete(id);
    error ? reject(new Error(error)) : resolve(answer);
  };
  worker.onerror = (event) => say(`The model could not start: ${event.message}`);
  const say = (text) => (find("message").textContent = text);

  // ---- the text ----

  let given = new Array(L).fill(null); // the states that the reader gave; null is a gap
  let states = [{ x: given.map((state) => state ?? GAP), drawn: [] }];
  let at = 0; // which of the states is shown
  let selected = null; // a position
  let writing = false;
  let run = 0;
  let timer = null;

  const cells = given.map((_, i) => {
    const cell = element("button");
    cell.type = "button";
    cell.tabIndex = i ? -1 : 0;
    cell.onclick = () => select(i);
    find("text").append(cell);
    return cell;
  });

  function show(index) {
    at = Math.min(Math.max(index, 0), states.length - 1);
    const { x, drawn } = states[at];
    cells.forEach((cell, i) => {
      const free = given[i] === null;
      const kind = !free ? "given" : x[i] === GAP ? "gap" : drawn.includes(i) ? "new" : "";
      cell.textContent = x[i] === null ? "·" : seen(x[i]);
      cell.className = x[i] === null ? "gap" : kind;
      const how = { given: ", given", new: ", just written", gap: "", "": "" }[cell.className];
      cell.setAttribute("aria-label", `Position ${i + 1}: ${named(x[i])}${how}`);
      cell.setAttribute("aria-pressed", String(i === selected));
    });
    find("step").max = states.length - 1;
    find("step").value = at;
    const gaps = x.filter((state) => state === GAP || state === null).length;
    const caption = states.length === 1 ? "" : `step ${at} of ${states.length - 1}${masks ? `, ${gaps} gaps` : ""}`;
    find("caption").textContent = writing ? `${caption}, writing …` : caption;
    find("step").setAttribute("aria-valuetext", caption);
    find("play").textContent = timer === null ? "Play" : "Pause";
    judge();
    look();
    addNoise();
  }

  const complete = (x) => x.every((state) => state !== null && state !== GAP);

  async function judge() {
    const verdict = find("verdict");
    const { x } = states[at];
    if (!about.world || writing || !complete(x)) return (verdict.textContent = "");
    const { failure } = await ask("judge", { line: x.map((state) => letters[state]).join("") });
    if (x !== states[at].x) return;
    verdict.textContent = failure === null ? "✓ This is a fable."
      : `✗ Not a fable, because of position ${failure.at + 1}: ${failure.reason}.`;
  }

  /** Give characters, and forget what was written. */
  function give(next, fromBox = false) {
    pause();
    run++;
    writing = false;
    given = next;
    states = [{ x: given.map((state) => state ?? GAP), drawn: [] }];
    say("");
    if (!fromBox) {
      const text = given.map((state) => (state === null ? "_" : seen(state))).join("");
      find("prompt").value = text.replace(/_+$/, "");
    }
    show(0);
  }

  find("prompt").oninput = () => {
    const typed = [...find("prompt").value];
    const unknown = typed.find((c) => c !== "_" && !letters.includes(c === BREAK ? "\n" : c));
    if (unknown) return say(`The model has never seen “${unknown}”. It knows: ${letters.map((c) => c === "\n" ? BREAK : c).join("")}`);
    if (typed.length > L) return say(`The model writes ${L} characters; your text has ${typed.length}.`);
    give(given.map((_, i) => (typed[i] === undefined || typed[i] === "_" ? null
      : letters.indexOf(typed[i] === BREAK ? "\n" : typed[i]))), true);
  };

  /** Put a character at a position, or a gap. The rest of a finished text is kept, so that only the gaps are written. */
  function put(i, state) {
    const { x } = states[at];
    const next = states.length > 1 && complete(x) ? x.slice() : given.slice();
    next[i] = state;
    give(next);
    select(i);
  }

  function select(i) {
    selected = i;
    cells.forEach((cell, j) => (cell.tabIndex = j === i ? 0 : -1));
    cells[i].focus();
    show(at);
  }

  find("text").onkeydown = (event) => {
    const i = cells.indexOf(document.activeElement);
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const across = Math.max(cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop), 1);
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -i, End: L - 1 - i };
    const letter = letters.indexOf(event.key);
    if (event.key in moves) {
      select(Math.min(Math.max(i + moves[event.key], 0), L - 1));
    } else if (event.key === "Delete" || event.key === "Backspace" || event.key === "_") {
      put(i, null);
      if (event.key === "Backspace" && i) select(i - 1);
    } else if (letter >= 0) {
      put(i, letter);
      if (i + 1 < L) select(i + 1);
    } else {
      return;
    }
    event.preventDefault();
  };

  // ---- write ----

  for (const [name, text] of Object.entries(SAMPLERS)) find("sampler").append(new Option(text, name));
  find("truth-label").hidden = !about.world;

  async function write() {
    const mine = ++run;
    const number = (id) => Math.round(Math.min(Math.max(Number(find(id).value) || 0, find(id).min), find(id).max));
    for (const id of ["steps", "seed"]) find(id).value = number(id);
    pause();
    say("");
    states = [];
    writing = true;
    const values = { given, sampler: find("sampler").value, steps: number("steps"), seed: number("seed"),
      exact: find("truth").checked };
    try {
      await ask("write", values, (item) => {
        if (mine !== run) return;
        states.push(item);
        if (states.length === 1 || !slow.matches) show(states.length - 1);
      });
    } catch (error) {
      if (mine === run) say(values.exact ? "No fable fits these characters, so the truth has nothing to write." : error.message);
    }
    if (mine !== run) return;
    writing = false;
    show(states.length - 1);
  }
  find("clear").onclick = () => give(given.map(() => null));
  find("write").onclick = () => {
    if (states.length > 1) find("seed").value = Number(find("seed").value) + 1; // the same button, another text
    write();
  };

  // ---- step through it ----

  function pause() {
    clearInterval(timer);
    timer = null;
    find("play").textContent = "Play";
  }
  find("play").onclick = () => {
    if (timer !== null) return pause();
    if (at === states.length - 1) show(0);
    timer = setInterval(() => (at < states.length - 1 ? show(at + 1) : pause()), slow.matches ? 800 : 120);
    find("play").textContent = "Pause";
  };
  find("back").onclick = () => { pause(); show(at - 1); };
  find("forward").onclick = () => { pause(); show(at + 1); };
  find("step").oninput = () => { pause(); show(Number(find("step").value)); };

  for (const [name, sign, text] of [["given", "a", "given"], ["gap", "·", "gap"], ["new", "a", "just written"]]) {
    if (name === "gap" && !masks) continue;
    const item = element("span");
    item.append(element("b", sign, name), ` ${text}`);
    find("legend").append(item);
  }

  // ---- look ----

  async function look() {
    if (selected === null || writing || timer !== null) return;
    const [i, { x }, now] = [selected, states[at], at];
    if (!masks && !complete(x)) return;
    const t = masks || states.length === 1 ? 1 : Math.max(1 - at / (states.length - 1), 0.01);
    const { model, exact } = await ask("look", { x, i, t });
    if (i !== selected || now !== at || x !== states[at].x) return;
    const none = exact !== null && exact.some(Number.isNaN);
    const truth = exact === null || none ? null : exact;
    find("look-hint").textContent = `Position ${i + 1}, given the rest of the text. Choose a letter to put it there.`
      + (none ? " No fable fits the rest, so there is no exact answer." : "");
    const best = [...model.keys()].sort((a, b) => model[b] - model[a]).slice(0, 10);
    const rows = best.map((a) => {
      const row = element("button");
      row.type = "button";
      const pair = element("span", "", "pair");
      const numbers = element("span", percent(model[a]), "numbers");
      pair.append(bar(model[a], "model"));
      if (truth) {
        pair.append(bar(truth[a], "exact"));
        numbers.append(document.createElement("br"), percent(truth[a]));
      }
      row.append(element("span", seen(a) === " " ? "␣" : seen(a)), pair, numbers);
      row.setAttribute("aria-label", `${named(a)}: model ${percent(model[a])}`
        + (truth ? `, exact ${percent(truth[a])}` : ""));
      row.onclick = () => put(i, a);
      return row;
    });
    const key = element("p", "", "key");
    key.append(bar(null, "model"), "model");
    if (truth) key.append(bar(null, "exact"), "exact");
    const gap = element("button", "Make it a gap");
    gap.type = "button";
    gap.onclick = () => put(i, null);
    find("bars").replaceChildren(key, ...rows, ...(given[i] === null ? [] : [gap]));
  }

  function bar(p, name) {
    const made = element("i", "", name);
    if (p !== null) made.style.width = `${100 * p}%`;
    return made;
  }

  // ---- noise ----

  let noiseSeed = 1;
  async function addNoise() {
    const { x } = states[at];
    const t = Number(find("time").value);
    if (writing || timer !== null) return;
    if (!complete(x)) {
      find("noisy").textContent = "";
      find("noise-caption").textContent = "write a text first";
      return;
    }
    const noisy = (await ask("noise", { x, t, seed: noiseSeed })).x;
    const changed = noisy.filter((state, i) => state !== x[i]).length;
    find("noise-caption").textContent = `t = ${t.toFixed(2)}, ${changed} of ${L} characters changed`;
    find("time").setAttribute("aria-valuetext", find("noise-caption").textContent);
    find("noisy").replaceChildren(...noisy.map((state, i) =>
      element("span", seen(state), state === GAP ? "gap" : state !== x[i] ? "new" : "")));
  }
  find("time").oninput = addNoise;
  find("new-noise").onclick = () => { noiseSeed++; addNoise(); };

  // ---- begin ----

  for (const prompt of (about.world?.prompts ?? []).slice(0, 3)) {
    const example = element("button", prompt.trimEnd());
    example.type = "button";
    example.onclick = () => { find("prompt").value = prompt.trimEnd(); find("prompt").oninput(); write(); };
    find("examples").append(example);
  }
  show(0);
  const texts = ["weights", "edges"].map((id) => find(id).textContent);
  ask("start", { about, weights: texts[0], edges: texts[1] }).then(write, (error) => say(error.message));
  window.tinysedd = { ask }; // for tests and the curious
})();
