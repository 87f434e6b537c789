/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the management side: consolidator thread, admin thread, channel to the master
 *
 * Unprivileged, killable at any time. Its slot's heartbeat is the consolidator's: when that stands
 * still the master replaces the process.
 */
#ifndef FL_PROC_CONTROL_H
#define FL_PROC_CONTROL_H

#include "proc/sandbox.h"
#include "stat/stat.h"

struct helper_start {
	struct stat_seg *seg;
	struct ids       ids;
	int              chan_fd, ctl_fd;
	int              wake_fd;            /* eventfd: somebody has something for us */
	int              wake_logd;          /* to be told of our own log lines */
};
FL_NORETURN void control_main(const struct helper_start *s);

#endif
