/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen.h - the process of one generation: loads its configuration, then is what its workers are
 * forked from
 *
 * Single-threaded from birth to end, without a loop library, so that a fork of it is clean. It
 * stays root as it must give its workers what they need before they drop it; it reads nothing from
 * the network. It answers FORK within one second or the master replaces it by a new one from the
 * same image.
 *
 * It also keeps a second copy of everything the master holds (KEEP): when the master dies, the
 * channels of all processes therefore stay open, and gen hands the whole state to a new master on
 * adopt.sock (state.h).
 */
#ifndef FL_PROC_GEN_H
#define FL_PROC_GEN_H

#include "conf/conf.h"
#include "lb/lb.h"
#include "proc/machine.h"
#include "proc/msg.h"
#include "proc/sandbox.h"
#include "stat/stat.h"

struct launch;

struct gen_start {
	const struct launch *launch;         /* where the configuration comes from */
	int              image_fd;           /* instead: an image with secrets; -1 none */
	const char      *kept;               /* conf_src_keep(); NULL: the first to load */
	struct stat_seg *seg;                /* NULL: only look (scout): report and end */
	uint32_t         generation;
	bool             again;              /* in place of one that ended: all was checked */
	bool             taking_over;        /* scout of one that finds its sockets made: no checks of a start */
	unsigned         cores;
	int              chan_fd;
	int              adopt_fd;           /* listening; -1 none */
	int              wake_control, wake_logd;    /* eventfds */
	const int       *mail_fd;            /* [n_mail]: eventfds by worker slot (post.h); NULL for a scout */
	unsigned         n_mail;
	const int       *box_fd;             /* [2 * n_box]: by core (box.h); NULL for a scout */
	unsigned         n_box;
};
/* In the forked child. */
FL_NORETURN void gen_main(const struct gen_start *s);

/* What a worker gets by the fork; all of it is the generation's and stays. */
struct gen {
	const struct gen_start *start;
	struct conf_src   *src;
	struct conf       *conf;
	struct lb_config  *lc;
	struct ids         ids;
	int               *listen_fd;        /* [n_listens][cores], -1: none */
	int              (*ping_fd)[2];      /* [cores]: IPv4, IPv6; -1: none. Each worker reads its own, as replies come once to each */
	struct gen_keep   *keep;
	unsigned           n_keep, cap_keep;
	bool               orphan;
	int                chan_fd;
};

/* Reads a configuration as gen, -t, explain and the one-liners do: same loader, same build. Returns
 * NULL with messages in d. kept: what only a restart changes (conf_src_keep), or NULL. The three are freed by gen_unload in any case. */
struct lb_config *gen_load(const struct launch *l, int image_fd, const char *kept,
			   enum gen_checks checks, struct conf_diag *d, struct conf_src **src,
			   struct conf **conf);
void gen_unload(struct lb_config **lc, struct conf **conf, struct conf_src **src);

/* keep.c: what gen keeps for the next master */
void gen_keep_set(struct gen *g, struct msg_in *in);
void gen_keep_drop(struct gen *g, struct str key);
/* Gives everything to whoever connected to adopt.sock and may have it. Returns the new channel, -1
 * when it came to nothing. */
int  gen_adopted(struct gen *g);

#endif
