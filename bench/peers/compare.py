#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""DeTransformer, ONNX Runtime and PyTorch on one device, side by side: the same models and weights (BERT-Base, plain and
decoupled), the same tokens, whole requests (tokens in, the complete last hidden state out), outputs compared.

    apt-get install python3-torch python3-onnx nodejs npm && make bench/peers/ours && bench/peers/compare.py

The peers take turns, a few requests each, of which the first only warms up; medians count.  Of ONNX Runtime (which npm
installs into the work folder) and of PyTorch every form of the model that graph.py and torch_peer.py know is tried for each
size, and the fastest takes part."""
import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np

import graph
import model

HERE = pathlib.Path(__file__).resolve().parent
ORT_VERSION = "1.30.0"
MODELS = {"plain": 0, "decoupled": 4}
OURS = {"f32": "DeTransformer f32", "bf16": "DeTransformer bf16", "int8": "DeTransformer int8"}
ORT = {"f32": "ONNX Runtime f32", "int8": "ONNX Runtime int8"}
TORCH = "PyTorch f32"
WARM, COUNTED = 1, 2  # requests of a turn


class Peer:
    """A process that runs requests when it is told to."""

    def __init__(self, command, environment=None):
        self.samples = []
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})})
        self.banner = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"compare.py: a peer ended with status {self.process.wait()}: {self.process.args}")
        return line.strip()

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def turn(self):
        took = [float(ms) for ms in self.ask(str(WARM + COUNTED)).split()]
        self.samples += took[WARM:]
        return statistics.median(took[WARM:])

    def output(self, path):
        self.ask(f"dump {path}")
        return np.fromfile(path, np.float32)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def fastest(starters):
    """The peer, of those that the functions start, that answers soonest, and what its form is called."""
    best = None
    for form, start in starters.items():
        peer = start()
        peer.turn()
        took = peer.turn()
        if best and best[0] <= took:
            peer.close()
            continue
        if best:
            best[2].close()
        best = (took, form, peer)
    best[2].samples.clear()
    return best[2], best[1]


class Case:
    """One model, size and number of threads, with all peers running."""

    def __init__(self, options, name, size, threads):
        self.folder = options.work / name
        self.name, self.size, self.threads = name, size, threads
        self.batch, self.length = map(int, size.split("x"))
        self.peers, self.forms = {}, {}
        model.write_input(self.folder, self.batch, self.length)
        ids = self.folder / f"{size}.ids"
        for dtype, title in OURS.items():
            self.peers[title] = self.start_ours(options, dtype)
        for dtype, title in ORT.items():
            self.peers[title], self.forms[title] = fastest({
                form: lambda form=form: Peer(["node", HERE / "ort_peer.js", options.work / "node_modules/onnxruntime-node",
                                              self.folder / f"{form}.onnx", ids, self.batch, threads])
                for form in graph.FORMS[dtype]})
        self.peers[TORCH], self.forms[TORCH] = fastest({
            form: lambda form=form: Peer([sys.executable, HERE / "torch_peer.py", self.folder, ids, self.batch, threads, form],
                                         {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"})
            for form in ("eager", "frozen") + (("layer",) if name == "plain" else ())})

    def start_ours(self, options, dtype):
        experiment = self.folder / f"{self.size}.ini"
        experiment.write_text(f"""[model]
config = config.json
weights = model.safetensors
vocab = vocab.txt
[input]
file = {self.size}.txt
batch = {self.batch}
sequence_length = {self.length}
[planner]
plugin = fixed
[planner.fixed]
strategy = single
""")
        settings = [f"device.threads={self.threads}", f"kernel.dtype={dtype}"] + options.set
        return Peer([options.build / "bench/peers/ours", experiment, *itertools.chain(*(("--set", s) for s in settings))],
                    {"DTR_PLUGIN_PATH": str(options.build / "modules/.libs")})

    def measure(self, turns):
        for _ in range(turns):
            for peer in self.peers.values():
                peer.turn()
        outputs = {title: peer.output(self.folder / "output") for title, peer in self.peers.items()}
        wanted = outputs[TORCH].astype(np.float64)
        result = {"model": self.name, "batch": self.batch, "length": self.length, "threads": self.threads, "peers": {}}
        base = statistics.median(self.peers[ORT["f32"]].samples)
        for title, peer in self.peers.items():
            ms = statistics.median(peer.samples)
            difference = outputs[title] - wanted
            result["peers"][title] = {
                "ms": ms, "samples_ms": peer.samples, "against_ort_f32": ms / base, "form": self.forms.get(title),
                "max_difference": float(np.abs(difference).max()),
                "relative_l2": float(np.linalg.norm(difference) / np.linalg.norm(wanted)),
            }
        return result

    def close(self):
        for peer in self.peers.values():
            peer.close()


def prepare(options, names):
    options.work.mkdir(parents=True, exist_ok=True)
    if not (options.work / "node_modules/onnxruntime-node").exists():
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", options.work,
                        f"onnxruntime-node@{ORT_VERSION}"], check=True, stdout=sys.stderr)
    for name in names:
        done = options.work / name / "complete"
        if not done.exists():
            print(f"writing the {name} model", file=sys.stderr)
            made = model.Model(MODELS[name])
            made.write(options.work / name)
            graph.write(made, options.work / name)
            done.touch()


def cpu():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")


def show(result):
    print(f"\n{result['model']} BERT-Base, batch {result['batch']}, {result['length']} tokens, {result['threads']} "
          f"thread{'s' * (result['threads'] > 1)}")
    print(f"  {'':20} {'median ms':>9} {'of ORT f32':>10} {'max diff.':>9} {'rel. L2':>8}")
    for title, figures in result["peers"].items():
        print(f"  {title:20} {figures['ms']:9.2f} {figures['against_ort_f32']:10.3f} {figures['max_difference']:9.1e} "
              f"{figures['relative_l2']:8.1e}  {figures['form'] or ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("peers-work"), help="folder for models and npm's package")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent, help="where DeTransformer was built")
    parser.add_argument("--models", default="plain,decoupled")
    parser.add_argument("--sizes", default="1x128,1x16,1x512,8x128", help="batch x tokens")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--set", action="append", default=[], help="lay a value over DeTransformer's experiment")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    options.work = options.work.resolve()
    names = options.models.split(",")
    for name in names:
        if name not in MODELS:
            parser.error(f"there is no model '{name}', only plain and decoupled")
    prepare(options, names)
    report = {"cpu": cpu(), "onnxruntime": ORT_VERSION, "turns": options.turns, "results": []}
    print(report["cpu"])
    for threads, name, size in itertools.product(options.threads.split(","), names, options.sizes.split(",")):
        case = Case(options, name, size, int(threads))
        report["results"].append(case.measure(options.turns))
        case.close()
        show(report["results"][-1])
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
