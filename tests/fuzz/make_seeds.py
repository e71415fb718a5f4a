#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/fuzz/corpus/NAME/seed-*: small inputs that are right, for each fuzz target to begin with.

    tests/fuzz/make_seeds.py

Other files in those folders are inputs that once found something, kept under the name of what it was; the
committed fixtures (bad experiments, models, data of `eval`) are further seeds, see tests/fuzz/run.
"""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"


def seed(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data if isinstance(data, bytes) else data.encode())


def words(*values):
    return struct.pack(f"={len(values)}I", *values)


def bits(width, *values):
    number = sum(value << width * i for i, value in enumerate(values))
    return number.to_bytes((width * len(values) + 7) // 8, "little")


def text(value):
    return words(len(value) + 1) + value.encode() + b"\0"


# --- files -----------------------------------------------------------------------------------------

CONFIG = {"model_type": "bert", "vocab_size": 3, "hidden_size": 4, "num_hidden_layers": 4, "num_attention_heads": 2,
          "intermediate_size": 6, "max_position_embeddings": 5}


def configs():
    seed("config", "plain", json.dumps(CONFIG))
    seed("config", "decoupled", json.dumps({
        **CONFIG, "debert_division": 2, "num_debert_blocks": 2, "debert_attention": "split",
        "debert_intermediate_size": 5, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5,
        "id2label": {"0": "a", "1": "b"}, "num_labels": 2}))


def safetensors(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def tiny_model():
    """What safetensors_fuzz opens a model over: h = f = 2, one layer, one head."""
    shapes = {f"embeddings.{t}_embeddings.weight": [n, 2] for t, n in
              (("word", 3), ("position", 2), ("token_type", 2))}
    layer = "encoder.layer.0."
    for module in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                   "intermediate.dense", "output.dense"):
        shapes[f"{layer}{module}.weight"], shapes[f"{layer}{module}.bias"] = [2, 2], [2]
    for module in ("embeddings.LayerNorm", layer + "attention.output.LayerNorm", layer + "output.LayerNorm"):
        shapes[f"{module}.weight"], shapes[f"{module}.bias"] = [2], [2]
    count = lambda shape: shape[0] * (shape[1] if len(shape) > 1 else 1)
    return {name: ("F16", shape, bytes(2 * count(shape))) for name, shape in shapes.items()}


def weights():
    seed("safetensors", "model", safetensors(tiny_model()))
    seed("safetensors", "types", safetensors({
        "a": ("F32", [2, 1], bytes(8)), "b": ("BF16", [3], bytes(6)), "c": ("I64", [], bytes(8)),
        "d": ("U8", [0, 4], b""), "e": ("F64", [1, 1, 1], bytes(8))}))
    seed("index", "two", json.dumps({"metadata": {"total_size": 8},
                                     "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))


def vocabularies():
    def one(options, vocab, line):
        return bytes([options]) + struct.pack(">H", len(vocab)) + vocab + line
    english = b"un\n##want\n##ed\na\n,\n\xc3\xa9\n"
    seed("vocab", "text", one(128 + 10, english, b"Unwanted, a [MASK]\txyz"))
    seed("vocab", "cased", one(128 + 32 + 24, english, "\u00c9 e\u0301 \u4e2d \u03a3\u0391\u03a3 \u0130".encode()))
    seed("vocab", "own", one(7, b"\xef\xbb\xbf[UNK]\r\n[CLS]\r\n[SEP]\r\nx", b"x\xffx"))


def experiments():
    common = "[model]\nconfig = m.json\nweights = random\nvocab = v.txt\n"
    seed("experiment", "small", common + "[input]\nrandom = yes\n")
    seed("experiment", "large", "; all sections\n[experiment]\nname = x\nrequests = 3\nseed = 0x10\n" + common +
         "task = classify\n[input]\ntext = a b\n   c\nsequence_length = 8\nbatch = 2\n"
         "[cluster]\ndevices = 3\n[device]\nthreads = 1\nmemory = 1 GiB\n[device.1]\nshare = 0.5\ndivisions = 0 1\n"
         "kernel.throttle.gflops = 5\n[kernel]\nplugin = throttle\ndtype = f32\n[kernel.throttle]\nover = reference\n"
         "gflops = 10\n[transport]\nplugin = emulated\nwire = f16\n[transport.emulated]\nover = shm\nmbit = 100\n"
         "[planner]\nplugin = fixed\n[planner.fixed]\nstrategy = tp\n"
         "[sweep]\ninput.batch = 1, 2\n[series.a]\nkernel.dtype = f32\n")


def traces():
    seed("trace", "steps", struct.pack("=2I", 1000, 4096) + b"# s Mbit/s us\n0 100 50\n1.5 0 0 # off\n2 10 1e3\n")


def data_of_eval():
    tasks = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "squad"]
    rows = {
        "cola": ("x\t1\t\tthe cat\ny\t0\t\tcat the", "0\t1\n1\t0\n"),
        "sst2": ("sentence\tlabel\nthe cat \t1\n", "0\t1\n"),
        "mrpc": ("\ufeffQuality\t#1 String\t#2 String\n1\ta\tb\r\n", "0\t1\n"),
        "stsb": ("sentence1\tsentence2\tscore\na\tb\t1.5\na\tc\t0\n", "0\t1e2\n1\t-3\n"),
        "mnli": ("sentence1\tsentence2\tgold_label\na\tb\tneutral\n", "0\tcontradiction\n"),
        "rte": ("sentence1\tsentence2\tlabel\na\tb\tentailment\n", "0\tnot_entailment\n"),
    }
    for task, (examples, predictions) in rows.items():
        data = examples.encode()
        seed("eval", task, bytes([tasks.index(task)]) + struct.pack(">H", len(data)) + data +
             b"index\tprediction\n" + predictions.encode())
    squad = json.dumps({"data": [{"paragraphs": [{
        "context": "The cat sat, on the mat and walked to a house.",
        "qas": [{"id": "q", "question": "who sat?", "answers": [{"text": "The cat"}, {"text": "cat"}]}]}]}]}).encode()
    seed("eval", "squad", bytes([tasks.index("squad")]) + struct.pack(">H", len(squad)) + squad + b'{"q": "a Cat!"}')


# --- messages --------------------------------------------------------------------------------------

def message(tag, payload):
    return struct.pack("<IIQ", 0x4D525444, tag, len(payload)) + payload


def feed(data, piece=200):
    parts = [data[i:i + piece] for i in range(0, len(data), piece)]
    return b"".join(bytes([0, len(part)]) + part for part in parts)


def streams():
    post = lambda slot, tag: bytes([2 | slot << 4, 60 * 4 + tag])
    test = lambda slot: bytes([6 | slot << 4, 0])
    seed("exchange", "posted", b"\0" + post(0, 1) + feed(message(1, bytes(30))) + test(0))
    seed("exchange", "kept", b"\1" + feed(message(1, b"x" * 20) + message(2, b"") + message(1, bytes(100))) +
         post(0, 1) + post(1, 2) + post(2, 1) + test(0) + test(1) + test(2))
    seed("exchange", "halves", b"\0" + bytes([4, 6]) + feed(message(3, b"y" * 40), 10) + post(4, 3) +
         bytes([3 | 4 << 4, 0]) + feed(message(3, b"z")) + post(3, 2) + test(3))
    segment = lambda data, begin=10**9, end=10**9 + 1000: struct.pack("=IIQQ", 0x53525444, len(data), begin, end) + data
    deliver = lambda data: bytes([0, len(data)]) + data
    seed("relay", "message", bytes([1, 101]) + deliver(segment(message(1, bytes(40)))) + bytes([4, 25, 6, 0]))
    seed("relay", "pieces", deliver(segment(message(0, b"x" * 30)[:20])) + deliver(segment(message(0, b"x" * 30)[20:])) +
         bytes([4, 30, 1, 100, 6, 0, 18, 50, 22, 0]) +
         deliver(struct.pack("=IIQQ", 0x53525444, 0xFFFFFFFF, 0, 0)) + bytes([4, 30]))


def handshakes():
    def hello(sender, to, epoch=1):
        return b"DTRTCP01" + struct.pack("<4IQ", sender, to, 3, 0, epoch) + bytes(range(32))
    piece = lambda data: bytes([len(data)]) + data
    seed("handshake", "called", b"\0" + piece(hello(2, 1)) + piece(bytes(32)))
    seed("handshake", "called-key", b"\1" + piece(hello(2, 1)) + piece(bytes(32)))
    seed("handshake", "calling", b"\2" + piece(hello(0, 1) + bytes(32)) + piece(b"welcome\n"))
    seed("handshake", "calling-key", b"\3" + piece(hello(0, 1)) + piece(bytes(32)) + piece(b"welcome\n"))


def control():
    ini = ("[model]\nconfig = /m.json\nweights = random\n[input]\nrandom = yes\nsequence_length = 8\nbatch = 2\n"
           "[cluster]\ndevices = 3\n")
    frames = {
        1: words(0x01020304, 1, 1, 1) + text("0.1.0"),
        2: words(1, 0, 0, 0, 2, 24, 0) + text(ini) + text("{}") + bytes(32) + words(2, 0) + bytes(8),
        3: text("1/2/cafe") + bytes(32),
        4: words(3, 1, 1, 0, 1) + bytes(32) + words(0, 1, 2) + text("1/2/a") + text("3/4/b") + text("5/6/c"),
        6: words(2, 0, 8, 16, 24, 2, 5, 9, 0),
        7: text("reference") + struct.pack("=2d", 0.5, 1e-6),
        8: words(1, 1) + struct.pack("=4d", 1e-4, 1e9, 0, 0),
        # of the model in full-4: D = 4, G = 2, eight strategies
        10: words(1) + struct.pack("=3d", 1, 1, 1) + bytes([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]) + words(5, 6) +
            b"\1" * 8,
        11: struct.pack("=Q", 1000) + text("reference") + text("0-1"),
        12: struct.pack("=QQ", 1, 2) + words(1, 6, 5, 2, 3, 2, 2, 0, 3, 5) + bits(5, 2, 5, 3, 2, 5) +
            bits(1, 0, 0, 0, 0, 0),
        13: struct.pack("=11Q", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) + words(1, 1) + bytes(16 + 16),
        14: words(2, 3) + text("something broke"),
        15: text("device 2 was lost"),
    }
    for kind, contents in frames.items():
        epoch = struct.pack("=Q", 1) if kind > 3 else b""
        seed("control", f"frame-{kind:02}", bytes([kind]) + contents + epoch)


def channels():
    frame = lambda kind, contents: words(0x52544431, kind, len(contents)) + contents
    seed("channel", "frames", b"\0" + frame(1, b"hello") + frame(16, b"") + frame(10, bytes(100)))
    seed("channel", "promise", b"\0" + words(0x52544431, 10, 200 << 20) + bytes(50))
    seed("channel", "sealed", b"\1" + bytes(60))
    seed("channel", "called", b"\4" + bytes(range(56)))
    seed("channel", "calling", b"\5" + bytes(range(56)))


if __name__ == "__main__":
    for make in (configs, weights, vocabularies, experiments, traces, data_of_eval, streams, handshakes, control, channels):
        make()
