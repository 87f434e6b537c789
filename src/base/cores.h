/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores.h - the cores that a listener is bound to (`cores 0 2-3`), and who serves its sockets then
 *
 * A listener has a socket on every core all the same: sockets of a reuseport group are not closed as
 * long as the address is there (proc/socks.c). The master steers everything to those of the named cores
 * (proc/distribute.c). What gets to another one by chance is for a named core, never for the core whose socket it is:
 *
 *	socket of core c -> target: c if it is named, else one of the named
 *	target -> itself, or while it has no worker: the next named core that has one,
 *	                  or when none has: whoever serves the target's sockets on the board
 *
 * Availability first: only when all named cores are out others serve. Every worker finds the same answer from the
 * board, so each socket has one. Pure, any process.
 */
#ifndef FL_BASE_CORES_H
#define FL_BASE_CORES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define CORES_MAX 1024

struct core_set {
	unsigned n;             /* 0: every core is meant */
	uint64_t bits[CORES_MAX / 64];
};
void core_set_add(struct core_set *s, unsigned core);   /* below CORES_MAX */
/* "3" or "2-5", added; false: it is neither, or beyond CORES_MAX. */
bool core_set_read(struct core_set *s, struct str word);
/* true for all when none is named */
bool core_set_has(const struct core_set *s, unsigned core);
/* What both name; n 0: nothing, which here is not every core. */
struct core_set core_set_both(const struct core_set *a, const struct core_set *b);
/* How many of the named are below `cores`. */
unsigned core_set_below(const struct core_set *s, unsigned cores);
unsigned core_set_nth(const struct core_set *s, unsigned n);    /* of the named, n < s->n */
void core_set_text(const struct core_set *s, struct sb *out);   /* "0 2-3" */

/* Whose worker serves the socket of `core`. serving(ctx, c): the board's word for each core, below `cores`. */
typedef uint32_t core_serving_fn(void *ctx, unsigned core);
unsigned core_set_server(const struct core_set *s, unsigned cores, unsigned core, core_serving_fn *serving, void *ctx);
/* Has no named core a worker? */
bool core_set_is_out(const struct core_set *s, unsigned cores, core_serving_fn *serving, void *ctx);

#endif
