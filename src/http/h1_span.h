/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_span.h - where a run of bytes of one class ends, and whole field lines, many bytes at a time
 *
 * One set of functions for each way that a CPU offers:
 *
 *   avx2     32 bytes at a time; x86-64
 *   ssse3    16 bytes at a time; x86-64 (pshufb is what it needs)
 *   neon     16 bytes at a time; aarch64, where every CPU has it
 *   scalar   byte by byte; everywhere, and the reference for the others
 *
 * All of them give the same results; they differ in speed only, and none reads a byte outside of
 * p[0, stop), whatever lies behind it. The classes are those of h1_class (h1_inside.h): the tables
 * of the wide ones are made from it when the program starts.
 *
 * The best one is chosen before main() and stays; only tests choose another. Pure functions, any
 * process. Private to h1_*.c, their tests, and `fairlead -V`.
 */
#ifndef FL_HTTP_H1_SPAN_H
#define FL_HTTP_H1_SPAN_H

#include "base/compiler.h"

/* The lowest index in [i, stop) whose byte is not of the class; stop when there is none. i <= stop.
 */
typedef size_t h1_run_fn(const uint8_t *p, size_t i, size_t stop);

struct h1_line {
	uint32_t name, colon, end; /* offsets: name [name,colon), raw value [colon+1,end) */
};

struct h1_span {
	const char *name; /* "avx2" */
	h1_run_fn *token;
	h1_run_fn *target;
	h1_run_fn *value;
	h1_run_fn *path;
	h1_run_fn *query;
	/* Field lines from p[*pos] on that are complete and correct: NAME ":" VALUE CR LF, the LF
	 * in front of `stop`, no line longer than max_len without its CR LF, max_lines at most.
	 * *pos is then behind the last one; lines[k] tells of the k-th, NULL: not wanted. Returns
	 * how many. Why it ended is not told: the lexer looks at what is left byte by byte. */
	unsigned (*lines)(const uint8_t *p, size_t *pos, size_t stop, size_t max_len,
			  struct h1_line *lines, unsigned max_lines);
};

/* The one in use, never NULL. */
extern const struct h1_span *h1_span;

/* The k-th that this CPU can run, best first, scalar last; NULL behind that. */
const struct h1_span *h1_span_nth(unsigned k);
/* Uses the one of that name from now on; NULL: the best. False, and nothing changes, when this CPU
 * cannot run it or the name is unknown. For tests. */
bool h1_span_use(const char *name);

#endif
