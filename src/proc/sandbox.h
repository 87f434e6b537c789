/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - what our processes give up after they were forked
 *
 * Everything is best effort but the account: a process that should not be root and cannot become
 * the account ends. What could not be applied is logged once as event `sandbox`.
 */
#ifndef FL_PROC_SANDBOX_H
#define FL_PROC_SANDBOX_H

#include <sys/types.h>

#include "base/compiler.h"

struct ids {
	uid_t uid;
	gid_t gid;
	char  name[64];
};
/* Account for the processes that are not master: `user`, without it nobody (*fallback true). When
 * this process is not root: its own. FL_ENOTFOUND_ when neither exists. gen only: reads the
 * system's account data base. */
int  sandbox_ids(const char *user, struct ids *out, bool *fallback);

/* First thing after fork: default signals, own process group (a terminal's Ctrl-C is the master's
 * alone), name for ps. */
void sandbox_child(const char *name);
/* Closes every descriptor above 2 that is not in keep[0..n). Sorts keep. */
void sandbox_close_others(int *keep, unsigned n);
/* Pins this process to `cpu`, or, when that is -1 or not to be had, to the (core modulo their number)-th CPU that it may use. */
void sandbox_pin(unsigned core, int cpu);

enum sandbox_kind {
	SANDBOX_WORKER,      /* no new processes, no files but /dev/null and the resolver's */
	SANDBOX_CONTROL,     /* threads, but no new processes; no files */
	SANDBOX_LOGD,        /* writes to what it was given */
};
/* Becomes the account and drops the rest: supplementary groups, capabilities, new privileges, core
 * dumps of secrets, file system (Landlock), system calls (seccomp). Irrevocable. Negative: the
 * account could not be taken, exit. */
int  sandbox_enter(enum sandbox_kind kind, const struct ids *ids);

#endif
