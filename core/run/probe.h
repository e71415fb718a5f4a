/* SPDX-License-Identifier: MIT
 *
 * probe.h -- measures one device's kernels and one link, for a profile.
 */
#ifndef DTR_RUN_PROBE_H
#define DTR_RUN_PROBE_H

#include "plan/profile.h"
#include "run/device.h"

/* Measures the shapes on the device's kernels: `seconds` [count].  Takes a few seconds at most. */
int dtr_probe_kernels(struct dtr_device *device, const struct dtr_probe *probes, uint32_t count,
                      double *seconds, struct dtr_error *error);

/* Measures the link to a peer, which calls dtr_probe_echo() meanwhile.  The group has joined and
 * nothing else is under way. */
int dtr_probe_link(struct dtr_device *device, uint32_t peer, struct dtr_link *link,
                   struct dtr_error *error);
int dtr_probe_echo(struct dtr_device *device, uint32_t peer, struct dtr_error *error);

#endif
