/* SPDX-License-Identifier: MIT
 *
 * group.c -- measuring a group: before requests by probes, during requests by what they show.
 */
#include "run/group.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/sort.h"
#include "plan/account.h"
#include "run/probe.h"

/* All pairs are measured in a group of up to so many devices, else neighbours only. */
enum { ALL_PAIRS = 6, PATIENCE_S = 120 };

/* Messages among all: what is tried in turns; as often in one as takes so long, and in no further
 * turn when so much time is over. */
enum { STRAIGHT, SPARING, TRIED };
enum { TURNS = 9, REPEATS_FIRST = 3, REPEATS_MOST = 5000 };
static const double turn_s = 0.02;
static const uint64_t turns_ns = UINT64_C(2000000000);

static enum dtr_algorithm tried(uint32_t index, uint32_t devices) {
    return index == STRAIGHT ? DTR_DIRECT : dtr_route_sparing(devices);
}

static uint64_t deadline_ns(void) {
    return dtr_now_ns() + PATIENCE_S * DTR_SECOND_NS;
}

/* --- kernels ---------------------------------------------------------------------------------- */

static int keep_kernel(struct dtr_profile *profile, uint32_t device, const char *name,
                       struct dtr_error *error) {
    profile->kernel[device] = strdup(name);
    return profile->kernel[device] ? DTR_OK : dtr_fail_memory(error);
}

static int measure_worker(struct dtr_session *session, uint32_t device, struct dtr_error *error) {
    struct dtr_profile *profile = session->profile;
    struct dtr_peer *peer = &session->peers[device];
    struct dtr_reader reader;
    const char *kernel;
    dtr_write_probes(&peer->writer, profile->probes, profile->probes_count);
    int status = dtr_peer_send(peer, DTR_FRAME_PROBE, error);
    if (!status)
        status = dtr_peer_expect(peer, DTR_FRAME_PROBED, deadline_ns(), &reader, error);
    if (status)
        return status;
    if (dtr_read_probed(&reader, profile->probes_count, &kernel,
                        profile->seconds + (size_t)device * profile->probes_count, error))
        return dtr_peer_give_up(peer, error);
    return keep_kernel(profile, device, kernel, error);
}

/* One after the other: devices of one machine would measure each other. */
static int measure_kernels(struct dtr_session *session, struct dtr_error *error) {
    struct dtr_profile *profile = session->profile;
    int status = DTR_OK;
    if (!profile->kernel[0]) {
        status = dtr_probe_kernels(session->device, profile->probes, profile->probes_count,
                                   profile->seconds, error);
        if (!status)
            status = keep_kernel(profile, 0, dtr_kernels_name(session->device->kernels), error);
    }
    for (uint32_t i = 1; i < session->members && !status; i++) {
        if (profile->kernel[session->member[i]])
            continue;
        dtr_group_stage(session, "measuring devices", i);
        status = measure_worker(session, session->member[i], error);
    }
    return status;
}

/* --- links ------------------------------------------------------------------------------------ */

/* Devices by their ranks, as they know each other. */
static int ask_side(struct dtr_session *session, uint32_t rank, uint32_t peer, bool echoes,
                    struct dtr_error *error) {
    const struct dtr_link_frame frame = {.peer = peer, .echoes = echoes};
    if (rank == 0)
        return DTR_OK;
    struct dtr_peer *member = dtr_member(session, rank);
    dtr_write_link(&member->writer, &frame);
    return dtr_peer_send(member, DTR_FRAME_LINK, error);
}

/* This device's own side, or the answer of the worker that took it. */
static int finish_side(struct dtr_session *session, uint32_t rank, uint32_t peer, bool echoes,
                       struct dtr_link *link, struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_link_frame frame;
    if (rank == 0)
        return echoes ? dtr_probe_echo(session->device, peer, error)
                      : dtr_probe_link(session->device, peer, link, error);
    struct dtr_peer *member = dtr_member(session, rank);
    int status = dtr_peer_expect(member, DTR_FRAME_LINKED, deadline_ns(), &reader, error);
    if (status)
        return status;
    status = dtr_read_link(&reader, &frame, error);
    if (!status && !echoes && !(frame.link.bytes_per_s > 0))
        status = dtr_fail(error, DTR_E_CORRUPT, "it measured a link that cannot be");
    if (status)
        return dtr_peer_give_up(member, error);
    if (!echoes)
        *link = frame.link;
    return DTR_OK;
}

static struct dtr_link *link_of(const struct dtr_session *session, uint32_t from, uint32_t to) {
    return &session->profile
                ->link[(size_t)session->member[from] * session->devices + session->member[to]];
}

static int measure_link(struct dtr_session *session, uint32_t from, uint32_t to,
                        struct dtr_error *error) {
    struct dtr_link link = {0};
    int status = ask_side(session, from, to, false, error);
    if (!status)
        status = ask_side(session, to, from, true, error);
    /* The leader's own side blocks: it comes first. */
    if (!status && to == 0)
        status = finish_side(session, to, from, true, &link, error);
    if (!status)
        status = finish_side(session, from, to, false, &link, error);
    if (!status && to != 0)
        status = finish_side(session, to, from, true, &link, error);
    if (!status)
        *link_of(session, from, to) = link;
    return status;
}

/* A link that was not measured is as good as the worse of the ports at its ends. */
static void fill_links(const struct dtr_session *session) {
    const uint32_t n = session->members;
    for (uint32_t from = 0; from < n; from++)
        for (uint32_t to = 0; to < n; to++) {
            struct dtr_link *link = link_of(session, from, to);
            const struct dtr_link *out = link_of(session, from, (from + 1) % n);
            const struct dtr_link *in = link_of(session, (to + n - 1) % n, to);
            if (from != to && !(link->bytes_per_s > 0))
                *link = out->bytes_per_s < in->bytes_per_s ? *out : *in;
        }
}

static int measure_links(struct dtr_session *session, struct dtr_error *error) {
    const uint32_t members = session->members;
    int status = DTR_OK;
    for (uint32_t from = 0; from < members && !status; from++) {
        dtr_group_stage(session, "measuring links", from);
        for (uint32_t to = 0; to < members && !status; to++)
            if (from != to && !(link_of(session, from, to)->bytes_per_s > 0) &&
                (members <= ALL_PAIRS || to == (from + 1) % members))
                status = measure_link(session, from, to, error);
    }
    if (!status)
        fill_links(session);
    return status;
}

/* --- messages --------------------------------------------------------------------------------- */

/* As long as the slowest device takes. */
static int try_once(struct dtr_session *session, const struct dtr_trial *trial, double *took_s_p,
                    struct dtr_error *error) {
    struct dtr_trial_times *times = calloc(session->members, sizeof *times);
    const int status = times ? dtr_group_try(session, trial, times, error) : dtr_fail_memory(error);
    double slowest_s = 0;
    for (uint32_t i = 0; i < session->members && !status; i++)
        slowest_s = fmax(slowest_s, times[i].mean_s);
    free(times);
    if (!status)
        *took_s_p = slowest_s;
    return status;
}

/* One of either; the first turn, of few repeats, says how many are worth their while. */
static int try_both(struct dtr_session *session, const struct dtr_collective_shape *shape,
                    uint32_t turn, double took_s[TRIED][TURNS], struct dtr_error *error) {
    for (uint32_t i = 0; i < TRIED; i++) {
        const double worth = turn ? turn_s / took_s[i][0] : REPEATS_FIRST;
        const double repeats = fmin(fmax(worth, 1), REPEATS_MOST);
        const struct dtr_trial trial = {
            .what = DTR_TRIAL_COLLECTIVE,
            .kind = shape->kind,
            .algorithm = tried(i, shape->devices),
            .rows = shape->rows,
            .columns = shape->columns,
            .warmup = (uint32_t)repeats / 4,
            .repeats = (uint32_t)repeats,
        };
        const int status = try_once(session, &trial, &took_s[i][turn], error);
        if (status)
            return status;
    }
    return DTR_OK;
}

static double lower_quartile(double *values, uint32_t count) {
    dtr_sort_doubles(values, count);
    return values[count / 4];
}

/* In turns, so that what else the machine does happens to both; it only adds to the time. */
static int try_in_turns(struct dtr_session *session, const struct dtr_collective_shape *shape,
                        double quartile_s[TRIED], struct dtr_error *error) {
    const uint64_t end_ns = dtr_now_ns() + turns_ns;
    double took_s[TRIED][TURNS];
    uint32_t turns = 0;
    for (; turns < TURNS && (turns < 2 || dtr_now_ns() < end_ns); turns++) {
        const int status = try_both(session, shape, turns, took_s, error);
        if (status)
            return status;
    }
    for (uint32_t i = 0; i < TRIED; i++)
        quartile_s[i] = lower_quartile(took_s[i] + 1, turns - 1);
    return DTR_OK;
}

/* How long they would take by the links alone: beginning one that is awaited at once costs next to
 * nothing. */
static int predict(struct dtr_session *session, const struct dtr_collective_shape *shape,
                   double links_s[TRIED], struct dtr_error *error) {
    struct dtr_profile *selected;
    int status =
        dtr_profile_select(session->profile, session->member, session->members, &selected, error);
    if (status)
        return status;
    const struct dtr_cost cost = {.link = selected->link};
    for (uint32_t i = 0; i < TRIED && !status; i++)
        status = dtr_collective_predict(shape, tried(i, shape->devices), &cost, &links_s[i], error);
    dtr_profile_free(selected);
    return status;
}

/* What messages and rounds take where all send to all at once, which those of one link cannot show:
 * devices may share a machine, or a switch that is slow to think. */
static int measure_messages(struct dtr_session *session, struct dtr_error *error) {
    const uint32_t members = session->members;
    const struct dtr_collective_shape shape = {
        .kind = DTR_ALL_GATHER, .devices = members, .rows = members, .columns = 1};
    double took_s[TRIED], links_s[TRIED];
    dtr_group_stage(session, "measuring messages", 0);
    int status = predict(session, &shape, links_s, error);
    if (!status)
        status = try_in_turns(session, &shape, took_s, error);
    if (status)
        return status;
    session->messages_measured = true;
    dtr_profile_fit(session->profile, members,
                    (struct dtr_excess){.straight_s = took_s[STRAIGHT] - links_s[STRAIGHT],
                                        .sparing_s = took_s[SPARING] - links_s[SPARING]});
    return DTR_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

int dtr_group_measure(struct dtr_session *session, struct dtr_error *error) {
    const struct dtr_model *model = session->device->model;
    const uint32_t rows = session->device->tokens_max;
    int status = DTR_OK;
    if (!session->profile) {
        status =
            dtr_profile_create(&model->shape, session->devices, rows, &session->profile, error);
        if (status)
            return status;
        sodium_bin2hex(session->profile->model, sizeof session->profile->model, model->digest,
                       sizeof model->digest);
        dtr_planning_cpu(session->profile->cpu, sizeof session->profile->cpu);
    }
    status = measure_kernels(session, error);
    if (!status)
        status = measure_links(session, error);
    if (!status && !session->messages_measured && session->members > 1)
        status = measure_messages(session, error);
    return status;
}

/* --- trials ----------------------------------------------------------------------------------- */

static int hear_trial(struct dtr_session *session, uint32_t rank, struct dtr_trial_times *times,
                      struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_peer *member = dtr_member(session, rank);
    const int status = dtr_peer_expect(member, DTR_FRAME_TRIED, deadline_ns(), &reader, error);
    if (status)
        return status;
    return dtr_read_tried(&reader, times, error) ? dtr_peer_give_up(member, error) : DTR_OK;
}

/* What all would refuse is refused before any of them is asked. */
static int check_trial(const struct dtr_session *session, const struct dtr_trial *trial,
                       struct dtr_error *error) {
    const struct dtr_collective_shape shape = {.kind = trial->kind,
                                               .devices = session->members,
                                               .rows = trial->rows,
                                               .columns = trial->columns};
    struct dtr_schedule *schedule;
    if (!dtr_trial_sane(trial, session->members))
        return dtr_fail(error, DTR_E_CONFIG, "there is no such trial");
    const int status = dtr_collective_lower(&shape, trial->algorithm, 0, &schedule, error);
    if (!status)
        dtr_schedule_free(schedule);
    return status;
}

int dtr_group_try(struct dtr_session *session, const struct dtr_trial *trial,
                  struct dtr_trial_times *times, struct dtr_error *error) {
    int status = check_trial(session, trial, error);
    for (uint32_t i = 1; i < session->members && !status; i++) {
        struct dtr_peer *member = dtr_member(session, i);
        dtr_write_trial(&member->writer, trial);
        status = dtr_peer_send(member, DTR_FRAME_TRIAL, error);
    }
    if (!status)
        status = dtr_trial_run(session->device, trial, &times[0], error);
    for (uint32_t i = 1; i < session->members && !status; i++)
        status = hear_trial(session, i, &times[i], error);
    return status;
}

/* --- what requests show ----------------------------------------------------------------------- */

/* Small messages tell of latency, not of bandwidth. */
static const uint64_t telling_bytes = 8192;

/* One collective as all devices saw it. */
struct sight {
    uint64_t begin_ns, end_ns; /* the last device's begin; the last device's end */
    double port_s;             /* what the profile gives the busiest port */
};

static void see(const struct dtr_profile *profile, const struct dtr_schedule *schedule,
                const struct dtr_flight_times *times, uint32_t index, struct sight *sight) {
    const uint32_t device = schedule->device, peer = (device + 1) % schedule->devices;
    const struct dtr_link *link = &profile->link[(size_t)device * schedule->devices + peer];
    uint64_t sent, received;
    dtr_account_collective(schedule, &schedule->collectives[index], &sent, &received);
    const uint64_t bytes = sent > received ? sent : received;
    const double port_s = (double)bytes / link->bytes_per_s;
    if (times[index].begin_ns > sight->begin_ns)
        sight->begin_ns = times[index].begin_ns;
    if (times[index].end_ns > sight->end_ns)
        sight->end_ns = times[index].end_ns;
    if (bytes >= telling_bytes && port_s > sight->port_s)
        sight->port_s = port_s;
}

static const struct dtr_schedule *schedule_of(const struct dtr_session *session, uint32_t device) {
    const struct dtr_companions *companions = session->program->companions;
    return device ? companions->schedules[device - 1] : session->program->schedule;
}

static const struct dtr_flight_times *times_of(const struct dtr_session *session, uint32_t device) {
    const struct dtr_companions *companions = session->program->companions;
    return device ? companions->flight_times[device]
                  : dtr_flights_times(session->program->flights, 0);
}

/* Collectives are listed in the order in which they begin: nearly always that of their tags. */
double dtr_group_link_factor(const struct dtr_session *session) {
    const struct dtr_profile *profile = dtr_planning_profile(session->planning);
    const uint32_t devices = session->members;
    double factors[256];
    uint32_t cursors[64] = {0};
    size_t count = 0;
    uint64_t before_ns = 0;
    if (!profile || devices < 2 || devices > 64)
        return 0;
    for (uint32_t tag = 0; count < sizeof factors / sizeof factors[0]; tag++) {
        struct sight sight = {0};
        bool more = false;
        for (uint32_t i = 0; i < devices; i++) {
            const struct dtr_schedule *schedule = schedule_of(session, i);
            while (cursors[i] < schedule->collectives_count &&
                   schedule->collectives[cursors[i]].tag < tag)
                cursors[i]++; /* begun out of turn */
            more |= cursors[i] < schedule->collectives_count;
            if (cursors[i] < schedule->collectives_count &&
                schedule->collectives[cursors[i]].tag == tag)
                see(profile, schedule, times_of(session, i), cursors[i]++, &sight);
        }
        if (!more)
            break;
        /* It shared the ports with the one before while both were under way. */
        const uint64_t begin_ns = sight.begin_ns > before_ns ? sight.begin_ns : before_ns;
        const double took_s =
            (double)(int64_t)(sight.end_ns - begin_ns) * 1e-9 - profile->link[1].latency_s;
        if (sight.port_s > 0 && took_s > 1e-6)
            factors[count++] = sight.port_s / took_s;
        before_ns = sight.end_ns > before_ns ? sight.end_ns : before_ns;
    }
    dtr_sort_doubles(factors, count);
    return count ? factors[count / 2] : 0;
}
