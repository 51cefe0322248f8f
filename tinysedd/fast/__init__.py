"""Everything that is there for speed or quality. The plain core works without it and never imports it.

model.py       FastTransformer: neighbor embeddings, a hashed bigram table, token shift
objective.py   losses that learn more per step: which shares of noise to train on, a reference batch
sampling.py    better samplers, which ask a network only about what they draw, and `sample`, which picks the best one
"""

# The options of `Training` with which a FastTransformer learns fastest. It uses a row of its tables rarely, so these
# take longer steps; and with 3 steps instead of 5 Muon is as good and takes less time.
RECIPE = {"lr": 1.8e-2, "embed_lr": 8.0, "ns_steps": 3}
