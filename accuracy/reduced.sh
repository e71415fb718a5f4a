#!/bin/sh
# SPDX-License-Identifier: MIT
#
# reduced.sh GLUE OUT TEXT... -- the accuracy experiment in small, in less than ten minutes on two idle cores: a
# vocabulary, an original and three decoupled models pre-trained on a part of the text in the folders TEXT, fine-tuned
# on SST-2 out of the folder GLUE; OUT/table.md and OUT/curves.png are what comes out.
# $PYTHON is a Python with torch and numpy (Debian: python3-torch).
set -eu
if [ $# -lt 3 ]; then
    echo "usage: $0 GLUE OUT TEXT..." >&2
    exit 2
fi
glue=$1 out=$2
shift 2
export OMP_NUM_THREADS=1
export PYTHONPATH="$(cd "$(dirname "$0")/.." && pwd)${PYTHONPATH+:$PYTHONPATH}"
exec "${PYTHON:-/usr/bin/python3}" -m accuracy experiment --scale reduced --glue "$glue" --out "$out" --text "$@" \
    --jobs 2 --threads 1
