# SPDX-License-Identifier: MIT
"""What PyTorch computes from a model's folder, in the form of `detransformer run --dump`."""
import pathlib

import torch

from . import export, features, safetensors
from .tokenizer import Tokenizer


def predict(arguments):
    source = pathlib.Path(arguments.model)
    tokenizer, model = Tokenizer(source / "vocab.txt"), export.load(source).eval().double()
    lines = pathlib.Path(arguments.texts).read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [features.pair(tokenizer, *line.split("\t", 1), length=arguments.length) if "\t" in line
            else features.pair(tokenizer, line, None, arguments.length) for line in lines]
    ids, mask = features.pad([ids for ids, _ in rows], tokenizer.pad)
    types, _ = features.pad([types for _, types in rows], 0)
    with torch.no_grad():
        hidden = model.encoder(ids, types, mask)
        out = {"last_hidden_state": hidden[mask], "pooled": model.pooled(hidden)}
        if "classify" in model.heads:
            out["logits"] = model.classify(hidden)
        elif "answer" in model.heads:
            out["logits"] = model.answer(hidden)[mask]
    safetensors.write(arguments.out, {name: tensor.float() for name, tensor in out.items()})
