// The model, its processes, its samplers and the exact world, in plain JavaScript: the same numbers as the Python
// package. A text is an array of L states; everything here works on one text at a time and knows nothing of the page.
"use strict";

const Engine = (() => {
  // ---- numbers ----

  /** A seeded random number generator in [0, 1) with 53 bits (sfc32, seeded by splitmix32). */
  function generator(seed) {
    let h = seed | 0;
    const mix = () => {
      h = (h + 0x9e3779b9) | 0;
      let z = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return z ^ (z >>> 15);
    };
    let [a, b, c, d] = [mix(), mix(), mix(), mix()];
    const next = () => {
      const t = (((a + b) | 0) + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (c << 21) | (c >>> 11);
      c = (c + t) | 0;
      return t >>> 0;
    };
    for (let i = 0; i < 12; i++) next();
    return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  }

  /** Draw an index with probability proportional to p. Throws if nothing is possible. */
  function draw(p, random) {
    let total = 0;
    for (const value of p) total += value;
    if (!(total > 0)) throw new RangeError("these probabilities are all 0");
    let u = random() * total;
    let last = 0;
    for (let i = 0; i < p.length; i++) {
      if (p[i] > 0) last = i;
      u -= p[i];
      if (u < 0 && p[i] > 0) return i;
    }
    return last;
  }

  /** The values of finite 16-bit floats. Their bits, moved into the places of a 32-bit float, give the value divided by
   * 2^112, because the two formats count exponents from 15 and from 127. */
  function halves(bits) {
    const words = new Uint32Array(bits.length);
    for (let i = 0; i < bits.length; i++) words[i] = ((bits[i] & 0x8000) << 16) | ((bits[i] & 0x7fff) << 13);
    const values = new Float32Array(words.buffer);
    for (let i = 0; i < values.length; i++) values[i] *= 2 ** 112;
    return values;
  }

  /** x (rows, K) times w (M, K) transposed: (rows, M). Four rows by two columns at a time keep 8 sums in registers. */
  function multiply(x, w, rows, K, M) {
    const y = new Float64Array(rows * M);
    let i = 0;
    for (; i + 3 < rows; i += 4) {
      const x0 = i * K, x1 = x0 + K, x2 = x1 + K, x3 = x2 + K;
      let j = 0;
      for (; j + 1 < M; j += 2) {
        const w0 = j * K, w1 = w0 + K;
        let a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0;
        for (let k = 0; k < K; k++) {
          const u = w[w0 + k], v = w[w1 + k];
          const a = x[x0 + k], b = x[x1 + k], c = x[x2 + k], d = x[x3 + k];
          a0 += a * u; a1 += a * v;
          b0 += b * u; b1 += b * v;
          c0 += c * u; c1 += c * v;
          d0 += d * u; d1 += d * v;
        }
        y[i * M + j] = a0; y[i * M + j + 1] = a1;
        y[(i + 1) * M + j] = b0; y[(i + 1) * M + j + 1] = b1;
        y[(i + 2) * M + j] = c0; y[(i + 2) * M + j + 1] = c1;
        y[(i + 3) * M + j] = d0; y[(i + 3) * M + j + 1] = d1;
      }
      for (; j < M; j++) for (let r = 0; r < 4; r++) y[(i + r) * M + j] = dot(x, (i + r) * K, w, j * K, K);
    }
    for (; i < rows; i++) for (let j = 0; j < M; j++) y[i * M + j] = dot(x, i * K, w, j * K, K);
    return y;
  }

  function dot(x, at, w, from, K) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += x[at + k] * w[from + k];
    return sum;
  }

  // ---- the network: model.py and fast/model.py ----

  class Network {
    /** about: what live.py says of the model. bytes: its weights, one tensor after the other, each of 16-bit or of
     * 32-bit floats, in little-endian order, which is that of all browsers. */
    constructor(about, bytes) {
      Object.assign(this, about);
      this.N = [...about.alphabet].length;
      this.w = {};
      let start = 0;
      for (const [name, shape, size] of about.weights) {
        const end = start + size * shape.reduce((a, b) => a * b, 1);
        const part = bytes.slice(start, end).buffer;
        this.w[name] = size === 2 ? halves(new Uint16Array(part)) : new Float32Array(part);
        start = end;
      }
    }

    /** log p(x0_i = a | x), (K, N), at K positions of a text x at total noise sigma, which a model for masks does not
     * need. The last block's MLP, most of its work, is computed at these positions only. */
    logPosterior(x, sigma, positions) {
      const { width, heads, layers, shift } = this.config;
      let h = this.embed(x);
      const noise = this.w["noise.inner.weight"] ? this.noise(sigma) : null;
      for (let layer = 0; layer < layers; layer++) {
        const w = (name) => this.w[`blocks.${layer}.${name}.weight`];
        const m = noise ? multiply(noise, w("modulate"), 1, width, 4 * width) : null;
        add(h, this.attend(normalize(h, w("norm1"), m, 0), w("qkv"), w("out"), x.length, width, heads));
        let z = normalize(h, w("norm2"), m, 2 * width);
        if (shift) z = shifted(z, x.length, width);
        if (layer === layers - 1) [h, z] = [h, z].map((rows) => take(rows, positions, width));
        const up = multiply(z, w("up"), h.length / width, width, 4 * width);
        for (let i = 0; i < up.length; i++) up[i] = up[i] > 0 ? up[i] * up[i] : 0;
        add(h, multiply(up, w("down"), h.length / width, 4 * width, width));
      }
      if (!layers) h = take(h, positions, width);
      h = normalize(h, this.w["norm.weight"], null, 0);
      return logSoftmax(multiply(h, this.w["head.weight"], positions.length, width, this.N), this.N);
    }

    /** The sum of the rows of the table for a character and its neighbors, plus the row of its place. */
    embed(x) {
      const { width, neighbors: n, bigrams } = this.config;
      const states = this.N + 1;
      const at = (i) => (i < 0 || i >= x.length ? states - 1 : x[i]);
      const h = Float64Array.from(this.w["place.weight"].subarray(0, x.length * width));
      const table = this.w["embed.weight"];
      for (let i = 0; i < x.length; i++) {
        const rows = [];
        const around = [];
        for (let j = -n; j <= n; j++) {
          rows.push(at(i + j) + states * (j + n));
          if (j) around.push(at(i + j));
        }
        if (n && bigrams) {
          const first = states * (2 * n + 1);
          for (let j = 0; j + 1 < 2 * n; j++) {
            rows.push(first + bigrams * j + ((around[j] * states + around[j + 1]) % bigrams));
          }
        }
        for (const row of rows) for (let k = 0; k < width; k++) h[i * width + k] += table[row * width + k];
      }
      return h;
    }

    /** The embedded noise, from waves over the log odds of hit to not hit. */
    noise(sigma) {
      const { width } = this.config;
      const logOdds = Math.log(Math.expm1(Math.min(Math.max(sigma, 1e-9), 50)));
      const clamped = Math.min(Math.max(logOdds, -8), 8);
      const half = width / 2;
      const waves = new Float64Array(width);
      for (let k = 0; k < half; k++) {
        const angle = clamped * 10 ** (half > 1 ? -1.5 + (2 * k) / (half - 1) : -1.5);
        waves[k] = Math.cos(angle);
        waves[half + k] = Math.sin(angle);
      }
      return multiply(waves, this.w["noise.inner.weight"], 1, width, width).map((v) => v / (1 + Math.exp(-v)));
    }

    /** Attention of every position to every position. */
    attend(z, qkv, out, L, width, heads) {
      const size = width / heads;
      const all = multiply(z, qkv, L, width, 3 * width); // per position: queries, keys and values of all heads
      rotate(all, L, width, size);
      const mixed = new Float64Array(L * width);
      const weights = new Float64Array(L);
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < L; i++) {
          const q = i * 3 * width + head * size;
          let most = -Infinity;
          for (let j = 0; j < L; j++) {
            weights[j] = dot(all, q, all, j * 3 * width + width + head * size, size) / Math.sqrt(size);
            most = Math.max(most, weights[j]);
          }
          let total = 0;
          for (let j = 0; j < L; j++) total += weights[j] = Math.exp(weights[j] - most);
          for (let k = 0; k < size; k++) {
            let sum = 0;
            for (let j = 0; j < L; j++) sum += weights[j] * all[j * 3 * width + 2 * width + head * size + k];
            mixed[i * width + head * size + k] = sum / total;
          }
        }
      }
      return multiply(mixed, out, L, width, width);
    }
  }

  /** Rotary positions: turn each pair of features of the queries and keys by an angle proportional to the position. The
   * angles are rounded as in PyTorch, where they have 32 bits: the model has learned with these. */
  function rotate(all, L, width, size) {
    const half = size / 2;
    for (let i = 0; i < L; i++) {
      for (let k = 0; k < half; k++) {
        const angle = Math.fround(i * Math.fround(10000 ** Math.fround((-2 * k) / size)));
        const cos = Math.cos(angle), sin = Math.sin(angle);
        for (let at = i * 3 * width + k; at < i * 3 * width + 2 * width; at += size) {
          const a = all[at], b = all[at + half];
          all[at] = a * cos - b * sin;
          all[at + half] = a * sin + b * cos;
        }
      }
    }
  }

  function add(h, z) {
    for (let i = 0; i < h.length; i++) h[i] += z[i];
  }

  /** The rows at these positions. */
  function take(rows, positions, width) {
    const taken = new Float64Array(positions.length * width);
    positions.forEach((i, k) => taken.set(rows.subarray(i * width, (i + 1) * width), k * width));
    return taken;
  }

  /** RMSNorm of each row; then, if there is a modulation m, times 1 + m[at ...] plus m[at + width ...]. */
  function normalize(h, weight, m, at) {
    const width = weight.length;
    const z = new Float64Array(h.length);
    for (let start = 0; start < h.length; start += width) {
      const scale = 1 / Math.sqrt(dot(h, start, h, start, width) / width + 1.1920928955078125e-7);
      for (let k = 0; k < width; k++) {
        const value = h[start + k] * scale * weight[k];
        z[start + k] = m ? value * (1 + m[at + k]) + m[at + width + k] : value;
      }
    }
    return z;
  }

  /** The first quarter of each character's features from its left neighbor, the second from its right neighbor. */
  function shifted(z, L, width) {
    const part = width >> 2;
    const y = z.slice();
    for (let i = 0; i < L; i++) {
      for (let k = 0; k < part; k++) {
        y[i * width + k] = i > 0 ? z[(i - 1) * width + k] : 0;
        y[i * width + part + k] = i + 1 < L ? z[(i + 1) * width + part + k] : 0;
      }
    }
    return y;
  }

  function logSoftmax(values, N) {
    for (let start = 0; start < values.length; start += N) {
      let most = -Infinity;
      for (let a = 0; a < N; a++) most = Math.max(most, values[start + a]);
      let total = 0;
      for (let a = 0; a < N; a++) total += Math.exp(values[start + a] - most);
      const log = most + Math.log(total);
      for (let a = 0; a < N; a++) values[start + a] -= log;
    }
    return values;
  }

  // ---- the exact world: worlds/fables.py ----

  class World {
    /** about: templates, lists and the sizes of the layers. bytes: source, target, character and probability of each
     * edge, three times Uint16 and then Float32, one array after the other. */
    constructor(about, bytes) {
      Object.assign(this, about);
      const E = about.layers.reduce((sum, layer) => sum + layer.edges, 0);
      const part = (from, to) => bytes.slice(from * E, to * E).buffer;
      this.source = new Uint16Array(part(0, 2));
      this.target = new Uint16Array(part(2, 4));
      this.character = new Uint16Array(part(4, 6));
      this.probability = Float64Array.from(new Float32Array(part(6, 10)));
    }

    /** log p(x0_i = a | x), (L, N), by the forward-backward algorithm, or null if no text fits. like(x_i, a) is
     * q(x_i | x0_i = a). */
    logPosterior(x, like, N) {
      const L = x.length;
      const seen = Array.from({ length: L }, (_, i) => Float64Array.from({ length: N }, (_, a) => like(x[i], a)));
      const alphas = [Float64Array.of(1)];
      let e = 0;
      for (let i = 0; i < L; i++) {
        const alpha = new Float64Array(this.layers[i].targets);
        for (const end = e + this.layers[i].edges; e < end; e++) {
          alpha[this.target[e]] += alphas[i][this.source[e]] * this.probability[e] * seen[i][this.character[e]];
        }
        alphas.push(scaled(alpha));
      }
      const joint = new Float64Array(L * N);
      let beta = new Float64Array(this.layers[L - 1].targets).fill(1);
      for (let i = L - 1; i >= 0; i--) {
        const before = new Float64Array(this.layers[i].sources);
        for (const start = e - this.layers[i].edges; e > start; ) {
          e--;
          const step = this.probability[e] * seen[i][this.character[e]] * beta[this.target[e]];
          before[this.source[e]] += step;
          joint[i * N + this.character[e]] += step * alphas[i][this.source[e]];
        }
        beta = scaled(before);
      }
      for (let i = 0; i < L; i++) {
        let total = 0;
        for (let a = 0; a < N; a++) total += joint[i * N + a];
        if (!(total > 0)) return null;
        for (let a = 0; a < N; a++) joint[i * N + a] = Math.log(joint[i * N + a] / total);
      }
      return joint;
    }

    /** Why a line is not valid: the first position where no text of the world fits, and a reason; null if it is valid. */
    diagnose(line) {
      const found = this.templates.flatMap((template) => this.failures(line, 0, template, {}));
      if (found.includes(null)) return null;
      const { at, reason } = found.reduce((best, each) => (each.at > best.at ? each : best));
      return { at: [...line.slice(0, at)].length, reason }; // a rare character has two places in a string
    }

    /** For each way to read the line from a position: null if it fits, else {at, reason}. A piece of a template is a
     * string, {name, list} to draw a word, or {name} to repeat it. */
    failures(line, at, pieces, words) {
      if (!pieces.length) {
        const over = line.slice(at).search(/[^ ]/);
        return [over < 0 ? null : { at: at + over, reason: "the text ends here; only spaces may follow" }];
      }
      const [head, ...rest] = pieces;
      if (head.list) {
        const list = this.lists[head.list];
        const fitting = list.filter((word) => line.startsWith(word, at));
        if (fitting.length) {
          return fitting.flatMap((word) => this.failures(line, at + word.length, rest, { ...words, [head.name]: word }));
        }
        const most = Math.max(...list.map((word) => agreement(line.slice(at), word)));
        return [{ at: at + most, reason: `one of these words belongs here: ${list.join(", ")}` }];
      }
      const text = head.name === undefined ? head : words[head.name];
      if (line.startsWith(text, at)) return this.failures(line, at + text.length, rest, words);
      const reason = `“${text}” ${head.name === undefined ? "belongs" : "must be repeated"} here`;
      return [{ at: at + agreement(line.slice(at), text), reason }];
    }
  }

  function scaled(values) {
    const most = values.reduce((a, b) => Math.max(a, b), 1e-300);
    return values.map((value) => value / most);
  }

  /** The length of the common prefix of two strings. */
  function agreement(a, b) {
    let n = 0;
    for (const character of b) {
      if (!a.startsWith(character, n)) break;
      n += character.length;
    }
    return n;
  }

  // ---- the process and its samplers: noise.py, process.py, sampling.py, fast/sampling.py ----

  class Diffusion {
    constructor(about, weights, edges) {
      this.network = new Network(about, weights);
      this.world = about.world ? new World(about.world, edges) : null;
      this.about = about;
      this.N = this.network.N;
      this.mask = about.process === "Absorbing" ? this.N : null;
    }

    /** Total noise at time t. */
    sigma(t) {
      const { kind, ...s } = this.about.schedule;
      return kind === "LogLinear" ? -Math.log1p(-(1 - s.eps) * t) : s.sigma_min ** (1 - t) * s.sigma_max ** t;
    }

    /** log p(x0_i = a | x), (K, N), at K positions (all of them, if not given), by the model, or exactly if `exact`. If
     * no text fits, the exact one is taken as uniform. */
    logPosterior(x, sigma, exact = false, positions = [...x.keys()]) {
      if (!exact) return this.network.logPosterior(x, sigma, positions);
      const log = this.exact(x, sigma) ?? new Float64Array(x.length * this.N).fill(-Math.log(this.N));
      return take(log, positions, this.N);
    }

    /** The exact log p(x0_i = a | x), (L, N), or null if no text fits. */
    exact(x, sigma) {
      const [stay, hit] = [Math.exp(-sigma), -Math.expm1(-sigma)];
      const like = this.mask === null
        ? (x_i, a) => stay * (x_i === a) + hit / this.N
        : (x_i, a) => Number(x_i === this.mask || x_i === a);
      return this.world.logPosterior(x, like, this.N);
    }

    /** A text of pure noise with the given characters kept: free[i] says whether position i may change. */
    noise(given, free, random) {
      return given.map((state, i) => (free[i] ? this.mask ?? Math.floor(random() * this.N) : state));
    }

    /** A clean text at total noise sigma. The random numbers u, one pair for each position, stay the same as sigma
     * grows, so that noise is only ever added. */
    perturb(x0, sigma, u) {
      const hit = -Math.expm1(-sigma);
      return x0.map((state, i) => (u[i][0] < hit ? this.mask ?? Math.floor(u[i][1] * this.N) : state));
    }

    /** The states after each step of a sampler, as a generator, so that the page can show each as soon as it is there.
     * Each item is {x, drawn}: the text, and the positions that were drawn in this step. */
    *sample(name, x, free, steps, random, exact = false) {
      const masked = () => x.reduce((sum, state, i) => sum + (state === this.mask && free[i] ? 1 : 0), 0);
      if (this.mask === null) {
        yield* this.tweedie(x, free, steps, random, exact);
      } else if (name === "one at a time") {
        yield* this.inGroups(x, Array.from(x, random), new Array(masked()).fill(1), free, random, exact);
      } else if (name === "planned") {
        yield* this.inGroups(x, goldenOrder(x.length, random), this.sizes(masked(), steps), free, random, exact);
      } else {
        yield* this.corrected(x, free, steps, random, exact);
      }
    }

    /** Replace the masks at these positions by draws from the posterior. */
    unmask(x, positions, random, exact) {
      const p = this.logPosterior(x, 0, exact, positions).map(Math.exp);
      const y = x.slice();
      positions.forEach((i, k) => (y[i] = draw(p.subarray(k * this.N, (k + 1) * this.N), random)));
      return y;
    }

    /** Draw the masks in this order, in groups of these sizes. */
    *inGroups(x, order, sizes, free, random, exact) {
      for (const size of sizes) {
        const left = [...x.keys()].filter((i) => x[i] === this.mask && free[i]);
        const drawn = left.sort((i, j) => order[i] - order[j]).slice(0, size);
        x = this.unmask(x, drawn, random, exact);
        yield { x, drawn };
      }
      return x;
    }

    /** Groups, then corrections: a few characters of the finished text are masked and drawn again, oldest first. */
    *corrected(x, free, steps, random, exact) {
      const count = free.filter(Boolean).length;
      const few = Math.max(Math.floor(count / 16), 1);
      const born = new Array(x.length).fill(0);
      const masks = x.filter((state, i) => state === this.mask && free[i]).length;
      const sizes = this.sizes(masks, steps - Math.floor(steps / 4));
      let step = 0;
      for (const item of this.inGroups(x, goldenOrder(x.length, random), sizes, free, random, exact)) {
        step++;
        for (const i of item.drawn) born[i] = step;
        x = item.x;
        yield item;
      }
      const turn = goldenOrder(x.length, random); // of the same age, those that are far apart
      const order = [...x.keys()].filter((i) => free[i]).sort((i, j) => born[i] - born[j] || turn[i] - turn[j]);
      for (let k = 0; k < (count ? Math.floor(steps / 4) : 0); k++) {
        const drawn = [...new Set(Array.from({ length: few }, (_, i) => order[(k * few + i) % count]))];
        x = this.unmask(x.map((state, i) => (drawn.includes(i) ? this.mask : state)), drawn, random, exact);
        yield { x, drawn };
      }
    }

    /** Group sizes that lose least (costs.best_sizes), or even ones, small first, if the costs are not known. */
    sizes(masks, calls) {
      calls = Math.min(calls, masks);
      const g = this.about.costs;
      if (!g) return Array.from({ length: calls }, (_, k) => Math.floor((masks + k) / calls));
      const known = g.length - masks;
      let cost = new Float64Array(masks + 1).fill(Infinity);
      cost[0] = 0;
      const origins = [];
      for (let call = 0; call < calls; call++) {
        const next = new Float64Array(masks + 1).fill(Infinity);
        const origin = new Int32Array(masks + 1);
        for (let from = 0; from < masks; from++) {
          for (let to = from + 1; to <= masks; to++) {
            const n = to - from;
            const total = cost[from] + n * g[known + from] + 1e-9 * n * n;
            if (total < next[to]) [next[to], origin[to]] = [total, from];
          }
        }
        cost = next;
        origins.push(origin);
      }
      const sizes = [];
      for (let at = masks; origins.length; at -= sizes[0]) sizes.unshift(at - origins.pop()[at]);
      return sizes;
    }

    /** Take a little noise away from all characters at once, step by step. */
    *tweedie(x, free, steps, random, exact) {
      for (let step = 0; step < steps; step++) {
        const [now, after] = [this.sigma(1 - step / steps), step + 1 < steps ? this.sigma(1 - (step + 1) / steps) : 0];
        const log = this.logPosterior(x, now, exact);
        const y = x.slice();
        for (const i of x.keys()) if (free[i]) y[i] = draw(this.step(log, x, i, now, now - after), random);
        const drawn = [...x.keys()].filter((i) => x[i] !== y[i]);
        x = y;
        yield { x, drawn };
      }
    }

    /** Probabilities of the state of position i with d less noise, from the posterior at sigma (Uniform.log_score,
     * Process.tweedie). */
    step(log, x, i, sigma, d) {
      const N = this.N;
      const e = Math.expm1(sigma);
      const untouched = N / (N + e);
      const others = 1 - Math.exp(log[i * N + x[i]]) * untouched;
      const s = Float64Array.from({ length: N }, (_, y) => (y === x[i] ? 1 : (Math.exp(log[i * N + y]) * N) / e + others));
      const mean = s.reduce((a, b) => a + b, 0) / N;
      return s.map((value, y) => {
        const before = Math.max(value + Math.expm1(-d) * mean, 0); // up to a factor e^d
        return before * (Math.exp(-d) * (y === x[i]) - Math.expm1(-d) / N);
      });
    }
  }

  /** For each position its turn: turn n is n golden ratios of L further than a random start. */
  function goldenOrder(L, random) {
    const start = random();
    const stops = Array.from({ length: L }, (_, n) => (start + ((5 ** 0.5 - 1) / 2) * n) % 1);
    return Array.from({ length: L }, (_, n) => n).sort((m, n) => stops[m] - stops[n]);
  }

  return { Diffusion, generator, draw };
})();
