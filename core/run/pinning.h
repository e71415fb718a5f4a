/* SPDX-License-Identifier: MIT
 *
 * pinning.h -- keeps a device on its cores ([device] cores): every compute thread on one, the
 * engine's thread anywhere among them.  That thread sleeps but for moments: on a core of its own it
 * would waste one, and bound to one it would wait for the compute thread there while another core
 * of the device idles.  The cores of other devices are not for it, or it would disturb them.
 * Threads that only listen for the leader, or the workers, stay free: a device whose cores are
 * busy must give signs of life all the same.
 */
#ifndef DTR_RUN_PINNING_H
#define DTR_RUN_PINNING_H

#include "run/device.h"

/* Binds the device's compute threads, of which the caller is the first.  What is started by the
 * caller from then on inherits that, so that workers must have been started before.  Does nothing
 * for a device that is not pinned. */
int dtr_pinning_begin(struct dtr_device *device, struct dtr_error *error);

/* Where the caller is, and threads that it starts.  None of it fails or does anything for a device
 * that is not, or not yet, pinned. */
enum dtr_pinning_place {
    DTR_PINNING_FREE,   /* wherever the process may run */
    DTR_PINNING_DEVICE, /* on any core of the device */
    DTR_PINNING_THREAD  /* on the first compute thread's core */
};
void dtr_pinning_place(const struct dtr_device *device, enum dtr_pinning_place place);

#endif
