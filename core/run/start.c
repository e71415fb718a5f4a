/* SPDX-License-Identifier: MIT
 *
 * start.c -- from processes to a group whose weights are in place.
 */
#include "run/group.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"

/* Time for a worker to start, to load its plugins and to join; weights may take longer. */
enum { START_S = 60 };

void dtr_group_stage(const struct dtr_session *session, const char *what, uint32_t done) {
    const struct dtr_session_progress *progress = session->progress;
    if (progress && progress->stage)
        progress->stage(progress->arg, what, done, session->devices);
}

static int launch_worker(struct dtr_peer *peer, struct dtr_error *error) {
    struct dtr_session *session = peer->session;
    struct dtr_worker_process process;
    const uint64_t deadline = dtr_now_ns() + START_S * DTR_SECOND_NS;
    const int status = dtr_launch_worker(session->launch, session->experiment, peer->device,
                                         deadline, &process, error);
    if (status)
        return status;
    if (!session->here[0])
        dtr_stream_here_host(process.fd, session->here);
    return dtr_peer_connect(peer, &process, error);
}

static int set_up_worker(struct dtr_session *session, struct dtr_peer *peer, const char *experiment,
                         const char *config, const struct dtr_supply *supply,
                         struct dtr_error *error) {
    struct dtr_reader reader;
    int status = dtr_peer_expect(peer, DTR_FRAME_HELLO, dtr_now_ns() + START_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_hello(&reader, error);
    if (status)
        return status;
    const struct dtr_setup setup = {
        .device = peer->device,
        .options = session->device->options,
        .log_level = session->log ? session->log->level : DTR_LOG_ERROR,
        .experiment = experiment,
        .config = config,
        .supply = *supply,
    };
    dtr_write_setup(&session->writer, &setup);
    return dtr_peer_send(peer, DTR_FRAME_SETUP, error);
}

/* What all devices must have alike. */
static int check_alike(const struct dtr_device *own, uint32_t device,
                       const struct dtr_address *address, struct dtr_error *error) {
    char transport[256], theirs[17], ours[17];
    dtr_device_transport(own, transport, sizeof transport);
    if (strcmp(address->transport, transport) != 0)
        return dtr_fail(error, DTR_E_CONFIG,
                        "device %u moves messages by %.250s, the leader by %s", device,
                        address->transport, transport);
    sodium_bin2hex(theirs, sizeof theirs, address->digest, 8);
    sodium_bin2hex(ours, sizeof ours, own->model->digest, 8);
    if (memcmp(address->digest, own->model->digest, 32) != 0)
        return dtr_fail(error, DTR_E_CONFIG,
                        "device %u has another model: its digest begins with %s, the leader's with "
                        "%s",
                        device, theirs, ours);
    return DTR_OK;
}

static int hear_address(struct dtr_session *session, struct dtr_peer *peer,
                        struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_address address;
    int status = dtr_peer_expect(peer, DTR_FRAME_ADDRESS, dtr_now_ns() + START_S * DTR_SECOND_NS,
                                 &reader, error);
    if (!status)
        status = dtr_read_address(&reader, &address, error);
    if (status)
        return status;
    status = check_alike(session->device, peer->device, &address, error);
    if (status)
        return status;
    memcpy(peer->address, address.text, strlen(address.text) + 1);
    return DTR_OK;
}

static int start_workers(struct dtr_session *session, struct dtr_error *error) {
    char *experiment = dtr_experiment_print(session->experiment), *config = NULL;
    struct dtr_supply supply;
    uint8_t *types = NULL;
    int status = experiment ? dtr_map_text(session->experiment->model_config, &config, error)
                            : dtr_fail_memory(error);
    if (!status)
        status = dtr_supply_describe(session->device->model, &supply, &types, error);
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = launch_worker(&session->peers[i], error);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        dtr_group_stage(session, "starting devices", i);
        status = set_up_worker(session, &session->peers[i], experiment, config, &supply, error);
    }
    for (uint32_t i = 1; i < session->devices && !status; i++)
        status = hear_address(session, &session->peers[i], error);
    free(experiment);
    free(config);
    free(types);
    return status;
}

static int form_group(struct dtr_session *session, struct dtr_error *error) {
    const uint32_t devices = session->devices;
    const uint64_t deadline = dtr_now_ns() + START_S * DTR_SECOND_NS;
    const char **addresses = calloc(devices, sizeof *addresses);
    char own[DTR_ADDRESS_MAX];
    const char *hint = session->here[0] ? session->here : NULL;
    int status =
        addresses ? dtr_device_address(session->device, hint, own, error) : dtr_fail_memory(error);
    randombytes_buf(session->key, sizeof session->key);
    const struct dtr_group group = {
        .size = sizeof group,
        .devices = devices,
        .addresses = addresses,
        .epoch = 1,
        .key = session->key,
    };
    for (uint32_t i = 0; i < devices && !status; i++)
        addresses[i] = i ? session->peers[i].address : own;
    for (uint32_t i = 1; i < devices && !status; i++) {
        dtr_write_group(&session->writer, &group);
        status = dtr_peer_send(&session->peers[i], DTR_FRAME_GROUP, error);
    }
    if (!status)
        status = dtr_device_join(session->device, &group, deadline, error);
    for (uint32_t i = 1; i < devices && !status; i++) {
        struct dtr_reader reader;
        status = dtr_peer_expect(&session->peers[i], DTR_FRAME_JOINED, deadline, &reader, error);
    }
    free(addresses);
    return status;
}

static int hear_ready(struct dtr_session *session, struct dtr_peer *peer, uint64_t deadline_ns,
                      struct dtr_error *error) {
    struct dtr_reader reader;
    struct dtr_ready ready;
    int status = dtr_peer_expect(peer, DTR_FRAME_READY, deadline_ns, &reader, error);
    if (!status)
        status = dtr_read_ready(&reader, &ready, error);
    if (status)
        return status;
    session->reports[peer->device].weight_bytes = ready.weight_bytes;
    strncat(peer->kernel, ready.kernel, sizeof peer->kernel - 1);
    return DTR_OK;
}

/* In turns: those that are sent their weights share the leader. */
static int hear_all_ready(struct dtr_session *session, struct dtr_error *error) {
    const uint64_t turn_ns = 20000000;
    uint32_t left = session->devices - 1;
    bool *ready = calloc(session->devices, sizeof *ready);
    int status = ready ? DTR_OK : dtr_fail_memory(error);
    while (left && !status)
        for (uint32_t i = 1; i < session->devices && !status; i++) {
            struct dtr_error cause = {0};
            if (ready[i])
                continue;
            status = hear_ready(session, &session->peers[i], dtr_now_ns() + turn_ns, &cause);
            ready[i] = !status;
            left -= ready[i];
            dtr_group_stage(session, "placing weights", session->devices - left);
            if (status == DTR_E_TIMEOUT)
                status = DTR_OK;
            else if (status)
                *error = cause;
        }
    free(ready);
    return status;
}

int dtr_group_place(struct dtr_session *session, struct dtr_error *error) {
    uint8_t *bytes = NULL;
    size_t length = 0;
    int status = dtr_plan_encode(session->plan, &bytes, &length, error);
    for (uint32_t i = 1; i < session->devices && !status; i++) {
        dtr_write_bytes(&session->writer, bytes, length);
        status = dtr_peer_send(&session->peers[i], DTR_FRAME_PLAN, error);
    }
    free(bytes);
    dtr_group_stage(session, "placing weights", 0);
    if (!status)
        status = dtr_device_load(session->device, session->plan, error);
    if (!status)
        session->reports[0].weight_bytes = dtr_kernels_bytes(session->device->kernels);
    if (!status)
        status = hear_all_ready(session, error);
    return status;
}

int dtr_group_start(struct dtr_session *session, struct dtr_error *error) {
    if (session->devices < 2)
        return DTR_OK;
    const int status = start_workers(session, error);
    return status ? status : form_group(session, error);
}
