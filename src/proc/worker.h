/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - the packet engine: one process and one loop per core, unprivileged, of one generation
 * for life
 *
 *	forked -> attached, sandboxed -> READY -> GO: serves -> RETIRE: drains -> last client gone: ends
 *	                                                    `-> EXIT: cuts what is left, ends
 *
 * A worker whose channel ends (master and gen both died) serves on for 10 s, then drains: nobody is
 * left who could adopt it.
 */
#ifndef FL_PROC_WORKER_H
#define FL_PROC_WORKER_H

#include "proc/gen.h"

struct worker_start {
	struct gen *gen;
	uint32_t    slot, core, generation;
	int         chan_fd;
	int         cpu;         /* to run on; -1: the core says */
};
/* In the forked child. */
FL_NORETURN void worker_main(const struct worker_start *s);

#endif
