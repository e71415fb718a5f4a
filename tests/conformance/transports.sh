# SPDX-License-Identifier: MIT
#
# transports.sh -- what the tests of the transports' conformance have in common.
. "$DTR_TESTS/lib.sh"

# check NAME OPTION... -- the suite, with the lines that matter when it fails.
check() {
    case $(detransformer plugins "$1") in
    *"score      none"*)
        skip "$*" "it cannot run here"
        return
        ;;
    esac
    try detransformer check "$@"
    [ "$status" -eq 0 ] || printf '%s\n' "$output" | grep -A1 '^not ok' | sed 's/^/#   /'
    is "$status,$errors" "0," "$* conforms"
    like "$output" '^ok .* messages of every size arrive whole, 9 devices$' "$* was tried"
}
