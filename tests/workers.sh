# SPDX-License-Identifier: MIT
#
# workers.sh -- workers that listen, for shell tests; after lib.sh.
is_alive() { # PROCESS
    grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

# until_true COMMAND... -- looks again and again, and gives up in the end.
until_true() {
    looks=0
    until "$@"; do
        looks=$((looks + 1))
        [ $looks -lt "${DTR_TEST_LOOKS:-200}" ] || return 1
        sleep 0.05
    done
}

new_key() { # FILE
    (umask 077 && detransformer key new >"$1")
}

# worker NAME ADDR:PORT OPTION... -- starts one; its address is then in NAME.at.
worker() {
    worker_name=$1 worker_listen=$2
    shift 2
    # What another of that name said is not to be taken for its word.
    rm -f "$worker_name.out" "$worker_name.err"
    ${DTR_MEMCHECK-} "$DTR_PROGRAM" worker --listen "$worker_listen" --log info "$@" \
        >"$worker_name.out" 2>"$worker_name.err" &
    echo $! >"$worker_name.pid"
    until_true grep -qs '^listening at ' "$worker_name.out" || return 1
    sed -n 's/^listening at //p' "$worker_name.out" >"$worker_name.at"
}

end_worker() { # NAME
    kill -TERM "$(cat "$1.pid")"
    wait "$(cat "$1.pid")"
}

children() { # PROCESS
    grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3
}
