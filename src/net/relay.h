/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - layer 4: two conns tied together, half-close kept, back-pressure both ways
 */
#ifndef FL_NET_RELAY_H
#define FL_NET_RELAY_H

#include "net/conn.h"

struct relay;
struct relay_cb {
	/* Ended: both sides closed (err 0), or an error or idle timeout; side 0 = a, 1 = b, -1
	 * neither. Both conns are closed by the relay before the call; the relay is freed after
	 * it. */
	void (*done)(void *ctx, int err, int side);
	/* bytes since the last call; may be NULL */
	void (*progress)(void *ctx, size_t a_to_b, size_t b_to_a);
};
/* Takes both conns (a: client, b: service, both ready) and everything they still hold. NULL without
 * memory (conns are closed). */
struct relay *relay_start(struct conn *a, struct conn *b, uint64_t idle_ms,
			  const struct relay_cb *cb, void *ctx);
void relay_abort(struct relay **r);

#endif
