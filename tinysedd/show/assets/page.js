// What the page shows. It asks the worker for all that takes time; states of characters are indices of the alphabet.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const about = JSON.parse(find("about").textContent);
  const letters = [...about.alphabet];
  const L = about.length;
  const masks = about.process === "Absorbing";
  const MASK = masks ? letters.length : null; // without masks, a gap has no state before it is written
  const BREAK = "⏎"; // how a line break looks
  const SAMPLERS = masks
    ? { corrected: "groups, corrected (best)", planned: "groups", "one at a time": "one at a time" }
    : { tweedie: "all characters, a little at a time" };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const isGap = (state) => state === null || state === MASK;
  const complete = (x) => !x.some(isGap);
  const say = (text, where = "message") => (find(where).textContent = text);

  /** How a character looks in a cell. */
  function seen(state) {
    const character = isGap(state) ? "·" : letters[state];
    if (character === " ") return character;
    if (/[\p{C}\p{Z}]/u.test(character)) return { "\n": BREAK, "\t": "⇥" }[character] ?? "\ufffd";
    return /\p{M}/u.test(character) ? `◌${character}` : character;
  }

  /** How a character is called. */
  function named(state) {
    if (isGap(state)) return "gap";
    const name = { " ": "space", "\n": "line break", "\t": "tab" }[letters[state]];
    return name ?? (seen(state) === "\ufffd" ? `U+${letters[state].codePointAt(0).toString(16)}` : letters[state]);
  }

  /** The state of a character that was typed, -1 if the model does not know it. */
  function stateOf(typed) {
    const character = typed === BREAK && !letters.includes(typed) ? "\n" : typed;
    return letters.includes(character) ? letters.indexOf(character) : letters.indexOf(character.toLowerCase());
  }

  /** A probability as a percentage, with a decimal near 0 and near 1. */
  function percent(p) {
    if (p > 0 && p < 0.0005) return "<0.1%";
    const near = (p > 0 && p < 0.0995) || (p > 0.9905 && p < 0.9995);
    return `${(100 * p).toFixed(near ? 1 : 0)}%`;
  }

  function element(tag, text = "", name = "") {
    const made = document.createElement(tag);
    made.textContent = text; // never HTML: the text comes from a stranger's corpus
    made.className = name;
    if (tag === "button") made.type = "button";
    return made;
  }

  // ---- the worker ----

  const waiting = new Map();
  let asked = 0;
  let worker = null;
  try {
    const code = ["engine", "worker"].map((id) => find(id).textContent);
    worker = new Worker(URL.createObjectURL(new Blob(code, { type: "text/javascript" })));
  } catch {
    say("This viewer does not let a page compute: save the page as a file and open it in a browser.");
    return;
  }
  worker.onerror = (event) => say(`The model could not start: ${event.message}`);
  worker.onmessage = ({ data: { id, item, answer, error } }) => {
    const { resolve, reject, each } = waiting.get(id);
    if (item) return each(item);
    waiting.delete(id);
    error ? reject(new Error(error)) : resolve(answer);
  };

  /** Ask the worker. Returns a promise of its answer; `each` is called with what it sends before. */
  function ask(question, values, each = () => {}) {
    return new Promise((resolve, reject) => {
      waiting.set(++asked, { resolve, reject, each });
      worker.postMessage({ id: asked, question, values });
    });
  }

  /** A job that runs again after it has ended, once, however often it was called meanwhile. */
  function newest(job) {
    let [busy, again] = [false, false];
    return async () => {
      again = true;
      if (busy) return;
      busy = true;
      try {
        while (again) {
          again = false;
          await job();
        }
      } finally {
        busy = false;
      }
    };
  }

  // ---- the text ----

  let given = new Array(L).fill(null); // the states that the reader gave; null is a gap
  let states = []; // {x, drawn} for each step
  let at = 0; // which of them is shown
  let selected = null; // a position
  let run = 0; // the number of the latest run of the model
  let writing = false; // whether it is still under way
  let timer = null; // set while playing
  let undone = null; // the run that a change of single characters has replaced: {given, states, at}

  const cells = given.map((_, i) => {
    const cell = element("button");
    cell.tabIndex = i ? -1 : 0;
    cell.onclick = () => {
      select(i);
      showLook();
    };
    find("text").append(cell);
    return cell;
  });

  /** On a phone, scroll until "Look inside" is seen below the text. */
  function showLook() {
    const top = (id) => find(id).getBoundingClientRect().top;
    if (top("look") < Math.max(top("text"), innerHeight / 2)) return;
    find("text").scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
  }

  /** Show a step. */
  function show(index) {
    at = Math.min(Math.max(index, 0), states.length - 1);
    const { x, drawn } = states[at];
    cells.forEach((cell, i) => {
      const kind = given[i] !== null ? "given" : isGap(x[i]) ? "gap" : drawn.includes(i) ? "new" : "";
      const how = { given: ", given", new: ", just written" }[kind] ?? "";
      cell.textContent = seen(x[i]);
      cell.className = kind;
      cell.setAttribute("aria-label", `Position ${i + 1}: ${named(x[i])}${how}`);
      cell.setAttribute("aria-pressed", String(i === selected));
    });
    showSteps();
    find("verdict").textContent = "";
    if (timer !== null) return;
    if (masks || !writing) look(); // the noise of a step depends on how many there are
    if (!writing) [judge, noise].forEach((update) => update());
  }

  function showSteps() {
    const gaps = states[at].x.filter(isGap).length;
    const correcting = masks && at && complete(states[at - 1].x);
    const written = states.length > 1 || writing;
    const caption = !written ? "" : `step ${at}${writing ? " …" : ` of ${states.length - 1}`}`
      + (correcting ? ", correcting" : masks ? `, ${gaps} gaps` : "");
    for (const id of ["play", "back", "forward", "step"]) find(id).disabled = !written;
    find("step").max = states.length - 1;
    find("step").value = at;
    find("step").setAttribute("aria-valuetext", caption);
    find("caption").textContent = caption;
    find("play").textContent = timer === null ? "Play" : "Pause";
  }

  const judge = newest(async () => {
    const { x } = states[at];
    const noisy = !masks && (at < states.length - 1 || !complete(x)); // it cannot be valid yet
    if (!about.world || noisy) return;
    const { failure } = await ask("judge", { x });
    if (x !== states[at].x || writing || timer !== null) return;
    const whole = complete(x);
    find("verdict").textContent = failure === null ? (whole ? "✓ Valid: its grammar can write this." : "")
      : whole ? `✗ Not valid. Position ${failure.at + 1}: ${failure.reason}.`
      : `✗ No valid text fits from position ${failure.at + 1} on. At the top is what fits.`;
    if (failure !== null && failure.at < L) cells[failure.at].classList.add("wrong");
  });

  /** Give characters. What was written is forgotten, unless it can be undone. */
  function give(next, canUndo = null) {
    pause();
    undone = canUndo;
    run++;
    writing = false;
    given = next;
    states = [{ x: given.map((state) => state ?? MASK), drawn: [] }];
    say("");
    say("", "letter-message");
    show(0);
  }

  /** What was given, as it can be typed: _ is a gap, and so is everything after the end. */
  function showPrompt() {
    const typed = given.map((state) => (state === null ? "_" : letters[state] === "\n" ? BREAK : letters[state]));
    find("prompt").value = typed.join("").replace(/_+$/, "");
    find("prompt").setCustomValidity("");
  }

  find("prompt").oninput = () => {
    const typed = [...find("prompt").value];
    const problem = refusal(typed);
    find("prompt").setCustomValidity(problem); // Write has to wait until it is mended
    if (problem) return say(problem);
    give(given.map((_, i) => (i >= typed.length || typed[i] === "_" ? null : stateOf(typed[i]))));
  };

  /** Why the model cannot read what was typed; empty if it can. */
  function refusal(typed) {
    if (typed.length > L) return `The model writes ${L} characters; your text has ${typed.length}.`;
    const unknown = typed.find((character) => character !== "_" && stateOf(character) < 0);
    if (unknown === undefined) return "";
    const known = letters.slice(0, 100).map((_, state) => named(state)).join(" ");
    return `The model has never seen “${unknown}”. It knows: ${known}`;
  }

  find("insert").onclick = () => { // on a phone's keyboard, _ is hard to reach
    const prompt = find("prompt");
    prompt.setRangeText("_", prompt.selectionStart, prompt.selectionEnd, "end");
    prompt.focus();
    prompt.oninput();
  };
  find("prompt").onkeydown = (event) => {
    if (event.key === "Enter" && !event.isComposing) write();
  };

  /** Put a character, or a gap, at the selected position. All else that is seen is kept, unless it is still noise. */
  function put(state) {
    const { x } = states[at];
    const keep = masks || (at && at === states.length - 1 && !writing);
    const next = keep ? x.map((other) => (isGap(other) ? null : other)) : given.slice();
    next[selected] = state;
    give(next, states.length > 1 ? { given, states, at } : undone);
    showPrompt();
  }
  find("undo").onclick = () => {
    const before = undone;
    give(before.given);
    states = before.states;
    show(before.at);
    showPrompt();
    cells[selected].focus({ preventScroll: true });
  };

  function select(i, focus = true) {
    selected = Math.min(Math.max(i, 0), L - 1);
    cells.forEach((cell, j) => (cell.tabIndex = j === selected ? 0 : -1));
    if (focus) cells[selected].focus();
    pause();
    show(at);
  }

  find("text").onkeydown = (event) => {
    const i = cells.indexOf(document.activeElement);
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const across = Math.max(cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop), 1);
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -i, End: L };
    const typed = event.key === "Enter" ? "\n" : event.key;
    if (event.key in moves) {
      select(i + moves[event.key]);
    } else if (["Delete", "Backspace", "_"].includes(event.key)) {
      selected = i;
      put(null);
      select(event.key === "Backspace" ? i - 1 : i);
    } else if ([...typed].length === 1 && stateOf(typed) >= 0) {
      selected = i;
      put(stateOf(typed));
      select(i + 1);
    } else {
      return;
    }
    event.preventDefault();
  };

  // ---- write ----

  for (const [name, text] of Object.entries(SAMPLERS)) find("sampler").append(new Option(text, name));
  find("truth-label").hidden = !about.world;
  find("steps").defaultValue = Math.max(Math.round(L / 2), 16);
  find("sampler").onchange = () => (find("steps").disabled = find("sampler").value === "one at a time");
  find("more").open = matchMedia("(min-width: 60rem)").matches; // on a phone, the text comes first

  /** What the reader asks for, with numbers brought into their range. */
  function settings() {
    for (const id of ["steps", "seed"]) {
      const { value, defaultValue, min, max } = find(id);
      find(id).value = Math.round(Math.min(Math.max(Number(value || defaultValue), min), max));
    }
    return { given, sampler: find("sampler").value, steps: Number(find("steps").value),
      seed: Number(find("seed").value), exact: find("truth").checked };
  }

  let before = ""; // the settings of the last run
  async function write() {
    if (!find("prompt").validity.valid) return say(find("prompt").validationMessage);
    if (states.length === 1 && complete(given)) return say("There is no gap to fill: select a character and make it a gap.");
    if (JSON.stringify(settings()) === before) find("seed").value = Number(find("seed").value) + 1; // another text
    const values = settings();
    before = JSON.stringify(values);
    const mine = ++run;
    undone = null;
    say("");
    pause();
    states = [{ x: given.map((state) => state ?? MASK), drawn: [] }];
    writing = true;
    if (!calm.matches) play();
    show(0);
    try {
      await ask("write", values, ({ x, drawn, step }) => {
        if (mine !== run) return;
        states[step] = { x, drawn };
        if (step === 0 || (step === 1 && timer !== null)) show(step);
        showSteps();
      });
    } catch (error) {
      if (mine === run) say(error.message);
    }
    if (mine !== run) return;
    writing = false;
    show(timer === null && calm.matches ? states.length - 1 : at);
  }
  find("write").onclick = write;
  find("clear").onclick = () => {
    give(given.map(() => null));
    showPrompt();
    write();
  };

  /** A button that writes around a prompt. */
  function addExample(prompt) {
    const example = element("button", prompt.replace(/^_+/, "…"));
    example.onclick = () => {
      find("prompt").value = prompt;
      find("prompt").oninput();
      write();
    };
    find("examples").append(example);
  }
  if (about.world) {
    const prompts = about.world.prompts.map((prompt) => prompt.trimEnd());
    const half = (prompt) => new RegExp(`^.{${Math.floor(prompt.length / 2)}}\\S*`, "su").exec(prompt)[0];
    const [first, last] = [prompts[0], prompts.at(-1)];
    addExample(half(first));
    addExample("_".repeat([...half(last)].length) + last.slice(half(last).length)); // the end first
    const lists = Object.entries(about.world.lists).map(([name, words]) => `${name}: ${[...new Set(words)].join(", ")}`);
    find("words").append(...[...prompts, ...lists].map((line) => element("p", line)));
    find("words").hidden = false;
  }

  // ---- step through it ----

  function pause() {
    clearInterval(timer);
    timer = null;
    find("play").textContent = "Play";
  }

  function play() {
    const pace = calm.matches ? 800 : Math.min(Math.max(4000 / find("steps").value, 40), 200); // milliseconds
    timer = setInterval(() => {
      const atEnd = at >= states.length - 1;
      if (atEnd && writing) return; // wait for the next step
      if (atEnd) pause();
      show(at + 1);
    }, pace);
    find("play").textContent = "Pause";
  }
  find("play").onclick = () => {
    const playing = timer !== null;
    const atEnd = at === states.length - 1 && !writing;
    pause();
    if (!playing) play();
    show(atEnd && !playing ? 0 : at);
  };
  const go = (index) => {
    pause();
    show(index);
  };
  find("back").onclick = () => go(at - 1);
  find("forward").onclick = () => go(at + 1);
  find("step").oninput = () => go(Number(find("step").value));

  for (const [name, sign, text] of [["given", "a", "given"], ["gap", "·", "gap"], ["new", "a", "just written"]]) {
    const item = element("span");
    item.append(element("b", sign, name), text);
    find("legend").append(item);
  }

  // ---- look inside ----

  const look = newest(async () => {
    if (selected === null) return;
    const [i, { x }] = [selected, states[at]];
    find("edit").hidden = false;
    find("undo").hidden = undone === null;
    find("gap").textContent = `Make position ${i + 1} a gap`;
    find("gap").disabled = given[i] === null && isGap(x[i]);
    if (!masks && !complete(x)) {
      find("look-hint").textContent = "This kind of noise has no gaps: write first, then look at any step.";
      return find("bars").replaceChildren();
    }
    const t = masks || states.length === 1 ? 1 : Math.max(1 - at / (states.length - 1), 0.01);
    const { model, exact } = await ask("look", { x, i, t });
    if (i !== selected || x !== states[at].x) return;
    find("look-hint").textContent = (masks ? `What belongs at position ${i + 1}, given the rest of the text?`
      : `What was at position ${i + 1} before the noise of this step?`)
      + (about.world && !exact ? " No valid text fits the rest, so there is no exact answer." : " Tap a row to put it there.");
    const key = exact ? ["model", "exact"] : ["model"];
    find("key").replaceChildren(...key.map((name) => {
      const item = element("span");
      item.append(element("i", "", name), name);
      return item;
    }));
    const best = [...model.keys()].sort((a, b) => model[b] - model[a]).slice(0, 10);
    find("bars").replaceChildren(...best.map((state) => row(state, model[state], exact?.[state])));
  });

  /** A row of the ten best: a character, its probability according to the model, and the exact one if it is known. */
  function row(state, model, exact) {
    const made = element("button");
    const [pair, numbers] = [element("span", "", "pair"), element("span", percent(model), "numbers")];
    pair.append(bar(model, "model"));
    if (exact !== undefined) {
      pair.append(bar(exact, "exact"));
      numbers.append(document.createElement("br"), percent(exact));
    }
    made.append(element("span", letters[state] === " " ? "␣" : seen(state)), pair, numbers);
    const also = exact === undefined ? "" : `, exact ${percent(exact)}`;
    made.setAttribute("aria-label", `${named(state)}: model ${percent(model)}${also}`);
    made.onclick = () => {
      put(state);
      cells[selected].focus({ preventScroll: true });
    };
    return made;
  }

  function bar(p, name) {
    const made = element("i", "", name);
    made.style.width = `${100 * p}%`;
    made.style.visibility = p ? "" : "hidden"; // else its smallest width would show
    return made;
  }

  find("gap").onclick = () => put(null);
  /** Typing on a phone. Its keyboard may compose each letter like a Chinese character: a letter that the model does not
   * know can then still become one that it knows. */
  function onTyped(event) {
    const typed = [...find("letter").value].at(-1);
    if (typed === undefined || (event.isComposing && stateOf(typed) < 0)) return;
    find("letter").value = "";
    if (stateOf(typed) < 0) return say(`The model has never seen “${typed}”.`, "letter-message");
    put(stateOf(typed));
    select(selected + 1, false);
  }
  for (const event of ["input", "compositionend"]) find("letter").addEventListener(event, onTyped);

  // ---- noise ----

  let noiseSeed = 1;
  find("noise-hint").textContent = "The model learned by undoing noise, which "
    + (masks ? "turns characters into gaps" : "replaces characters by random ones") + " until nothing of a text is left.";
  const noise = newest(async () => {
    const { x } = states.at(-1);
    const t = Number(find("time").value);
    const whole = complete(x);
    const noisy = whole ? (await ask("noise", { x, t, seed: noiseSeed })).x : [];
    const changed = noisy.filter((state, i) => state !== x[i]).length;
    find("noise-caption").textContent = whole ? `time ${t.toFixed(2)}, ${changed} of ${L} characters changed`
      : "There is no whole text yet.";
    find("time").setAttribute("aria-valuetext", find("noise-caption").textContent);
    find("noisy").replaceChildren(...noisy.map((state, i) =>
      element("span", seen(state), state === MASK ? "gap" : state !== x[i] ? "new" : "")));
  });
  find("time").oninput = noise;
  find("new-noise").onclick = () => {
    noiseSeed++;
    noise();
  };

  // ---- begin ----

  const count = about.weights.reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  find("facts").textContent = `${(count / 1e6).toFixed(1)} million weights; texts of ${L} characters, `
    + `${letters.length} different ones; noise: ${masks ? "masks" : "random characters"}.`;
  const [weights, edges] = ["weights", "edges"].map((id) => find(id).textContent);
  ask("start", { about, weights, edges }).then(write, (error) => say(error.message));
  give(given);
  window.tinysedd = { ask }; // for tests and the curious
})();
