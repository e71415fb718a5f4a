# SPDX-License-Identifier: MIT
"""Reads and writes safetensors files: a length, a JSON header, the numbers."""
import json
import pathlib
import struct

import torch

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
NAMES = {kind: name for name, kind in TYPES.items()}


def write(path, tensors):
    """Each in its own type; through a file beside it, so that a reader never meets half of one."""
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        kind = NAMES[tensor.dtype]
        raw = (tensor.view(torch.int16) if kind == "BF16" else tensor).numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(raw)]}
        parts.append(raw)
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *parts]))
    partial.replace(path)


def read(path):
    raw = bytearray(pathlib.Path(path).read_bytes())
    length, = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + length])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = TYPES[entry["dtype"]]
        count = (end - begin) // torch.empty(0, dtype=kind).element_size()
        data = torch.frombuffer(raw, dtype=kind, count=count, offset=begin) if count else torch.empty(0, dtype=kind)
        out[name] = data.reshape(entry["shape"]).clone()
    return out
