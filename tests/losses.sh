# SPDX-License-Identifier: MIT
# losses.sh -- what losses-tcp.test and losses-shm.test have in common ($transport).  A worker that is
# killed or stopped, at whatever moment: its request is answered by the others, every answer equals
# that of an undisturbed run, the loss is said once, and the device is taken in again.
[ -r /proc/self/status ] || skip_all "no /proc here"

# Requests take a while, so that what happens does so in the middle of one.
cat >exp.ini <<INI
[experiment]
results = $TMPDIR/results
requests = 100
warmup = 0
[model]
config = $DTR_TESTS/fixtures/full-4/config.json
weights = random
[input]
random = yes
sequence_length = 24
[cluster]
devices = 4
[kernel]
plugin = throttle
[kernel.throttle]
over = reference
gflops = 0.03
[planner]
plugin = fixed
[planner.fixed]
strategy = bp+sp
INI
need_plugin throttle $transport

# The leader's children by the number of their control channel: devices 1, 2, 3.
workers() { # LEADER
    for process in $(grep -ls "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status | cut -d / -f 3); do
        tr '\0' '\n' <"/proc/$process/cmdline" | awk -v process="$process" '
            before == "--control" { print $0, process } { before = $0 }'
    done | sort -n | cut -d ' ' -f 2
}

until_true() {
    looks=0
    until "$@"; do
        looks=$((looks + 1))
        [ $looks -lt "${DTR_TEST_LOOKS:-400}" ] || return 1
        sleep 0.02
    done
}

has_worker() { # NUMBER
    worker=$(workers "$leader" | sed -n "$1p")
    [ -n "$worker" ]
}

none_of_ours() {
    ! grep -qs "^PPid:[[:space:]]*$leader\$" /proc/[0-9]*/status
}

# What every request came to, as a column of numbers.
numbers() { # JSON
    sed -n 's/.*"cls":[^[]*\[\(.*\)\].*/\1/p; s/.*"norm":[^0-9]*\([0-9.e-]*\).*/\1/p' "$1" | tr ',' '\n'
}

equal() { # JSON
    numbers undisturbed.json >wanted
    numbers "$1" >got
    paste got wanted | awk -v requests=$(($(grep -c '"norm"' undisturbed.json))) '
        NF != 2 { bad = 1 }
        { apart = $1 - $2; if (apart < 0) apart = -apart; if (apart > 2e-5) bad = 1 }
        END { exit bad || NR != requests * 5 }'
}

# On a busy machine one may be silent for a while that is only waiting for its turn: where nobody is
# stopped it may be.
start() { # OPTION...
    : >out
    ${DTR_MEMCHECK-} "$DTR_PROGRAM" run exp.ini --json run.json --set transport.plugin=$transport \
        --set cluster.lost_after_ms=$patience "$@" >out 2>err &
    leader=$!
}

# ended HOW DEVICE -- the run is over, and nothing but the one loss is to be seen of it.
ended() {
    wait "$leader"
    is $? 0 "$1: the run is done"
    errors=$(cat err)
    [ $patience -gt 700 ] || sed -i "/device [^$2] was lost: it was silent/d" err
    is "$(grep -c "device $2 was lost" err),$(grep -c . err)" 1,1 "and the loss is said once"
    ok "every answer is that of an undisturbed run" equal run.json
    like "$(tr -d '\n\t' <run.json | grep -o "\"device\":$2,\"event\":\"[a-z]*\"" | tr '\n' ' ')" \
        "^\"device\":$2,\"event\":\"lost\" (\"device\":$2,\"event\":\"returned\" )?\$" "the report has it"
    ok "nothing is left" none_of_ours
}

cause() { # SIGNAL
    case $1 in
    KILL) echo "its process was killed by signal 9" ;;
    STOP) echo "it was silent for [0-9]* ms" ;;
    esac
}

[ -z "${DTR_MEMCHECK-}" ] || skip_all "killed workers would be taken for leaks"
try detransformer run exp.ini --json undisturbed.json --set transport.plugin=$transport
is "$status" 0 "the undisturbed run" || comment "$errors"

for signal in KILL STOP; do
    [ $signal = KILL ] && patience=20000 || patience=700
    for device in 1 2 3; do
        start
        until_true test -s out
        has_worker $device
        kill -$signal "$worker"
        ended "SIG$signal, device $device" $device
        like "$errors" "^detransformer: warn: device $device was lost: $(cause $signal)\$" "and says why"
    done
done

patience=20000
# Before anything runs: while it starts, joins or loads.
for wait in 0 0.03 0.1; do
    start
    until_true has_worker 2
    sleep $wait
    kill -KILL "$worker"
    ended "killed after $wait s" 2
done

# And while it is measured.
for wait in 0 0.1; do
    start --set planner.plugin=adaptive
    until_true has_worker 2
    sleep $wait
    kill -KILL "$worker"
    ended "killed after $wait s, before or while it is measured" 2
done

# With time to come back.
start --set experiment.requests=400
until_true test -s out
has_worker 1
kill -KILL "$worker"
wait "$leader"
like "$(tr -d '\n\t' <run.json)" '"device":1,"event":"returned"' "a lost device is taken in again"

start
until_true test -s out
kill -KILL $(workers "$leader")
wait "$leader"
is $? 0 "all workers are killed at once: the run is done"
ok "every answer is that of an undisturbed run" equal run.json

start --set device.memory=70KiB
until_true test -s out
kill -KILL $(workers "$leader")
wait "$leader"
is $? 1 "the leader has not the memory to go on alone"
like "$(tail -n 1 err)" "^detransformer: device [123] was lost: its process was killed by signal 9; those that are left cannot go on: .* \[device\] memory: the plan needs .* on device 0 of" \
    "and says so in a sentence"
is "$(none_of_ours && echo none)" none "nothing is left"
