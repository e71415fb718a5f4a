# SPDX-License-Identifier: MIT
"""A model as a folder that `detransformer` loads: config.json, model.safetensors, vocab.txt."""
import json
import pathlib
import shutil

import torch

from . import safetensors
from .model import Config, Model

STORED = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def save(folder, model, vocabulary, stored="f32"):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config.to_json(), indent=1) + "\n")
    if pathlib.Path(vocabulary).resolve() != (folder / "vocab.txt").resolve():
        shutil.copyfile(vocabulary, folder / "vocab.txt")
    weights = {name: tensor.to(STORED[stored]) for name, tensor in model.named_weights().items()}
    safetensors.write(folder / "model.safetensors", weights)


def heads_in(tensors):
    """The heads that a checkpoint has."""
    first = {"mlm": "cls.predictions.bias", "nsp": "cls.seq_relationship.weight", "classify": "classifier.weight",
             "answer": "qa_outputs.weight"}
    return [head for head, name in first.items() if name in tensors]


def load(folder, heads=None, **changes):
    """The model of a folder; with `heads`, those instead of its own, new where it lacks them.  `changes`: of its config."""
    folder = pathlib.Path(folder)
    config = Config.read(folder / "config.json")
    for field, value in changes.items():
        setattr(config, field, value)
    tensors = safetensors.read(folder / "model.safetensors")
    model = Model(config, heads_in(tensors) if heads is None else heads)
    fresh = () if heads is None else ("classifier", "qa_outputs", "cls.")
    model.load_weights({name: tensor.float() for name, tensor in tensors.items()}, may_lack=fresh)
    return model
