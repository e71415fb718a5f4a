# SPDX-License-Identifier: MIT
"""A decoupled model out of an original one: every sub-block gets its slice of the original layer's weights.

The products that a sub-block lacks, those with the other slices, made the original's sums larger: what reads the
hidden state is scaled by the root of D instead.  Distilling (`pretrain --start ... --teacher ...`) does the rest.
"""
import dataclasses
import math

import torch

from . import export
from .model import Model


def slice_layer(layer, source, keep_heads):
    """Fills a decoupled layer of D divisions from an original one."""
    count, scale = layer.divisions, math.sqrt(layer.divisions)
    size = layer.output.weight.shape[1]
    for d in range(count):
        part = slice(d * size, (d + 1) * size)
        heads = part if keep_heads else slice(None)
        for own, theirs in (layer.query, source.query), (layer.key, source.key), (layer.value, source.value):
            own.weight[d] = theirs.weight[0][heads, part] * scale
            own.bias[d] = theirs.bias[0][heads]
        layer.attention_output.weight[d] = source.attention_output.weight[0][part, heads]
        width = layer.intermediate.weight.shape[1]
        rows = torch.arange(width) % source.intermediate.weight.shape[1]
        layer.intermediate.weight[d] = source.intermediate.weight[0][rows][:, part] * scale
        layer.intermediate.bias[d] = source.intermediate.bias[0][rows]
        shared = torch.bincount(rows)[rows]
        layer.output.weight[d] = source.output.weight[0][part][:, rows] / shared
        for own, theirs in ((layer.attention_output, source.attention_output), (layer.output, source.output)):
            own.bias[d] = theirs.bias[0][part]
        for own, theirs in (layer.attention_norm, source.attention_norm), (layer.output_norm, source.output_norm):
            own.weight[d], own.bias[d] = theirs.weight[0][part], theirs.bias[0][part]


@torch.no_grad()
def decouple(original, divisions, groups, attention="full"):
    """A model with the original's embeddings, pooler, heads and original layers, and sliced decoupled ones."""
    config = dataclasses.replace(original.config, divisions=divisions, groups=groups, attention=attention)
    heads = [name for name in ("mlm", "nsp", "classify", "answer")
             if {"mlm": "transform"}.get(name, name) in original.heads]
    model = Model(config, heads)
    theirs = dict(original.named_parameters())
    for name, parameter in model.named_parameters():
        if name in theirs and theirs[name].shape == parameter.shape:
            parameter.copy_(theirs[name])
    for i, layer in enumerate(model.encoder.layers):
        if not config.is_original(i):
            slice_layer(layer, original.encoder.layers[i], attention == "split")
    return model


def slice_model(arguments):
    original = export.load(arguments.model)
    if original.config.divisions:
        raise SystemExit(f"{arguments.model} is decoupled already")
    model = decouple(original, arguments.divisions, arguments.groups, arguments.attention)
    export.save(arguments.out, model, f"{arguments.model}/vocab.txt")
