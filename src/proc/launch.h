/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - how fairlead was called; stays as it is for the life of the master
 */
#ifndef FL_PROC_LAUNCH_H
#define FL_PROC_LAUNCH_H

#include "base/str.h"

struct launch {
	const char *file;            /* configuration file; NULL: text */
	struct str  text;            /* configuration in memory (--from/--to, --demo) */
	const char *text_name;       /* "<demo>" */
	const char *greeting;        /* printed once when serving; NULL: none */
	char      **argv;            /* for the binary upgrade */
};

/* Runs the appliance in the foreground: becomes the master. Returns the exit code. */
int proc_run(const struct launch *l);
/* fairlead -t: prints the diagnostics and one summary line. Exit code. */
int proc_check(const struct launch *l, bool json);
/* --print-config: the text, when it is one that loads; else the diagnostics. Exit code. */
int proc_print(const struct launch *l);
/* fairlead explain ...: argv behind the word. Exit code. */
int proc_explain(const struct launch *l, int argc, char **argv, bool json);
/* --demo: makes the launch text; with start: also the two built-in origins, which end with this
 * process. Exit code, 0 = go on. */
int proc_demo(struct launch *l, bool start);
/* --from A --to B...: the text of the configuration that this means; to[0..n) as hostports. 0, or 1
 * with a message. */
int proc_oneliner(const char *from, char *const *to, unsigned n_to, struct sb *text);

#endif
