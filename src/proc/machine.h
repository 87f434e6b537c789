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

/* On a checked tree, or on one that was refused: what is broken in it is passed over. at_start: also what a
 * reload does not make anew, or finds when it does: addresses of listeners, the control socket's folder. Gen, -t;
 * reads the system's data bases, may block on them. */
void machine_check(const struct conf *c, bool at_start, struct conf_diag *d);
/* Are there rows enough in the segment? lc NULL: nothing to count. */
void machine_check_rows(struct lb_config *lc, struct conf_diag *d);
/* Accounts of the processes that are not master; false with an error in d when there is none. */
bool machine_account(const struct conf *c, struct ids *ids, struct conf_diag *d);
/* The folder of a control socket must be ours and closed to others, else anybody could put a socket of his in our
 * place, or look on. make: makes it when only it is missing. Negated errno; *why: what people should know beside
 * that, NULL when it says it all. */
int  machine_socket_folder(const char *path, bool make, const char **why);

#endif
