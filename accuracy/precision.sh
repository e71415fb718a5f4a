#!/bin/sh
# SPDX-License-Identifier: MIT
#
# precision.sh EXP.ini TASK DATA -- what a model's figures become when numbers travel or are multiplied in fewer bits: a
# Markdown table of `detransformer eval` for every wire type and for the kernels' types.
set -eu
if [ $# -ne 3 ]; then
    echo "usage: $0 EXP.ini TASK DATA" >&2
    exit 2
fi
program=${DETRANSFORMER:-$(cd "$(dirname "$0")/.." && pwd)/detransformer}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# row KERNEL DTYPE WIRE STRATEGY
row() {
    if "$program" eval "$1" --task "$2" --data "$3" --set "experiment.results=$results" --set input.batch=32 \
        --set "kernel.plugin=$4" --set "kernel.dtype=$5" --set "transport.wire=$6" \
        --set "planner.fixed.strategy=$7" >"$results/out" 2>"$results/err"; then
        printf '| %s | %s | %s | %s | %s |\n' "$4" "$5" "$6" "$7" "$(paste -sd ' ' "$results/out" | sed 's/ \([a-z]\)/, \1/g')"
    else
        printf '| %s | %s | %s | %s | (%s) |\n' "$4" "$5" "$6" "$7" "$(tail -n 1 "$results/err")"
    fi
}

printf '| kernel | computes in | wire | strategy | figures |\n|---|---|---|---|---|\n'
for wire in f32 f16 bf16 int8; do
    row "$@" native f32 $wire bp+ag
done
row "$@" native f32 f16 bp+sp
row "$@" native f32 int8 bp+sp
row "$@" native f32 int8 tp
row "$@" onednn bf16 f32 bp+ag
row "$@" onednn int8 f32 bp+ag
row "$@" onednn int8 int8 bp+sp
