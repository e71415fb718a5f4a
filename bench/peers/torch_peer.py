# SPDX-License-Identifier: MIT
"""PyTorch as a peer: torch_peer.py MODEL IDS BATCH THREADS FORM; speaks as ours.c does.

FORM: eager runs it as it is written; frozen traces it, and lets PyTorch optimise the trace for inference; layer uses
torch.nn.TransformerEncoderLayer, whose fast path does a whole layer in one call (plain models only)."""
import json
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


def read(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    return {name: torch.from_numpy(np.frombuffer(data, np.float32, int(np.prod(entry["shape"])),
                                                 entry["data_offsets"][0]).reshape(entry["shape"]).copy())
            for name, entry in header.items()}


class Bert(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.config = json.load(open(folder + "/config.json"))
        self.heads = self.config["num_attention_heads"]
        self.layers = self.config["num_hidden_layers"]
        self.divisions = self.config.get("debert_division", 0)
        self.every = self.layers // self.config.get("num_debert_blocks", self.layers)
        self.dense = "dense_act" if self.divisions else "dense"
        self.t = read(folder + "/model.safetensors")
        self.prepare()

    def prepare(self):
        """The three projections of a block are one product, as everyone does it."""
        self.list = "layers" if self.divisions else "layer"
        for layer in range(self.layers):
            for name, end in self.blocks(layer):
                for kind in "weight", "bias":
                    self.t[f"{name}qkv{end}.{kind}"] = torch.cat(
                        [self.t.pop(f"{name}attention.self.{module}{end}.{kind}") for module in ("query", "key", "value")])

    def blocks(self, layer):
        name = f"bert.encoder.{self.list}.{layer}."
        if not self.divisions or (layer + 1) % self.every == 0:
            return [(name, "")]
        return [(name, f".{d}") for d in range(self.divisions)]

    def linear(self, name, x):
        return F.linear(x, self.t[name + ".weight"], self.t[name + ".bias"])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.t[name + ".weight"], self.t[name + ".bias"], self.config["layer_norm_eps"])

    def block(self, name, end, x):
        b, s, _ = x.shape
        q, k, v = self.linear(f"{name}qkv{end}", x).reshape(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(2, 3)).softmax(-1)
        context = torch.matmul(scores, v).transpose(1, 2).reshape(b, s, -1)
        x = self.norm(f"{name}attention.output.LayerNorm{end}",
                      x + self.linear(f"{name}attention.output.dense{end}", context))
        inner = F.gelu(self.linear(f"{name}intermediate.{self.dense}{end}", x))
        return self.norm(f"{name}output.LayerNorm{end}", x + self.linear(f"{name}output.dense{end}", inner))

    def embed(self, ids):
        table = lambda which: self.t[f"bert.embeddings.{which}_embeddings.weight"]
        x = F.embedding(ids, table("word")) + table("position")[:ids.shape[1]] + table("token_type")[0]
        return self.norm("bert.embeddings.LayerNorm", x)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in range(self.layers):
            blocks = self.blocks(layer)
            slices = x.chunk(len(blocks), -1)
            x = torch.cat([self.block(name, end, s) for (name, end), s in zip(blocks, slices)], -1)
        return x


class FastBert(Bert):
    """The encoder as torch.nn has it."""

    def prepare(self):
        super().prepare()
        h, f = self.config["hidden_size"], self.config["intermediate_size"]
        self.encoder = torch.nn.ModuleList()
        for layer in range(self.layers):
            name = self.blocks(layer)[0][0]
            module = torch.nn.TransformerEncoderLayer(h, self.heads, f, activation="gelu", batch_first=True,
                                                      layer_norm_eps=self.config["layer_norm_eps"])
            names = {"self_attn.in_proj_": "qkv.", "self_attn.out_proj.": "attention.output.dense.",
                     "linear1.": "intermediate.dense.", "linear2.": "output.dense.",
                     "norm1.": "attention.output.LayerNorm.", "norm2.": "output.LayerNorm."}
            module.load_state_dict({theirs + kind: self.t[name + ours + kind]
                                    for theirs, ours in names.items() for kind in ("weight", "bias")})
            self.encoder.append(module)

    def forward(self, ids):
        x = self.embed(ids)
        for module in self.encoder:
            x = module(x)
        return x


def main(folder, ids_file, batch, threads, form):
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    ids = torch.from_numpy(np.fromfile(ids_file, np.int64).reshape(int(batch), -1))
    model = (FastBert if form == "layer" else Bert)(folder).eval()
    if form == "frozen":
        model = torch.jit.optimize_for_inference(torch.jit.trace(model, ids))
    output = model(ids)
    print("ready PyTorch", torch.__version__, flush=True)
    for line in sys.stdin:
        if line.startswith("dump "):
            output.numpy().astype(np.float32).tofile(line[5:].strip())
            print("dumped", flush=True)
            continue
        took = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            output = model(ids)
            took.append((time.perf_counter() - begin) * 1e3)
        print(*(f"{ms:.6f}" for ms in took), flush=True)


main(*sys.argv[1:])
