# SPDX-License-Identifier: MIT
"""Examples as tokens, and tokens as batches of like length."""
import random

import torch


def pair(tokenizer, first, second, length):
    """Ids and token types; what is too long loses tokens from the end of its longer part."""
    first = tokenizer.encode(first)
    second = None if second is None else tokenizer.encode(second)
    room = length - (2 if second is None else 3)
    while len(first) + len(second or ()) > room:
        (first if len(first) > len(second or ()) else second).pop()
    ids = [tokenizer.cls, *first, tokenizer.sep]
    types = [0] * len(ids)
    if second is not None:
        ids += [*second, tokenizer.sep]
        types += [1] * (len(second) + 1)
    return ids, types


def pad(rows, filler):
    """[batch, longest] and True where a row goes."""
    longest = max(map(len, rows))
    out = torch.full((len(rows), longest), filler)
    real = torch.zeros(out.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        out[i, :len(row)] = torch.tensor(row)
        real[i, :len(row)] = True
    return out, real


def by_length(lengths, batch, seed=None):
    """Batches of indices of like length; with a seed in random order, and mixed anew for each seed."""
    draw = random.Random(seed)
    noise = 0 if seed is None else 2
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i] + draw.uniform(0, noise), i))
    batches = [order[i:i + batch] for i in range(0, len(order), batch)]
    if seed is not None:
        draw.shuffle(batches)
    return batches
