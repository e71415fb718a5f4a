/* SPDX-License-Identifier: MIT */
#include "run/world.h"

#include <stdlib.h>

#include "base/clock.h"
#include "config/experiment.h"
#include "run/channel.h"
#include "run/worker.h"

enum { LEAVE_S = 10 };

struct dtr_world {
    struct dtr_plugins *plugins;
    const struct dtr_log *log;
    const struct dtr_plugin *plugin;
    void *params;
    struct dtr_open_chain *open;
    uint32_t rank, size;
};

static void *self_of(const struct dtr_world *world) {
    return dtr_chain_top(world->open)->self;
}

static const struct dtr_transport_ops *ops_of(const struct dtr_world *world) {
    return world->plugin->ops;
}

/* --- who is there ----------------------------------------------------------------------------- */

static void forget(struct dtr_world *world) {
    dtr_chain_close(world->open);
    if (world->plugin)
        dtr_params_free(world->plugin, world->params);
    world->open = NULL;
    world->plugin = NULL;
    world->size = 0;
}

/* What the launcher's experiment says of it is not known yet: its defaults have to do. */
static int ask(struct dtr_world *world, const struct dtr_plugin *plugin, struct dtr_error *error) {
    int status = dtr_params_defaults(plugin, &world->params, error);
    if (status)
        return status;
    world->plugin = plugin;
    const struct dtr_chain chain = {.count = 1, .plugin = {plugin}, .params = {world->params}};
    status = dtr_chain_open(&chain, world->log, 1, 0, 1, &world->open, error);
    struct dtr_error cause = {.text = "it does not say why"};
    if (!status &&
        (status = ops_of(world)->world(self_of(world), &world->rank, &world->size, &cause)))
        dtr_fail(error, status,
                 "the transport '%s' cannot tell what was started with this "
                 "process: %s",
                 plugin->name, cause.text);
    if (!status && world->rank >= world->size)
        status = dtr_fail(error, DTR_E_PLUGIN, "the transport '%s' has rank %u among %u processes",
                          plugin->name, world->rank, world->size);
    if (status || world->size < 2)
        forget(world);
    return status;
}

/* What cannot be loaded, or lacks what it needs here, has not started this process. */
static const struct dtr_plugin *launcher(const struct dtr_world *world, const char *name) {
    const struct dtr_plugin *plugin;
    struct dtr_error cause = {.status = DTR_OK};
    int score;
    if (dtr_plugins_find(world->plugins, name, &plugin, &cause)) {
        dtr_log(world->log, DTR_LOG_DEBUG, "%s", cause.text);
        return NULL;
    }
    const bool launches = plugin->kind == DTR_TRANSPORT && plugin->caps & DTR_CAP_LAUNCH;
    return launches && !dtr_plugins_probe(world->plugins, plugin, &score, &cause) ? plugin : NULL;
}

static int find(struct dtr_world *world, struct dtr_error *error) {
    char **names;
    size_t count;
    int status = dtr_plugins_list(world->plugins, &names, &count, error);
    if (status)
        return status;
    for (size_t i = 0; i < count && !status && !world->size; i++) {
        const struct dtr_plugin *plugin = launcher(world, names[i]);
        if (plugin)
            status = ask(world, plugin, error);
    }
    dtr_plugins_names_free(names, count);
    return status;
}

int dtr_world_open(struct dtr_plugins *plugins, const struct dtr_log *log,
                   struct dtr_world **world_p, struct dtr_error *error) {
    struct dtr_world *world = calloc(1, sizeof *world);
    if (!world)
        return dtr_fail_memory(error);
    world->plugins = plugins;
    world->log = log;
    const int status = find(world, error);
    if (status || !world->size) {
        free(world);
        world = NULL;
    }
    if (!status)
        *world_p = world;
    return status;
}

const char *dtr_world_launcher(const struct dtr_world *world) {
    return world->plugin->name;
}

uint32_t dtr_world_rank(const struct dtr_world *world) {
    return world->rank;
}

uint32_t dtr_world_size(const struct dtr_world *world) {
    return world->size;
}

/* --- rank 0 ----------------------------------------------------------------------------------- */

int dtr_world_call(struct dtr_world *world, uint32_t rank, uint64_t deadline_ns, int *fd_p,
                   struct dtr_error *error) {
    return ops_of(world)->control(self_of(world), rank, deadline_ns, fd_p, error);
}

static void ignore(void *arg, const struct dtr_frame *frame) {
    (void)arg;
    (void)frame;
}

/* Its greeting is read first: to close a stream that holds something unread may break it before
 * the other end has read all. */
static int let_go(struct dtr_world *world, uint32_t rank, struct dtr_error *error) {
    const struct dtr_channel_events events = {.interrupted = ignore};
    const uint64_t deadline = dtr_now_ns() + LEAVE_S * DTR_SECOND_NS;
    struct dtr_channel *channel;
    struct dtr_frame frame;
    int fd;
    int status = dtr_world_call(world, rank, deadline, &fd, error);
    if (!status)
        status = dtr_channel_create(fd, NULL, &events, &channel, error);
    if (status)
        return status;
    if (dtr_channel_receive(channel, deadline, &frame) ||
        dtr_channel_send(channel, DTR_FRAME_LEAVE, NULL, 0))
        status = dtr_fail(error, DTR_E_PEER, "rank %u is gone", rank);
    dtr_channel_free(channel);
    return status;
}

void dtr_world_close(struct dtr_world *world) {
    if (!world)
        return;
    struct dtr_error error = {.status = DTR_OK};
    for (uint32_t i = 1; world->rank == 0 && i < world->size && !error.status; i++)
        if (let_go(world, i, &error))
            dtr_log(world->log, DTR_LOG_WARN, "%s", error.text);
    forget(world);
    free(world);
}

/* --- the others ------------------------------------------------------------------------------- */

int dtr_world_serve(struct dtr_world *world, struct dtr_error *error) {
    for (;;) {
        int fd;
        int status = ops_of(world)->control(self_of(world), 0, UINT64_MAX / 2, &fd, error);
        if (status)
            return status;
        struct dtr_error failure = {.status = DTR_OK};
        status = dtr_worker_serve(fd, NULL, world->plugins, world->log, &failure);
        if (status == DTR_E_CANCELLED)
            return DTR_OK;
    }
}
