# SPDX-License-Identifier: MIT
"""python3 -m accuracy COMMAND: the commands, and what can be said to each."""
import argparse

import torch

from .experiment import SCALES
from .tasks import TASKS


def model_options(parser):
    group = parser.add_argument_group("model")
    group.add_argument("--layers", type=int, default=12)
    group.add_argument("--hidden", type=int, default=768)
    group.add_argument("--heads", type=int, default=12)
    group.add_argument("--intermediate", type=int, default=0, help="0: four times the hidden size")
    group.add_argument("--positions", type=int, default=512)
    group.add_argument("--activation", default="gelu", choices=["gelu", "gelu_new"])
    group.add_argument("--divisions", type=int, default=0, help="D; 0: a plain BERT")
    group.add_argument("--groups", type=int, default=0, help="G")
    group.add_argument("--attention", default="full", choices=["full", "split"], help="of the sub-blocks")


def training_options(parser, rate, batch, length):
    group = parser.add_argument_group("training")
    group.add_argument("--rate", type=float, default=rate)
    group.add_argument("--batch", type=int, default=batch, help="sequences")
    group.add_argument("--length", type=int, default=length, help="tokens, [CLS] and [SEP] included")
    group.add_argument("--seed", type=int, default=1)
    group.add_argument("--dropout", type=float, default=0.1)
    group.add_argument("--numbers", default="f32", choices=["f32", "bf16"], help="what products are computed in")
    group.add_argument("--threads", type=int, default=0, help="0: as PyTorch likes")
    group.add_argument("--save-seconds", type=float, default=300, help="between checkpoints")


def add_vocabulary(commands):
    parser = commands.add_parser("vocabulary", help="train a WordPiece vocabulary on plain text")
    parser.add_argument("text", nargs="+", help="folders")
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--files", type=int, default=0, help="read the first that many of each folder; 0: all")
    parser.add_argument("--letters", type=int, default=150, help="how many characters it knows at most")

    def run(arguments):
        from . import vocabulary
        tokens = vocabulary.train(arguments.text, arguments.size, arguments.letters, arguments.files)
        with open(arguments.out, "w", encoding="utf-8") as out:
            out.write("\n".join(tokens) + "\n")

    parser.set_defaults(run=run)


def add_pretrain(commands):
    parser = commands.add_parser("pretrain", help="train on plain text: masked words and next sentences")
    parser.add_argument("text", nargs="+", help="folders")
    parser.add_argument("--files", type=int, default=0, help="read the first that many of each folder; 0: all")
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--out", required=True, help="the run's folder; the model will be in model/ there")
    parser.add_argument("--cache", help="the tokens of the text (default: corpus.npz beside the run's folder)")
    parser.add_argument("--start", help="a model's folder to go on from")
    parser.add_argument("--teacher", help="a model's folder, whose hidden states it is to come near")
    parser.add_argument("--embeddings", default="random", choices=["random", "counts"],
                        help="word embeddings to begin with: counts = from what stands near what")
    model_options(parser)
    training_options(parser, 1e-3, 32, 128)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--stop-after", type=int, default=0, help="save there and end; the same command goes on")
    parser.add_argument("--warm-up", type=int, default=100, help="steps")
    parser.add_argument("--accumulate", type=int, default=1, help="batches a step")
    parser.add_argument("--optimiser", default="adamw", choices=["adamw", "lamb"])
    parser.add_argument("--no-next-sentence", dest="next_sentence", action="store_false")
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    parser.add_argument("--held-out", type=int, default=4, help="batches to measure on")

    def run(arguments):
        from .pretrain import pretrain
        pretrain(arguments)

    parser.set_defaults(run=run)


def add_finetune(commands):
    parser = commands.add_parser("finetune", help="train a pre-trained model for a task")
    parser.add_argument("model", help="a model's folder")
    parser.add_argument("--task", required=True, choices=[*TASKS, "squad"])
    parser.add_argument("--data", required=True, help="GLUE's folder or the task's own; SQuAD's")
    parser.add_argument("--out", required=True, help="the run's folder; the model will be in model/ there")
    parser.add_argument("--results", help="a CSV file that gets the figures besides")
    parser.add_argument("--stored", default="f32", choices=["f32", "f16", "bf16"], help="type of the weights")
    training_options(parser, 3e-4, 32, 128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=0.1, help="part of the steps")
    parser.add_argument("--examples", type=int, default=0, help="to train on; 0: all")
    parser.add_argument("--smoothing", type=float, default=0.0, help="of the labels")

    def run(arguments):
        from .finetune import finetune
        finetune(arguments)

    parser.set_defaults(run=run)


def add_evaluate(commands):
    parser = commands.add_parser("evaluate", help="a model's figures on a task's dev set")
    parser.add_argument("model", help="a model's folder")
    parser.add_argument("--task", required=True, choices=[*TASKS, "squad"])
    parser.add_argument("--data", required=True, help="GLUE's folder or the task's own; SQuAD's")
    parser.add_argument("--length", type=int, default=128, help="tokens, [CLS] and [SEP] included")
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch likes")

    def run(arguments):
        from .finetune import evaluate
        evaluate(arguments)

    parser.set_defaults(run=run)


def add_slice(commands):
    parser = commands.add_parser("slice", help="a decoupled model out of an original one")
    parser.add_argument("model", help="a plain BERT's folder")
    parser.add_argument("--divisions", type=int, required=True)
    parser.add_argument("--groups", type=int, required=True)
    parser.add_argument("--attention", default="full", choices=["full", "split"])
    parser.add_argument("--out", required=True, help="the new model's folder")

    def run(arguments):
        from .slicing import slice_model
        slice_model(arguments)

    parser.set_defaults(run=run)


def add_predict(commands):
    parser = commands.add_parser("predict", help="what a model makes of texts, as `detransformer run --dump` writes it")
    parser.add_argument("model", help="a model's folder")
    parser.add_argument("texts", help="a file, a text a line; a TAB separates a pair")
    parser.add_argument("--length", type=int, default=128, help="tokens, [CLS] and [SEP] included")
    parser.add_argument("--out", required=True, help="a safetensors file")

    def run(arguments):
        from .predict import predict
        predict(arguments)

    parser.set_defaults(run=run)


def add_experiment(commands):
    parser = commands.add_parser("experiment", help="originals against decoupled models, from text to table")
    parser.add_argument("--scale", default="reduced", choices=list(SCALES))
    parser.add_argument("--text", nargs="+", required=True, help="folders of plain text")
    parser.add_argument("--glue", required=True, help="GLUE's folder")
    parser.add_argument("--out", required=True, help="a folder; the same command goes on in it")
    parser.add_argument("--cells", help="instead of the scale's, for instance 'original d4g2 sliced-d4g2'")
    parser.add_argument("--tasks", help="instead of the scale's")
    parser.add_argument("--seeds", help="instead of the scale's")
    parser.add_argument("--steps", help="instead of the scale's")
    parser.add_argument("--numbers", choices=["f32", "bf16"], help="what products are computed in")
    parser.add_argument("--embeddings", default="counts", choices=["random", "counts"])
    parser.add_argument("--dropout", type=float, default=0.0, help="in pre-training")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--threads", type=int, default=0, help="of a run; 0: as PyTorch likes")

    def run(arguments):
        from .experiment import experiment
        experiment(arguments)

    parser.set_defaults(run=run)


def add_report(commands):
    parser = commands.add_parser("report", help="table and curves of an experiment, as far as it is")
    parser.add_argument("folder", help="its --out")

    def run(arguments):
        from .report import report
        report(arguments.folder)

    parser.set_defaults(run=run)


def main(words=None):
    parser = argparse.ArgumentParser(prog="accuracy", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in add_vocabulary, add_pretrain, add_finetune, add_evaluate, add_slice, add_predict, add_experiment, add_report:
        add(commands)
    arguments = parser.parse_args(words)
    if getattr(arguments, "threads", 0):
        torch.set_num_threads(arguments.threads)
    return arguments.run(arguments)
