# SPDX-License-Identifier: MIT
#
# aarch64.sh -- a kernel plugin, cross-compiled and put through the conformance suite in an emulator.
need_program aarch64-linux-gnu-gcc
need_program qemu-aarch64

# build NAME -- makes $TMPDIR/check of plugins/NAME; ends the test when it cannot be compiled.
build() {
    if (cd "$DTR_SOURCE" && aarch64-linux-gnu-gcc -std=gnu11 -O2 -static -pthread -fno-math-errno \
        -Wall -Wextra -Werror -DDTR_VARIANT=base -D_GNU_SOURCE \
        -Icore/include -Icore -Iplugins -I"$DTR_BUILD" -o "$TMPDIR/check" \
        tests/conformance/check_plugin.c plugins/"$1"/*.c plugins/common/*.c \
        core/check/check.c core/check/kernel*.c core/plugin/host.c core/plugin/pool.c \
        core/base/clean.c core/base/error.c core/base/log.c -lm) 2>"$TMPDIR/compiler"; then
        pass "$1 is compiled"
    else
        fail "$1 is compiled"
        comment "$(cat "$TMPDIR/compiler")"
        done_testing
        exit 0
    fi
}

# runs CPU PATTERN DESCRIPTION -- the suite passes on that processor, and the log has the pattern.
runs() {
    try qemu-aarch64 -cpu "$1" "$TMPDIR/check"
    [ "$status" -eq 0 ] || printf '%s\n' "$output" | grep -A1 '^not ok' | sed 's/^/#   /'
    is "$status" 0 "$3"
    like "$errors" "$2" "$3: as it should"
    like "$output" '^ok .* linear f32, threads 2$' "$3: tried"
}
