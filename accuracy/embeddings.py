# SPDX-License-Identifier: MIT
"""Word embeddings to start from: how often tokens stand near each other, weighted and reduced to h numbers.

Positive pointwise mutual information and a singular value decomposition (Levy and Goldberg 2014).  It costs a
minute and spares a short pre-training its first, longest stretch, in which only the frequent tokens are learnt.
"""
import pathlib

import numpy
import torch

NEAR = 4
SPREAD = 0.05  # standard deviation of what comes out


def counts_of(ids, vocabulary):
    """[vocabulary, vocabulary]: how often the two stand at most NEAR apart, nearer ones counted more."""
    counts = numpy.zeros(vocabulary * vocabulary, dtype=numpy.float32)
    for apart in range(1, NEAR + 1):
        pair = ids[:-apart].astype(numpy.int64) * vocabulary + ids[apart:]
        counts += numpy.bincount(pair, minlength=vocabulary * vocabulary).astype(numpy.float32) / apart
    counts = counts.reshape(vocabulary, vocabulary)
    return counts + counts.T


def weigh(counts):
    """Positive pointwise mutual information, in place; contexts are smoothed by the power 3/4."""
    total = counts.sum(1)
    context = total ** 0.75
    context /= max(context.sum(), 1)
    counts /= numpy.maximum(total, 1)[:, None]
    counts /= numpy.maximum(context, 1e-12)[None]
    return numpy.log(numpy.maximum(counts, 1), out=counts)


def compute(corpus, vocabulary, hidden):
    """[vocabulary, hidden]; rows of tokens that do not occur are zero."""
    table = weigh(counts_of(corpus.ids, vocabulary))
    with torch.random.fork_rng():  # what is drawn later must not depend on whether the cache was there
        torch.manual_seed(0)
        left, sizes, _ = torch.svd_lowrank(torch.from_numpy(table), q=hidden + 16, niter=2)
        turn = torch.linalg.qr(torch.randn(hidden, hidden))[0]
    found = (left * sizes.sqrt())[:, :hidden] @ turn  # spreads it over all slices alike
    return found * (SPREAD / found.std())


def start(encoder, corpus, cache):
    """Sets the word embeddings of tokens that occur; the rest stay random.  Computed once for a cache, a file."""
    cache = pathlib.Path(cache)
    if not cache.exists():
        numpy.save(cache, compute(corpus, *encoder.words.shape).numpy())
    found = torch.from_numpy(numpy.load(cache))
    present = found.any(1)
    with torch.no_grad():
        encoder.words[present] = found[present]
