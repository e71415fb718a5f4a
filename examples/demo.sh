#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh -- what `./bootstrap demo` shows: real sentences through a decoupled model on four local devices.
set -eu
cd "$(dirname "$0")/.."

exec ./detransformer run examples/quickstart.ini
