// Runs in a worker: answers the page's questions one at a time, so that the page stays responsive.
let diffusion = null;
let latest = 0; // the run that is under way; a newer one stops it

/** The bytes of a base64 text. A plain loop: Uint8Array.from with a function takes 20 times as long. */
function bytes(base64) {
  const text = atob(base64);
  const made = new Uint8Array(text.length);
  for (let i = 0; i < made.length; i++) made[i] = text.charCodeAt(i);
  return made;
}
const rest = () => new Promise((resolve) => setTimeout(resolve));

const answers = {
  start({ about, weights, edges }) {
    diffusion = new Engine.Diffusion(about, bytes(weights), bytes(edges));
    return {};
  },

  /** Write around the given characters; `send` gets the text after each step. */
  async write({ given, sampler, steps, seed, exact }, send) {
    const run = ++latest;
    const free = given.map((state) => state === null);
    const random = Engine.generator(seed);
    let x = diffusion.noise(given, free, random);
    if (exact && diffusion.exact(x, diffusion.sigma(1)) === null) {
      throw new Error("No valid text fits what is given, so the truth has nothing to write: check words and spaces.");
    }
    let step = 0;
    send({ x, drawn: [], step });
    for (const item of diffusion.sample(sampler, x, free, steps, random, exact)) {
      send({ ...item, step: ++step });
      await rest(); // lets a newer run begin
      if (run !== latest) return { stopped: true };
    }
    return {};
  },

  /** What the model, and the truth if it is known, expect at position i given the rest of the text. The truth is null if
   * no text fits the rest. */
  look({ x, i, t }) {
    const sigma = diffusion.sigma(t);
    const asked = diffusion.mask === null ? x : x.map((state, j) => (j === i ? diffusion.mask : state));
    const truth = diffusion.world && diffusion.exact(asked, sigma);
    return {
      model: Array.from(diffusion.logPosterior(asked, sigma, false, [i]), Math.exp),
      exact: truth && Array.from(truth.slice(i * diffusion.N, (i + 1) * diffusion.N), Math.exp),
    };
  },

  noise({ x, t, seed }) {
    const random = Engine.generator(seed);
    return { x: diffusion.perturb(x, diffusion.sigma(t), x.map(() => [random(), random()])) };
  },

  /** Where and why a text is not valid, or where no valid text fits around its gaps; null if it is, or one does. */
  judge({ x }) {
    if (!x.includes(diffusion.mask)) {
      return { failure: diffusion.world.diagnose(x.map((state) => [...diffusion.about.alphabet][state]).join("")) };
    }
    const fits = (end) => diffusion.exact(x.map((state, i) => (i < end ? state : diffusion.mask)), 1) !== null;
    if (fits(x.length)) return { failure: null };
    let [good, bad] = [0, x.length]; // how many characters from the start fit, and how many do not
    while (bad - good > 1) {
      const middle = (good + bad) >> 1;
      if (fits(middle)) good = middle;
      else bad = middle;
    }
    return { failure: { at: good } };
  },

  /** For tests: log p(x0_i = a | x) of whole texts. */
  posterior({ x, sigma, exact }) {
    return { log: Array.from(diffusion.logPosterior(x, sigma, exact)) };
  },
};

onmessage = async ({ data: { id, question, values } }) => {
  try {
    const answer = await answers[question](values, (item) => postMessage({ id, item }));
    postMessage({ id, answer });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
