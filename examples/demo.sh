#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh -- what `./bootstrap demo` shows: real sentences through a decoupled model on four local devices, then the
# same sentences under every strategy on four emulated Raspberry Pis with a slow network between them.
set -eu
cd "$(dirname "$0")/.."
results=results/demo
rm -rf "$results"

./detransformer run examples/quickstart.ini --set "experiment.results=$results/quickstart"
echo
echo "The same model on four emulated Raspberry Pi 4B, 125 Mbit/s between them:"
./detransformer sweep examples/compare.ini --set "experiment.results=$results/compare"
