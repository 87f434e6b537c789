/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_mem.h - OpenSSL's memory: cells of a worker instead of malloc
 *
 * A handshake is some 1,500 small allocations; malloc's locks, bins and headers are 6 % of its CPU and 3 %
 * of an idle connection. In a worker they come from cells of 16-byte steps, without a lock.
 *
 * tls_mem_init() makes OpenSSL ask here, for plain malloc at first: gen loads certificates that
 * workers share after the fork, and `control` has threads. tls_mem_cells() turns cells on
 * and is called by workers, which have one thread. What was allocated before is still malloc's: an
 * address tells which is which. With AddressSanitizer and in 32-bit programs cells stay off.
 *
 * Bounds: at most 64 KiB for each size in use and 4 MiB of emptied chunks stay touched; what is emptied
 * beyond that goes back to the system. Workers reserve 16 GiB of addresses (no memory); without
 * them, or when they are used up, malloc serves. The failpoint is "tls_malloc".
 */
#ifndef FL_NET_TLS_MEM_H
#define FL_NET_TLS_MEM_H

#include "base/compiler.h"

/* The first of main(): OpenSSL refuses (false) once it has allocated anything. */
bool tls_mem_init(void);
/* This process has one thread and keeps it. Repeatable. False: malloc goes on serving. */
bool tls_mem_cells(void);

struct tls_mem_figures {
	size_t cells;            /* given out */
	size_t bytes;            /* of these, rounded up to their size */
	size_t chunks, empty;    /* of 64 KiB: ever made, without a cell now */
	size_t warm;             /* of the empty ones: still touched */
};
struct tls_mem_figures tls_mem_figures(void);

#endif
