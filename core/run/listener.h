/* SPDX-License-Identifier: MIT
 *
 * listener.h -- the process that waits for leaders on a device: it listens, lets those in who hold
 * the key, and starts a process for the session of each, one at a time.  Whatever else connects is
 * told nothing and dropped.
 */
#ifndef DTR_RUN_LISTENER_H
#define DTR_RUN_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "run/key.h"

struct dtr_listener_options {
    const char *address; /* to listen at */
    bool has_key;        /* without one only the loopback interface will do */
    uint8_t key[DTR_KEY_BYTES];
    const char *const *arguments; /* more of them for a session's process; ends at NULL */
    const struct dtr_log *log;
};

struct dtr_listener;

/* Listens.  The options outlive the listener. */
int dtr_listener_open(const struct dtr_listener_options *options, struct dtr_listener **listener_p,
                      struct dtr_error *error);

/* Where, as ADDR:PORT. */
const char *dtr_listener_address(const struct dtr_listener *listener);

/* Serves leaders until SIGTERM or SIGINT.  Blocks. */
int dtr_listener_serve(struct dtr_listener *listener, struct dtr_error *error);

/* Ends the session that is under way. */
void dtr_listener_close(struct dtr_listener *listener);

#endif
