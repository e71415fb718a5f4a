/* SPDX-License-Identifier: MIT
 *
 * arrival.h -- when the rest of a message that comes slowly is worth reading.  The kernel
 * acknowledges at each read of more than a packet, so that a message that is read as it comes is
 * answered by almost as many packets; what is left unread it acknowledges when it must.
 */
#ifndef DTR_TCP_ARRIVAL_H
#define DTR_TCP_ARRIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On one connection; all zero at first. */
struct arrival {
    size_t there;           /* unread at the last look */
    uint64_t grew_ns;       /* since when, or since the last read */
    uint64_t whole_ns;      /* when all should be there */
    uint64_t look_again_ns; /* not before */
};

/* `there` of `missing` bytes of a message can be read.  Whether they are to be left unread: at the
 * rate at which the last of them came the rest is still on its way. */
bool arrival_goes_on(struct arrival *arrival, size_t there, size_t missing, uint64_t now_ns);

/* All that was there has been read. */
void arrival_read(struct arrival *arrival, uint64_t now_ns);

/* No more will come: the next look does not wait for it. */
void arrival_end(struct arrival *arrival);

#endif
