# SPDX-License-Identifier: MIT
"""BERT-Base, plain and decoupled (D = G = 4), with made-up weights: as numpy arrays by name, and as
the files that DeTransformer reads."""
import json
import struct

import numpy as np

LAYERS, HIDDEN, HEADS, INNER, POSITIONS, EPSILON = 12, 768, 12, 3072, 512, 1e-12
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = 2000


class Model:
    def __init__(self, divisions):
        self.divisions = divisions  # 0: a plain model
        self.vocab = SPECIAL + [f"w{i}" for i in range(WORDS)]
        self.random = np.random.default_rng(7)
        self.tensors = {}
        for table, rows in ("word", len(self.vocab)), ("position", POSITIONS), ("token_type", 2):
            self.add(f"bert.embeddings.{table}_embeddings.weight", rows, HIDDEN, scale=0.5)
        self.norm("bert.embeddings.LayerNorm", HIDDEN)
        for layer in range(LAYERS):
            for name, end, hidden in self.blocks(layer):
                self.block(name, end, hidden)

    def is_original(self, layer):
        return not self.divisions or (layer + 1) % (LAYERS // 4) == 0

    def blocks(self, layer):
        """Prefix and suffix of the names, and width, of each block of a layer."""
        if self.is_original(layer):
            return [(self.prefix(layer), "", HIDDEN)]
        return [(self.prefix(layer), f".{d}", HIDDEN // self.divisions) for d in range(self.divisions)]

    def prefix(self, layer):
        return f"bert.encoder.{'layers' if self.divisions else 'layer'}.{layer}."

    @property
    def dense(self):
        return "dense_act" if self.divisions else "dense"

    def add(self, name, *shape, mean=0.0, scale=1.0):
        self.tensors[name] = (mean + scale * self.random.standard_normal(shape)).astype(np.float32)

    def linear(self, name, out, columns):
        self.add(name + ".weight", out, columns, scale=columns**-0.5)
        self.add(name + ".bias", out, scale=0.1)

    def norm(self, name, columns):
        self.add(name + ".weight", columns, mean=1.0, scale=0.1)
        self.add(name + ".bias", columns, scale=0.1)

    def block(self, name, end, hidden):
        for module in "query", "key", "value":
            self.linear(f"{name}attention.self.{module}{end}", HIDDEN, hidden)
        self.linear(f"{name}attention.output.dense{end}", hidden, HIDDEN)
        self.norm(f"{name}attention.output.LayerNorm{end}", hidden)
        self.linear(f"{name}intermediate.{self.dense}{end}", INNER, hidden)
        self.linear(f"{name}output.dense{end}", hidden, INNER)
        self.norm(f"{name}output.LayerNorm{end}", hidden)

    def config(self):
        config = {
            "model_type": "bert", "num_hidden_layers": LAYERS, "hidden_size": HIDDEN, "num_attention_heads": HEADS,
            "intermediate_size": INNER, "hidden_act": "gelu", "layer_norm_eps": EPSILON,
            "vocab_size": len(self.vocab), "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
        }
        if self.divisions:
            config.update({"debert_division": self.divisions, "num_debert_blocks": 4,
                           "debert_attention": "full", "debert_intermediate_size": INNER})
        return config

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config(), indent=1) + "\n")
        (folder / "vocab.txt").write_text("\n".join(self.vocab) + "\n")
        header, end = {}, 0
        for name, tensor in self.tensors.items():
            header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [end, end + tensor.nbytes]}
            end += tensor.nbytes
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor in self.tensors.values():
                file.write(tensor.tobytes())


def write_input(folder, batch, length):
    """The same tokens as a text file and as ids, int64 [batch, length]."""
    words = np.random.default_rng(length).integers(0, WORDS, (batch, length - 2))
    cls, sep = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
    ids = np.pad(words + len(SPECIAL), ((0, 0), (1, 1)), constant_values=((0, 0), (cls, sep)))
    text = "".join(" ".join(f"w{i}" for i in row) + "\n" for row in words)
    name = f"{batch}x{length}"
    (folder / f"{name}.txt").write_text(text)
    ids.astype(np.int64).tofile(folder / f"{name}.ids")
