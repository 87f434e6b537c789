/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show_listener.c - listeners, and how their connections find a worker
 *
 * The state of that is in the segment. Who has which bucket of `distribute rss` only the master knows: it is
 * asked when one listener is shown.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

#define STEERING_MS 1000u

/* The master's answer: "HASH TUPLE REBALANCE MOVES SPARE KERNEL LARGEST CLASSIC", then "BUCKETS GOT" of each core. */
enum { TELL_HASH, TELL_TUPLE, TELL_REBALANCE, TELL_MOVES, TELL_SPARE, TELL_KERNEL, TELL_LARGEST, TELL_CLASSIC, TELLS };

static bool read_numbers(struct str line, uint64_t *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!str_u64(str_cut(&line, ' '), &v[i]))
			return false;
	return true;
}

static const char *hash_word(uint64_t hash)
{
	return hash == RSS_TOEPLITZ ? "toeplitz" : "jhash";
}

/* What is counted: the program sees each datagram of udp, but of a TCP connection its SYN only. */
static const char *unit(const struct lb_listen *l)
{
	return l->udp ? "datagrams" : "flows";
}

/* One of the two numbers of each core, parted by commas. */
static void put_cores(struct sb *b, struct str cores, unsigned which, const char *comma)
{
	uint64_t v[2];

	for (unsigned i = 0; cores.n && read_numbers(str_cut(&cores, '\n'), v, 2); i++)
		sb_fmt(b, "%s%" PRIu64, i ? comma : "", v[which]);
}

static void rss_json(struct grid *g, const struct lb_listen *l, struct str tell)
{
	uint64_t v[TELLS];

	if (!read_numbers(str_cut(&tell, '\n'), v, TELLS)) {
		grid_text(g, "null");
		return;
	}
	sb_fmt(&g->mem, "{\"hash\": \"%s\", \"tuple\": %" PRIu64 ", \"rebalance\": %" PRIu64, hash_word(v[TELL_HASH]),
	       v[TELL_TUPLE], v[TELL_REBALANCE]);
	sb_c(&g->mem, ", \"buckets\": [");
	put_cores(&g->mem, tell, 0, ", ");
	sb_fmt(&g->mem, "], \"%s\": ", unit(l));
	if (v[TELL_CLASSIC]) {
		sb_c(&g->mem, "null");           /* it counts nothing */
	} else {
		sb_ch(&g->mem, '[');
		put_cores(&g->mem, tell, 1, ", ");
		sb_ch(&g->mem, ']');
	}
	sb_fmt(&g->mem, ", \"program\": \"%s\"", v[TELL_CLASSIC] ? "classic" : "ebpf");
	sb_fmt(&g->mem, ", \"moves\": %" PRIu64 ", \"spare\": %" PRIu64 ", \"fallback\": %" PRIu64
	       ", \"largest_bucket_percent\": %" PRIu64 "}", v[TELL_MOVES], v[TELL_SPARE], v[TELL_KERNEL], v[TELL_LARGEST]);
	grid_text(g, NULL);
}

static void rss_text_cols(struct grid *g, const struct lb_listen *l)
{
	grid_col(g, "hash", GRID_TEXT);
	grid_col(g, "buckets per core", GRID_TEXT);
	grid_col(g, l->udp ? "datagrams per core" : "flows per core", GRID_TEXT);
	grid_col(g, "largest bucket", GRID_TEXT);
	grid_col(g, "rebalance", GRID_TEXT);
	grid_col(g, "buckets moved", GRID_NUM);
	grid_col(g, "to the spare core", GRID_NUM);
	grid_col(g, "to the kernel's hash", GRID_NUM);
}

static void rss_text(struct grid *g, const struct lb_listen *l, struct str tell)
{
	uint64_t v[TELLS];

	if (!read_numbers(str_cut(&tell, '\n'), v, TELLS))
		return;
	grid_fmt(g, "%s, %" PRIu64 "-tuple", hash_word(v[TELL_HASH]), v[TELL_TUPLE]);
	put_cores(&g->mem, tell, 0, " ");
	grid_text(g, NULL);
	if (v[TELL_CLASSIC])
		sb_c(&g->mem, "not counted");
	else
		put_cores(&g->mem, tell, 1, " ");
	grid_text(g, NULL);
	if (v[TELL_CLASSIC])
		grid_text(g, "not counted");
	else
		grid_fmt(g, "%" PRIu64 " %% of the last seconds' %s", v[TELL_LARGEST], unit(l));
	if (v[TELL_REBALANCE])
		grid_fmt(g, "%" PRIu64 " %%", v[TELL_REBALANCE]);
	else
		grid_text(g, "off");
	grid_u64(g, v[TELL_MOVES]);
	grid_u64(g, v[TELL_SPARE]);
	grid_u64(g, v[TELL_KERNEL]);
}

static const char *distribute_word(const struct lb_listen *l)
{
	const struct conf_val *v = conf_opt(l->node, D_LISTEN_DISTRIBUTE);

	return l->distribute == STEER_KERNEL ? "kernel" : v ? v->s.p : "-";
}

/* In place of what was asked for, because something here cannot do it. */
static bool has_fallen_back(const struct lb_listen *l, const struct stat_steer *v)
{
	switch (v->state) {
	case ST_STEER_TREE:
	case ST_STEER_DENIED:
	case ST_STEER_UNABLE:
	case ST_STEER_SHARED:
	case ST_STEER_ELSEWHERE:
	case ST_STEER_MANY:
		return true;
	case ST_STEER_UNPINNED:
		return l->distribute == STEER_CPU;
	default:
		return false;
	}
}

void listeners_fallen_back(const struct admin_view *v, struct sb *out)
{
	for (unsigned i = 0; v->lc && i < v->lc->n_listens; i++) {
		const struct lb_listen *l = &v->lc->listens[i];
		struct stat_steer steer;

		stat_steer_get(v->seg, l->row, &steer);
		if (!has_fallen_back(l, &steer))
			continue;
		sb_fmt(out, "distribution   listener %s: %s fell back to ", l->full_name, distribute_word(l));
		stat_steer_text(&steer, out);
		sb_ch(out, '\n');
	}
}

void listeners_distribution_json(const struct admin_view *v, struct sb *out)
{
	sb_ch(out, '[');
	for (unsigned i = 0; v->lc && i < v->lc->n_listens; i++) {
		const struct lb_listen *l = &v->lc->listens[i];
		struct stat_steer steer;
		char text[96];
		struct sb b;

		sb_init(&b, text, sizeof(text));
		stat_steer_get(v->seg, l->row, &steer);
		stat_steer_text(&steer, &b);
		sb_fmt(out, "%s{\"listener\": ", i ? ", " : "");
		sb_json_str(out, str_c(l->full_name));
		sb_fmt(out, ", \"wanted\": \"%s\", \"in_force\": ", distribute_word(l));
		sb_json_str(out, sb_get(&b));
		sb_fmt(out, ", \"fell_back\": %s}", has_fallen_back(l, &steer) ? "true" : "false");
	}
	sb_ch(out, ']');
}

static uint32_t board_says(void *ctx, unsigned core)
{
	return stat_serving_core(ctx, core);
}

/* The cores that it is bound to; when none of them can, it says who serves. */
static void put_bound(const struct cmd *c, struct grid *g, const struct lb_listen *l)
{
	struct stat_seg *seg = c->v->seg;
	unsigned cores = stat_cores(seg);

	if (l->cores.n == 0)
		sb_ch(&g->mem, '-');
	core_set_text(&l->cores, &g->mem);
	if (l->cores.n && core_set_is_out(&l->cores, cores, board_says, seg))
		sb_fmt(&g->mem, " (all out: core %u serves)",
		       core_set_server(&l->cores, cores, core_set_nth(&l->cores, 0), board_says, seg));
	grid_text(g, NULL);
}

static void listener_row(struct cmd *c, struct grid *g, const struct lb_listen *l)
{
	struct stat_steer steer;
	char text[ADDR_TEXT_MAX];

	grid_text(g, l->full_name);
	grid_text(g, l->vserver->name);
	grid_text(g, addr_text(&l->addr, text));
	grid_bool(g, l->uses_tls);
	grid_u64(g, (uint64_t)l->backlog);
	grid_text(g, distribute_word(l));
	put_bound(c, g, l);
	grid_text(g, l->device ? l->device : "-");
	stat_steer_get(c->v->seg, l->row, &steer);
	stat_steer_text(&steer, &g->mem);
	grid_text(g, NULL);
	show_place(g, l->node);
	show_counters(c, g, KIND_LISTENER, l->row);
}

static const struct lb_listen *named(const struct cmd *c)
{
	for (unsigned i = 0; c->call.n_pos && i < c->v->lc->n_listens; i++)
		if (show_wanted(c, c->v->lc->listens[i].full_name))
			return &c->v->lc->listens[i];
	return NULL;
}

/* tell: of the one that is asked for; empty: there is nothing to tell. */
static int show_listeners(struct cmd *c, struct str tell)
{
	const struct lb_listen *one = tell.n ? named(c) : NULL;
	struct grid g;

	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "vserver", GRID_TEXT);
	grid_col(&g, "address", GRID_TEXT);
	grid_col(&g, "tls", GRID_BOOL);
	grid_col(&g, "backlog", GRID_NUM);
	grid_col(&g, "distribute", GRID_TEXT);
	grid_col(&g, "cores", GRID_TEXT);
	grid_col(&g, "device", GRID_TEXT);
	grid_col(&g, "steering", GRID_TEXT);
	grid_col(&g, "origin", GRID_TEXT);
	grid_col(&g, "counters", GRID_RAW);
	if (one && c->call.json)
		grid_col(&g, "rss", GRID_RAW);
	else if (one)
		rss_text_cols(&g, one);
	for (unsigned i = 0; i < c->v->lc->n_listens; i++) {
		const struct lb_listen *l = &c->v->lc->listens[i];

		if (!show_wanted(c, l->full_name))
			continue;
		listener_row(c, &g, l);
		if (one && c->call.json)
			rss_json(&g, l, tell);
		else if (one)
			rss_text(&g, l, tell);
	}
	return show_done(c, &g, KIND_LISTENER);
}

/* Without an answer the rest is shown all the same. */
static void steering_came(struct ask *a)
{
	struct cmd *c = a->ctx;
	uint64_t v[TELLS];
	struct str tell = sb_get(&a->reply), first = tell;
	int code;

	c->asking = false;
	view_refresh(c->v);
	if (a->rc != 0 || !read_numbers(str_cut(&first, '\n'), v, TELLS))
		tell = STR_NULL;
	code = cmd_needs_config(c) ? CMD_FAIL : show_listeners(c, tell);
	ask_free(a);
	cmd_finish(c, code);
}

int verb_SHOW_LISTENER(struct cmd *c)
{
	const struct lb_listen *l;
	struct ask *a;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	l = named(c);
	a = l && (l->distribute >= STEER_RSS || l->cores.n) ? ask_new(steering_came, c) : NULL;
	if (!a)
		return show_listeners(c, STR_NULL);
	a->timeout_ms = STEERING_MS;
	sb_fmt(&a->line, "steering %u", l->row);
	c->asking = true;
	ask_post(a);
	return CMD_LATER;
}
