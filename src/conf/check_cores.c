/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_cores.c - `cores` of listeners and vservers: do they exist, and do rules go to them? `flow` of rules
 *
 * With `workers auto` another machine may have other cores, so there it is a warning.
 */
#include "config.h"

#include "conf/inside.h"

#include <sched.h>

#include "base/cores.h"

/* Cores that the configuration makes; *sure: on every machine. */
static unsigned cores_made(const struct loader *ld, bool *sure)
{
	const struct conf_val *workers = conf_opt(ld->c->root, D_WORKERS);
	cpu_set_t may;

	*sure = workers && workers->type == CV_COUNT;
	if (*sure)
		return (unsigned)workers->i;
	return sched_getaffinity(0, sizeof(may), &may) == 0 ? (unsigned)CPU_COUNT(&may) : CORES_MAX;
}

static void beyond(struct loader *ld, const struct conf_val *v, unsigned core)
{
	char hint[80];
	unsigned made;
	struct sb b;
	bool sure;

	made = cores_made(ld, &sure);
	if (core < made)
		return;
	sb_init(&b, hint, sizeof(hint));
	sb_c(&b, sure ? "\"workers\" makes core 0" : "\"workers auto\" makes core 0");
	if (made > 1)
		sb_fmt(&b, " to %u", made - 1);
	if (!sure)
		sb_c(&b, " on this machine");
	if (sure)
		conf_error(ld->d, v->loc, v->span, hint, "[E0302] there is no core %u", core);
	else
		conf_warn(ld->d, v->loc, v->span, hint, "[W0402] there is no core %u here: other cores serve in its place", core);
}

static void check_list(struct loader *ld, const struct conf_node *n, struct core_set *all)
{
	for (unsigned i = 0; i < n->n_val; i++) {
		const struct conf_val *v = &n->val[i];
		struct core_set one = { .n = 0 };

		if (!core_set_read(&one, v->s)) {
			conf_error(ld->d, v->loc, v->span, "as in cores 0 2-3",
				   "[E0301] \"%.60s\" is no core, nor a range of cores", v->s.p);
			continue;
		}
		beyond(ld, v, core_set_nth(&one, one.n - 1));
		(void)core_set_read(all, v->s);
	}
}

static void check_rule(struct loader *ld, const struct conf_node *rule, const struct core_set *all)
{
	const struct conf_val *v = rule->n_val ? &rule->val[0] : NULL;

	if (v && v->type == CV_COUNT && !core_set_has(all, (unsigned)v->i))
		conf_error(ld->d, v->loc, v->span, "name it there as well, or another core here",
			   "[E0401] core %u is not among the \"cores\" of this listener", (unsigned)v->i);
}

/* A rule that sends clients to a core which is not to serve them contradicts. */
static void check_rules(struct loader *ld, const struct conf_node *l, const struct core_set *all)
{
	const struct conf_node *distribute = conf_child(l, D_LISTEN_DISTRIBUTE);

	if (!distribute || all->n == 0)
		return;
	CONF_FOREACH(rule, distribute, D_LDIST_CORE)
		check_rule(ld, rule, all);
	CONF_FOREACH(flow, distribute, D_LDIST_FLOW)
		check_rule(ld, flow, all);
}

bool conf_port_range(struct str word, uint16_t *lo, uint16_t *hi)
{
	bool open = word.n && word.p[word.n - 1] == '-';
	struct str from = str_cut(&word, '-');
	uint64_t a, b;

	if (open || !str_u64(from, &a) || a < 1 || a > UINT16_MAX)
		return false;
	b = a;
	if (word.n && (!str_u64(word, &b) || b < a || b > UINT16_MAX))
		return false;
	*lo = (uint16_t)a;
	*hi = (uint16_t)b;
	return true;
}

/* flow CORE from PREFIX [port LOW[-HIGH]] [to PREFIX] */
void check_flow(struct loader *ld, const struct conf_node *flow)
{
	for (unsigned i = 3; i + 1 < flow->n_val; i += 2) {
		const struct conf_val *v = &flow->val[i + 1];
		uint16_t lo, hi;

		if (str_eq(flow->val[i].s, STR("port")) && !conf_port_range(v->s, &lo, &hi))
			conf_error(ld->d, v->loc, v->span, "as in port 40000, or port 1024-2047",
				   "[E0301] \"%.60s\" is no port, nor a range of ports", v->s.p);
		if (str_eq(flow->val[i].s, STR("to")) && v->cidr.ip.family != flow->val[2].cidr.ip.family)
			conf_error(ld->d, v->loc, v->span, NULL,
				   "[E0401] no flow goes from \"%.60s\" to \"%.60s\": one is IPv4, the other IPv6",
				   flow->val[2].s.p, v->s.p);
	}
}

void check_cores(struct loader *ld, const struct conf_node *vs)
{
	const struct conf_node *of_vs = conf_child(vs, D_VS_CORES);
	struct core_set common = { .n = 0 };

	if (of_vs)
		check_list(ld, of_vs, &common);
	CONF_FOREACH(l, vs, D_VS_LISTEN) {
		const struct conf_node *own = conf_child(l, D_LISTEN_CORES);
		struct core_set set = { .n = 0 };

		if (own)
			check_list(ld, own, &set);
		check_rules(ld, l, own ? &set : &common);
	}
}
