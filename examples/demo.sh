#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh -- what `./bootstrap demo` shows: sentences and their sentiment, from a small decoupled model on four local
# devices; then a model of BERT-Base's size on four devices, and under every strategy on four emulated Raspberry Pis with
# a slow network between them.
set -eu
cd "$(dirname "$0")/.."
results=results/demo
rm -rf "$results"

echo "Praise or blame, by four devices (your own: ./detransformer run examples/sentiment.ini --text \"...\"):"
./detransformer run examples/sentiment.ini --set "experiment.results=$results/sentiment"
echo
echo "A decoupled model of BERT-Base's size on four devices:"
./detransformer run examples/quickstart.ini --set "experiment.results=$results/quickstart"
echo
echo "The same model on four emulated Raspberry Pi 4B, 125 Mbit/s between them:"
./detransformer sweep examples/compare.ini --set "experiment.results=$results/compare"
