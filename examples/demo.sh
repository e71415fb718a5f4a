#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh -- what `./bootstrap demo` shows: real sentences through a decoupled model on four local devices, then the
# same sentences under every strategy, side by side.
set -eu
cd "$(dirname "$0")/.."
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

./detransformer run examples/quickstart.ini --set "experiment.results=$results/quickstart"
echo
echo "Every strategy, on the same four devices:"
./detransformer sweep examples/compare.ini --set "experiment.results=$results/compare"
