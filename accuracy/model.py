# SPDX-License-Identifier: MIT
"""BERT and decoupled BERT, with a head for each task.

A decoupled layer is D sub-blocks, each on its own slice of the hidden state; an original layer is the
same thing with one division.  Weights of the sub-blocks lie in one tensor, [D, rows, columns], so that a
product over all of them is one call; `named_weights` and `load_weights` give and take them under the names
of the paper's checkpoints (Hugging Face's for a plain BERT).
"""
import dataclasses
import json
import math
import pathlib

import torch
from torch import nn
from torch.nn import functional


@dataclasses.dataclass
class Config:
    """What config.json says; `divisions` 0 is a plain BERT."""

    vocabulary: int
    layers: int = 12
    hidden: int = 768
    heads: int = 12
    intermediate: int = 3072
    positions: int = 512
    types: int = 2
    activation: str = "gelu"
    epsilon: float = 1e-12
    dropout: float = 0.1
    divisions: int = 0
    groups: int = 0
    attention: str = "full"  # of sub-blocks: full or split
    sub_intermediate: int = 0  # of sub-blocks; 0: what keeps the size of the original
    labels: tuple = ()

    def __post_init__(self):
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a hidden size of {self.hidden}")
        if self.activation not in ("gelu", "gelu_new", "gelu_pytorch_tanh"):
            raise ValueError(f"activation {self.activation} is not known")
        if not self.divisions:
            return
        if self.hidden % self.divisions or (self.attention == "split" and self.heads % self.divisions):
            raise ValueError(f"{self.divisions} divisions do not divide the hidden size or the heads")
        if not self.groups or self.layers % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {self.layers} layers")
        if not self.sub_intermediate:
            self.sub_intermediate = self.intermediate
            if self.attention == "split":
                self.sub_intermediate += 2 * self.hidden - 2 * self.hidden // self.divisions

    def is_original(self, layer):
        return not self.divisions or (layer + 1) % (self.layers // self.groups) == 0

    KEYS = {
        "vocab_size": "vocabulary", "num_hidden_layers": "layers", "hidden_size": "hidden",
        "num_attention_heads": "heads", "intermediate_size": "intermediate",
        "max_position_embeddings": "positions", "type_vocab_size": "types", "hidden_act": "activation",
        "layer_norm_eps": "epsilon", "hidden_dropout_prob": "dropout",
    }
    DECOUPLED_KEYS = {
        "debert_division": "divisions", "num_debert_blocks": "groups", "debert_attention": "attention",
        "debert_intermediate_size": "sub_intermediate",
    }

    def to_json(self):
        keys = {**self.KEYS, **(self.DECOUPLED_KEYS if self.divisions else {})}
        out = {"model_type": "bert", **{key: getattr(self, field) for key, field in keys.items()}}
        if self.labels:
            out["id2label"] = {str(i): name for i, name in enumerate(self.labels)}
        return out

    @classmethod
    def read(cls, path):
        found = json.loads(pathlib.Path(path).read_text())
        fields = {field: found[key] for key, field in {**cls.KEYS, **cls.DECOUPLED_KEYS}.items() if key in found}
        names = found.get("id2label", {})
        return cls(**fields, labels=tuple(names[str(i)] for i in range(len(names))))


def activate(x, kind):
    return functional.gelu(x, approximate="none" if kind == "gelu" else "tanh")


def starting_weight(*shape):
    """BERT's: normal, 0.02, cut off at two deviations."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02, a=-0.04, b=0.04))


class Linear(nn.Module):
    """x [D, n, columns] to [D, n, rows], one weight for each division."""

    def __init__(self, divisions, columns, rows):
        super().__init__()
        self.weight = starting_weight(divisions, rows, columns)
        self.bias = nn.Parameter(torch.zeros(divisions, rows))

    def forward(self, x):
        if len(self.weight) == 1:
            return functional.linear(x, self.weight[0], self.bias[0])
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))


class Norm(nn.Module):
    """LayerNorm over the last dimension of x [D, n, size]."""

    def __init__(self, divisions, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(divisions, size))
        self.bias = nn.Parameter(torch.zeros(divisions, size))
        self.epsilon = epsilon

    def forward(self, x):
        if x.dtype == torch.bfloat16:
            x = x.float()  # under autocast
        if len(self.weight) == 1:
            return functional.layer_norm(x, x.shape[-1:], self.weight[0], self.bias[0], self.epsilon)
        return torch.addcmul(self.bias[:, None], functional.layer_norm(x, x.shape[-1:], eps=self.epsilon),
                             self.weight[:, None])


class Layer(nn.Module):
    """One layer: D sub-blocks side by side, or an original layer where D is 1."""

    def __init__(self, config, divisions, inner, intermediate):
        super().__init__()
        size = config.hidden // divisions
        self.divisions, self.head_size = divisions, config.hidden // config.heads
        self.activation, self.dropout = config.activation, config.dropout
        self.query = Linear(divisions, size, inner)
        self.key = Linear(divisions, size, inner)
        self.value = Linear(divisions, size, inner)
        self.attention_output = Linear(divisions, inner, size)
        self.attention_norm = Norm(divisions, size, config.epsilon)
        self.intermediate = Linear(divisions, size, intermediate)
        self.output = Linear(divisions, intermediate, size)
        self.output_norm = Norm(divisions, size, config.epsilon)

    def attend(self, x, bias, shape):
        batch, length = shape

        def by_head(y):
            y = y.view(self.divisions * batch, length, -1, self.head_size)
            return y.transpose(1, 2).reshape(-1, length, self.head_size)

        scores = torch.bmm(by_head(self.query(x)), by_head(self.key(x)).transpose(1, 2))
        scores = scores.view(self.divisions, batch, -1, length, length) / math.sqrt(self.head_size)
        if bias is not None:
            scores = scores + bias[None, :, None, None, :]
        weights = functional.dropout(scores.softmax(-1), self.dropout, self.training)
        context = torch.bmm(weights.view(-1, length, length), by_head(self.value(x)))
        context = context.view(self.divisions * batch, -1, length, self.head_size).transpose(1, 2)
        return context.reshape(self.divisions, batch * length, -1)

    def forward(self, x, bias, shape):
        """x [D, batch * length, h/D]; bias [batch, length], added to the scores, or None."""
        y = self.attention_output(self.attend(x, bias, shape))
        x = self.attention_norm(x + functional.dropout(y, self.dropout, self.training))
        y = self.output(activate(self.intermediate(x), self.activation))
        return self.output_norm(x + functional.dropout(y, self.dropout, self.training))


class Encoder(nn.Module):
    """Embeddings and layers, without pooler and heads."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.words = starting_weight(config.vocabulary, config.hidden)
        self.positions = starting_weight(config.positions, config.hidden)
        self.types = starting_weight(config.types, config.hidden)
        self.norm = Norm(1, config.hidden, config.epsilon)
        self.layers = nn.ModuleList(self.make_layer(config, i) for i in range(config.layers))

    @staticmethod
    def make_layer(config, index):
        if config.is_original(index):
            return Layer(config, 1, config.hidden, config.intermediate)
        inner = config.hidden if config.attention == "full" else config.hidden // config.divisions
        return Layer(config, config.divisions, inner, config.sub_intermediate)

    def embed(self, ids, types):
        x = functional.embedding(ids, self.words) + functional.embedding(types, self.types)
        x = x + self.positions[:ids.shape[1]]
        return functional.dropout(self.norm(x), self.config.dropout, self.training)

    def forward(self, ids, types, mask=None, every_layer=False):
        """[batch, length, h], or the list of each layer's; mask: True where a token is real, None where all are."""
        shape, outputs = ids.shape, []
        bias = None if mask is None else torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, -1e9)
        x = self.embed(ids, types).view(1, shape[0] * shape[1], self.config.hidden)
        for layer in self.layers:
            x = layer(split(x, layer.divisions), bias, shape)
            if every_layer:
                outputs.append(split(x, 1).view(*shape, -1))
        return outputs if every_layer else split(x, 1).view(*shape, -1)


def split(x, divisions):
    """[D, n, h/D] of one number of divisions to that of another."""
    if len(x) == divisions:
        return x
    _, n, size = x.shape
    whole = x.transpose(0, 1).reshape(n, -1)
    return whole.view(n, divisions, -1).transpose(0, 1).contiguous()


class Model(nn.Module):
    """An encoder, the pooler and the heads: `mlm`, `nsp` for pre-training, `classify`, `answer` for a task."""

    def __init__(self, config, heads):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.pooler = Linear(1, config.hidden, config.hidden)
        self.heads = nn.ModuleDict()
        if "mlm" in heads:
            self.heads["transform"] = Linear(1, config.hidden, config.hidden)
            self.heads["transform_norm"] = Norm(1, config.hidden, config.epsilon)
            self.mlm_bias = nn.Parameter(torch.zeros(config.vocabulary))
        if "nsp" in heads:
            self.heads["nsp"] = Linear(1, config.hidden, 2)
        if "classify" in heads:
            self.heads["classify"] = Linear(1, config.hidden, max(1, len(config.labels)))
        if "answer" in heads:
            self.heads["answer"] = Linear(1, config.hidden, 2)

    def pooled(self, hidden):
        x = torch.tanh(self.pooler(hidden[:, 0]))
        return functional.dropout(x, self.config.dropout, self.training)

    def classify(self, hidden):
        return self.heads["classify"](self.pooled(hidden))

    def next_sentence(self, hidden):
        return self.heads["nsp"](self.pooled(hidden))

    def answer(self, hidden):
        """[batch, length, 2]: where the answer starts and ends."""
        return self.heads["answer"](hidden)

    def fill(self, rows):
        """rows [n, h] of the hidden state to [n, vocabulary]; the decoder is the word embeddings."""
        x = activate(self.heads["transform"](rows), self.config.activation)
        return functional.linear(self.heads["transform_norm"](x), self.encoder.words, self.mlm_bias)

    # --- names ----------------------------------------------------------------------------------

    def places(self):
        """(checkpoint name, parameter, index or None) of every weight, in the order of a checkpoint."""
        config, encoder = self.config, self.encoder
        decoupled = config.divisions > 0
        dense = "dense_act" if decoupled else "dense"

        def module(name, part, index=None):
            yield f"{name}.weight", part.weight, index
            yield f"{name}.bias", part.bias, index

        for table in ("word", encoder.words), ("position", encoder.positions), ("token_type", encoder.types):
            yield f"bert.embeddings.{table[0]}_embeddings.weight", table[1], None
        yield from module("bert.embeddings.LayerNorm", encoder.norm, 0)
        for i, layer in enumerate(encoder.layers):
            prefix = f"bert.encoder.{'layers' if decoupled else 'layer'}.{i}."
            parts = (("attention.self.query", layer.query), ("attention.self.key", layer.key),
                     ("attention.self.value", layer.value), ("attention.output.dense", layer.attention_output),
                     ("attention.output.LayerNorm", layer.attention_norm), (f"intermediate.{dense}", layer.intermediate),
                     ("output.dense", layer.output), ("output.LayerNorm", layer.output_norm))
            for name, part in parts:
                for d in range(layer.divisions):
                    yield from module(prefix + name + ("" if config.is_original(i) else f".{d}"), part, d)
        yield from module(f"bert.pooler.{dense}", self.pooler, 0)
        if "transform" in self.heads:
            yield from module(f"cls.predictions.transform.{dense}", self.heads["transform"], 0)
            yield from module("cls.predictions.transform.LayerNorm", self.heads["transform_norm"], 0)
            yield "cls.predictions.bias", self.mlm_bias, None
        for head, name in ("nsp", "cls.seq_relationship"), ("classify", "classifier"), ("answer", "qa_outputs"):
            if head in self.heads:
                yield from module(name, self.heads[head], 0)

    def named_weights(self):
        return {name: (where if index is None else where[index]).detach() for name, where, index in self.places()}

    def load_weights(self, tensors, may_lack=()):
        """Takes what it has a place for; a name that is absent is an error unless it begins with one of `may_lack`."""
        for name, where, index in self.places():
            if name not in tensors:
                if name.startswith(tuple(may_lack)):
                    continue
                raise KeyError(f"{name} is not in the checkpoint")
            with torch.no_grad():
                target = where if index is None else where[index]
                if target.shape != tensors[name].shape:
                    raise ValueError(f"{name} is {list(tensors[name].shape)}, not {list(target.shape)}")
                target.copy_(tensors[name])
