# SPDX-License-Identifier: MIT
#
# lib.sh -- TAP for the shell tests.  A test reads it in, says what it expects and ends with `done_testing`:
#
#     . "$DTR_TESTS/lib.sh"
#     try detransformer --version
#     is "$status" 0 "--version succeeds"
#     like "$output" '^detransformer [0-9]' "--version says which"
#     done_testing
#
# The working folder is an empty one of the test's own, removed afterwards ($TMPDIR).  Besides:
# $DTR_SOURCE, $DTR_BUILD  the tops of the source and the build tree
# $DTR_PROGRAM             the program, as built
# $DTR_TEST_DATA           the data at hand, which may be absent: `need_data FOLDER`
set -u
cd "$TMPDIR" || exit 99

tests_run=0

# detransformer ARGUMENT... -- the program as built, under $DTR_MEMCHECK when that is set.
detransformer() {
    ${DTR_MEMCHECK-} "$DTR_PROGRAM" "$@"
}

# try COMMAND... -- runs it; $status, $output and $errors say what it did.
try() {
    "$@" >"$TMPDIR/.output" 2>"$TMPDIR/.errors"
    status=$?
    output=$(cat "$TMPDIR/.output")
    errors=$(cat "$TMPDIR/.errors")
}

comment() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

pass() {
    tests_run=$((tests_run + 1))
    printf 'ok %d - %s\n' $tests_run "$1"
}

fail() {
    tests_run=$((tests_run + 1))
    printf 'not ok %d - %s\n' $tests_run "$1"
}

# ok DESCRIPTION COMMAND... -- the command succeeds.
ok() {
    ok_description=$1
    shift
    if "$@" >"$TMPDIR/.ok" 2>&1; then
        pass "$ok_description"
    else
        fail "$ok_description"
        comment "failed: $*"
        sed 's/^/#   /' "$TMPDIR/.ok"
        return 1
    fi
}

# is GOT WANTED DESCRIPTION
is() {
    if [ "$1" = "$2" ]; then
        pass "$3"
    else
        fail "$3"
        comment "got:    $1"
        comment "wanted: $2"
        [ -z "${errors-}" ] || comment "errors: $errors"
        return 1
    fi
}

# like GOT PATTERN DESCRIPTION -- an extended regular expression matches one of the lines.
like() {
    if printf '%s\n' "$1" | grep -Eq -e "$2"; then
        pass "$3"
    else
        fail "$3"
        comment "got:     $1"
        comment "pattern: $2"
        return 1
    fi
}

# unlike GOT PATTERN DESCRIPTION -- no line matches.
unlike() {
    if printf '%s\n' "$1" | grep -Eq -e "$2"; then
        fail "$3"
        comment "got:     $1"
        comment "pattern: $2, which must not match"
        return 1
    else
        pass "$3"
    fi
}

# skip DESCRIPTION REASON -- one check that cannot be made here.
skip() {
    tests_run=$((tests_run + 1))
    printf 'ok %d - %s # SKIP %s\n' $tests_run "$1" "$2"
}

# skip_all REASON -- none of this test can be made here.
skip_all() {
    [ $tests_run -eq 0 ] || exit 99
    printf '1..0 # SKIP %s\n' "$1"
    exit 0
}

need_program() {
    command -v "$1" >/dev/null 2>&1 || skip_all "$1 is not installed"
}

# need_data FOLDER -- skips all without that folder of the data at hand.
need_data() {
    [ -d "$DTR_TEST_DATA/$1" ] || skip_all "no $1 in $DTR_TEST_DATA"
}

# is_built NAME -- the plugin is among those that configure found possible.
is_built() {
    case " $DTR_PLUGINS_BUILT " in
    *" $1 "*) return 0 ;;
    *) return 1 ;;
    esac
}

# need_plugin NAME... -- skips all when one was not built.
need_plugin() {
    for need_plugin_name; do
        is_built "$need_plugin_name" || skip_all "the plugin $need_plugin_name was not built"
    done
}

# need_long -- skips all but in `make check-long`.
need_long() {
    [ -n "${DTR_TEST_LONG-}" ] || skip_all "takes long: make check-long"
}

# need_mpirun -- skips all where mpirun starts no processes; $mpirun is the command, up to how many.
need_mpirun() {
    need_program mpirun
    # Open MPI asks who is root to mean it; a test is what runs as root then.
    if [ "$(id -u)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    # What MPI libraries leave at the end is theirs.
    export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
    mpirun="mpirun --oversubscribe -n"
    $mpirun 2 true >probe 2>&1 || mpirun="mpirun -n" # MPICH's needs no word for it
    $mpirun 2 true >probe 2>&1 || skip_all "mpirun starts no two processes here"
}

# The plan, at the end; a test that dies before has none, and that is an error.
done_testing() {
    printf '1..%d\n' $tests_run
    exit 0
}
