/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - fairleadctl: a client of the control socket, and the few verbs that it does itself
 *
 * Exit status: 0 done, 1 refused or failed, 2 misused, 3 fairlead cannot be reached.
 */
#ifndef FL_CTL_CTL_H
#define FL_CTL_CTL_H

#include "admin/verbs.h"

#define CTL_OK          0
#define CTL_FAIL        1
#define CTL_USAGE       2
#define CTL_UNREACHABLE 3

struct ctl_client {
	const char *path;            /* given by -s; NULL: searched */
	char        found[256];      /* where it is connected to, or was looked for last */
	int         fd;              /* -1: not connected */
	const char *shm;             /* given by --shm: a process id or "any"; nobody is asked */
	bool        quiet;           /* says nothing of not reaching it: there will be another try */
};

/* Connects to the first socket of: path, $FAIRLEAD_SOCKET, /run/fairlead/ctl.sock,
 * $XDG_RUNTIME_DIR/fairlead/ctl.sock, fairlead-UID/ctl.sock in the temporary directory. The first
 * two are not searched further. CTL_UNREACHABLE with a message on stderr. */
int  ctl_connect(struct ctl_client *c);
void ctl_close(struct ctl_client *c);
/* One command on the open connection: its exit status, the answer in out. wait_ms 0: as long
 * as it takes. */
int  ctl_ask(struct ctl_client *c, const char *line, bool json, unsigned wait_ms, struct sb *out);

/* Local verbs. */
int  ctl_fmt(const struct verb_call *call);
int  ctl_diff(struct ctl_client *c, const struct verb_call *call);
int  ctl_top(struct ctl_client *c, const struct verb_call *call);
/* Reads the shared segment of a process (its id, or "any": the only appliance there is) instead of asking. */
int  ctl_shm(const char *which, const struct verb_call *call);

/* The line that asks for `snmp ...`: with addresses for names, secrets for files. False: a message was said. */
bool ctl_snmp_line(const struct verb_call *call, struct sb *line);

/* Writes all of s to a stream descriptor; false when it does not take it. */
bool ctl_put(int fd, struct str s);
/* A message to stderr: "fairleadctl: ...". With --json messages are kept for the one object that ctl_end()
 * prints. */
void ctl_say(const char *fmt, ...) FL_PRINTF(1, 2);
/* What is wrong with a configuration, likewise. */
struct conf_diag;
void ctl_say_diag(const struct conf_diag *d);
/* What was said by now, in JSON; returns code. */
int  ctl_end(int code);

/* The places where the socket is searched; pure but for the environment given. Returns how many. */
struct ctl_places {
	char     path[4][256];
	unsigned n;
};
void ctl_places(const char *given, const char *env_socket, const char *xdg, const char *tmp,
		unsigned uid, struct ctl_places *out);

#endif
