/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.h - the verb table, a command line taken apart by it, help
 *
 * Pure: used by the control socket (src/admin/ctl.c), fairleadctl and the fuzz target alike.
 */
#ifndef FL_ADMIN_VERBS_H
#define FL_ADMIN_VERBS_H

#include "base/str.h"

enum verb_id {
#define B(id, verb, kind, args, level, where, text) VERB_##id,
#include "tbl/verbs.def"
#undef B
	VERB__COUNT
};
enum verb_level { VERB_READ, VERB_CHANGE };
enum verb_where { VERB_SERVER, VERB_CTL };
struct verb_row {
	const char     *verb, *kind, *args;
	enum verb_level level;
	enum verb_where where;
	const char     *text;
};
extern const struct verb_row verb_rows[VERB__COUNT];

#define LINE_MAX_BYTES  4096
#define WORDS_MAX       48
#define VERB_POS_MAX    21
#define VERB_OPT_MAX    40

/* A line as words: blanks part them; '...' as it stands, "..." and outside of quotes a backslash
 * takes the next character as it is. The words point into `mem` (LINE_MAX_BYTES bytes). */
struct words {
	unsigned   n;
	struct str w[WORDS_MAX];
	char       mem[LINE_MAX_BYTES];
};
/* False: *why is a text (open quote, too many words, not text). */
bool words_split(struct str line, struct words *out, const char **why);
/* Where the first command of `line` ends: offset of a `;` outside of quotes, or line.n. */
size_t words_command_end(struct str line);
/* A word so that words_split gives it back. */
void words_quote(struct sb *b, struct str w);

/* A command that fits its row. */
struct verb_call {
	enum verb_id           id;
	const struct verb_row *row;
	bool                   json;
	unsigned               n_pos, n_opt;
	struct str             pos[VERB_POS_MAX];
	struct { struct str name, value; } opt[VERB_OPT_MAX];
};
/* Finds the row of `w` and fits the words to it. False: a message for people in err. */
bool verb_parse(const struct str *w, unsigned n, struct verb_call *out, struct sb *err);
/* Value of an option ("--wait"), the k-th one; .p NULL when it was not given. Flags have an
 * empty value. */
struct str verb_opt(const struct verb_call *c, const char *name, unsigned k);
bool verb_flag(const struct verb_call *c, const char *name);

/* Text of `help`, `help VERB`, `help VERB KIND`; false when there is no such verb. */
bool verb_help(struct str verb, struct str kind, bool json, struct sb *out);
/* The table for `fairlead -x verbs` and the generators: tab separated, header line first. */
void verb_dump(struct sb *out);

/* "did you mean": the closest of what was offered. */
struct guess {
	struct str what, best;
	unsigned   distance;
};
void guess_init(struct guess *g, struct str what);
void guess_offer(struct guess *g, struct str candidate);
/* Appends `; did you mean "best"?` when anything is close. */
void guess_say(const struct guess *g, struct sb *out);

/* A time with a unit as in the configuration (us ms s m h d), in ms. */
bool text_duration_ms(struct str s, uint64_t *ms);

#endif
