"""Everything that is there for speed or quality. The plain core works without it and never imports it.

model.py       FastTransformer: neighbor embeddings, a hashed bigram table, token shift
objective.py   losses that learn more per step: late times, a reference batch
sampling.py    better samplers, a cache for the network's output, and `sample`, which picks the best sampler
"""
