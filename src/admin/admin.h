/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - the management plane: a thread of `control` with its own engine
 *
 * Serves the control socket (fairleadctl) and the HTTP admin. Reads everything from the segment
 * and from the configuration of the newest generation, which it builds for itself from the image
 * that the master sends (same loader, same lb_build as the workers). What changes anything is
 * asked of the master by `call`. May die at any time: the data path does not notice.
 */
#ifndef FL_ADMIN_ADMIN_H
#define FL_ADMIN_ADMIN_H

#include "stat/stat.h"

struct admin_env {
	struct stat_seg *seg;
	int   ctl_fd;            /* listening unix stream socket, made by the master; -1: none */
	/*
	 * Asks the master; blocking, at most timeout_ms; runs in a thread that admin has for this
	 * alone, one call at a time, so that figures are served meanwhile. One line in, text out:
	 *   "reload"        waits until the new workers are ready (or the reason why not)
	 *   "reload-wait"   also until the old ones are gone
	 *   "admin ROW STATE UID REASON..."   writes a service's admin state (ST_ADMIN_ number)
	 *   "reopen"        log files
	 *   "shutdown" "stop"   graceful, at once
	 *   "steering ROW"  how flows of that listener are spread: see distribute_tell() of proc/master.h
	 *   "gens"          the gen processes: PID GENERATION STATE UPTIME_MS, one a line
	 *   "ping"
	 * Returns 0, 1 (refused; reply says why) or a negative error.
	 */
	int  (*call)(void *ctx, const char *line, struct sb *reply, unsigned timeout_ms);
	void  *call_ctx;
};
/* Starts the thread. Negative on failure. */
int  admin_start(const struct admin_env *env);
/* From another thread: a new generation was committed. `image_fd` (a sealed memfd with the image
 * of conf_src_image without secrets) and `http_fd` (listening TCP socket of admin { http }, -1
 * none) are taken. */
void admin_set_config(int image_fd, uint32_t generation, int http_fd);
/* Time of the last sign of life of the thread (monotonic ms): the watchdog of control restarts
 * the process. */
uint64_t admin_heartbeat_ms(void);

/* `fairlead -c FILE explain request ...` without a running appliance: argv behind the word
 * explain. Prints to out; returns the exit code. Same code as the live one. */
struct lb_config;
int  admin_explain_offline(struct lb_config *lc, int argc, char **argv, bool json, struct sb *out);

#endif
