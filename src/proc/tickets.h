/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickets.h - TLS ticket keys: made and rotated by the master, or read from a file by gen
 *
 * Three keys of 80 bytes: [0] is the current one, that encrypts; [1] the previous, whose tickets
 * are still taken; [2] the next, which every worker knows before it becomes current, so that a
 * ticket made by a worker that rotated a moment earlier is understood everywhere.
 */
#ifndef FL_PROC_TICKETS_H
#define FL_PROC_TICKETS_H

#include "conf/conf.h"

#define TICKET_KEY_LEN 80u
#define TICKET_KEYS    3u

struct tickets {
	uint8_t  key[TICKET_KEYS][TICKET_KEY_LEN];
	unsigned n;
	uint64_t made_ms;            /* monotonic */
};
/* Master: new random keys. */
void tickets_make(struct tickets *t, uint64_t now_ms);
/* Master: next becomes current, current previous, a new next is made. */
void tickets_rotate(struct tickets *t, uint64_t now_ms);
/* gen: base64 lines, at most three, empty lines and # comments ignored. FL_ESYNTAX_, FL_ERANGE_
 * (not 80 bytes), negated errno. */
int  tickets_read_file(struct conf_src *src, const char *path,
		       uint8_t keys[TICKET_KEYS][TICKET_KEY_LEN], unsigned *n);
/* The same of text; for tests. */
int  tickets_parse(struct str text, uint8_t keys[TICKET_KEYS][TICKET_KEY_LEN], unsigned *n);

#endif
