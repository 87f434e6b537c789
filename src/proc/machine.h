/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - does a configuration fit this machine: accounts, addresses, folders, limits, the kernel
 *
 * What only a start would find otherwise is found here, with its place in the file: `fairlead -t`, the scout and
 * each gen run the same checks. They look and change nothing, and a later start may still find another machine: that
 * a port is taken only the master knows, when it binds (manifest.h carries the places).
 */
#ifndef FL_PROC_MACHINE_H
#define FL_PROC_MACHINE_H

#include "conf/conf.h"
#include "lb/lb.h"
#include "proc/sandbox.h"

enum gen_checks {
	GEN_TREE,            /* of the configuration alone */
	GEN_MACHINE,         /* and whether it fits this machine */
	GEN_START,           /* and what only a start makes anew: addresses of listeners, the control socket's folder */
	GEN_TEST,            /* as GEN_START, by somebody whose limits are not the appliance's: -t */
};

/* On a checked tree, or on one that was refused: what is broken in it is passed over. Gen, -t; reads the system's data
 * bases, may block on them. */
void machine_check(const struct conf *c, enum gen_checks checks, struct conf_diag *d);
/* Are there rows enough in the segment? lc NULL: nothing to count. */
void machine_check_rows(struct lb_config *lc, struct conf_diag *d);
/* Accounts of the processes that are not master; false with an error in d when there is none. */
bool machine_account(const struct conf *c, struct ids *ids, struct conf_diag *d);
/* The folder of a control socket must be ours and closed to others, else anybody could put a socket of his in our
 * place. make: makes it when only it is missing, and closes our default places; else it must be possible to make it, or
 * to write to it. Negated errno; *why: what people should know beside that, NULL when it says it all; with 0 a warning:
 * others can see the socket, which is itself closed to them. */
int  machine_socket_folder(const char *path, bool make, const char **why);
/* CPUs that we may run on: as many workers when their number is automatic. */
unsigned machine_cpus(void);

#endif
