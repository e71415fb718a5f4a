/* SPDX-License-Identifier: MIT
 *
 * link.h -- one peer's side of the exchange: its queues, and the two ends of its stream.
 */
#ifndef DTR_TRANSPORTS_LINK_H
#define DTR_TRANSPORTS_LINK_H

#include "common/exchange.h"

void request_queue_append(struct request_queue *queue, struct dtr_transfer *request);
void request_queue_remove(struct request_queue *queue, struct dtr_transfer *request);

/* Ends a request: what is left is its owner's test(). */
void request_finish(struct exchange *exchange, struct dtr_transfer *request, int status);

/* Gives a new receive the oldest kept message with its tag; false when there is none. */
bool link_match_kept(struct exchange *exchange, struct exchange_link *link,
                     struct dtr_transfer *request);

/* Ends all requests of the link, and what has come of a message that never will be whole. */
void link_fail(struct exchange *exchange, struct exchange_link *link, int status);

/* Gives back the link's memory; its requests are not touched but for orphans. */
void link_drop(struct exchange *exchange, struct exchange_link *link);

#endif
