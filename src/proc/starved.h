/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starved.h - a silent process that wants the CPU and does not get it is not hung
 *
 * A worker that is stopped or waits in a lock is not runnable; one in an endless loop uses the CPU. A
 * third kind is runnable and gets next to nothing, because the machine is short of cores: killing it would only
 * lose its connections and add load. Master only; two small reads of /proc, when a worker is half way to silence.
 */
#ifndef FL_PROC_STARVED_H
#define FL_PROC_STARVED_H

#include <sys/types.h>

#include "base/compiler.h"

struct starved {
	uint64_t at_ms, run_ns;      /* when first looked at, and its CPU time then; at_ms 0: not looked at */
};
/* Looks (again). True: since the first look it was runnable now and had less than a fifth of a core. */
bool starved_look(struct starved *s, pid_t pid, uint64_t now_ms);
/* Has it had a fifth of a core or more since the first look? Then it works, on something that does not end; else it waits. */
bool starved_works(const struct starved *s, pid_t pid, uint64_t now_ms);

#endif
