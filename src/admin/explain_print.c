/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_print.c - the explanation of a request as text for people, and as JSON
 */
#include "config.h"

#include "admin/explain.h"

#include <inttypes.h>

#define LABEL "%-10s"

static const char *result_word(enum pol_result r)
{
	return r == POL_TRUE ? "true" : r == POL_FALSE ? "false" : "undefined";
}

static const char *short_file(const char *file)
{
	const char *slash = file ? strrchr(file, '/') : NULL;

	return slash ? slash + 1 : file ? file : "-";
}

/* What the method compared, in its own words. */
static void figure(const struct lb_pool *p, uint64_t value, struct sb *out)
{
	switch (p->method) {
	case LB_ROUND_ROBIN:
		sb_fmt(out, "%" PRIu64 " behind the next turn", value);
		break;
	case LB_LEAST_CONNECTION:
		sb_fmt(out, "%" PRIu64 ".%04u requests in progress per weight", value / 10000,
		       (unsigned)(value % 10000));
		break;
	case LB_SOURCE_IP_HASH:
		sb_fmt(out, "hash score %" PRIu64, value);
		break;
	}
}

static const char *method_word(const struct lb_pool *p)
{
	const struct conf_val *v = conf_opt(p->node, D_POOL_METHOD);

	return v ? v->s.p : "-";
}

static void action(const struct explain *x, struct sb *out)
{
	const struct pol_rule *r = x->route.v.final;

	switch (x->route.v.act) {
	case POL_ACT_USE_POOL:
		sb_fmt(out, "use %s", x->route.pool->name);
		break;
	case POL_ACT_RESPOND:
		sb_fmt(out, "respond %u", r->status);
		break;
	case POL_ACT_REDIRECT:
		sb_fmt(out, "redirect %u", r->status);
		break;
	case POL_ACT_REJECT:
		if (x->route.vs->http)
			sb_fmt(out, "reject %u", r->status);
		else
			sb_c(out, x->route.vs->udp ? "reject (drop)" : "reject (close)");
		break;
	case POL_ACT_DROP:
		sb_c(out, "drop");
		break;
	case POL_ACT_RESET:
		sb_c(out, "reset");
		break;
	default:
		sb_fmt(out, "%s: nothing matched and there is no default",
		       x->route.vs->http ? "respond 404" : x->route.vs->udp ? "drop" : "close");
	}
}

static void run_template(const struct explain *x, const struct pol_tmpl *t, struct sb *out)
{
	struct sb text;

	sb_init_heap(&text);
	if (t && pol_tmpl_run(t, &x->facts, &text) == 0)
		sb_escape(out, sb_get(&text), 2000);
	sb_free(&text);
}

/* Rules behind the one that decided were not evaluated. */
static unsigned not_tried(const struct explain *x)
{
	const struct pol_rule *last = x->last_rule ? x->last_rule->rule : NULL;
	const struct pol_ruleset *rs = &x->route.vs->rules;

	if (!last || last < rs->rules || last >= rs->rules + rs->n)
		return 0;
	return (unsigned)(rs->rules + rs->n - 1 - last);
}

/* ---------- text ---------- */

static void text_way(const struct explain *x, struct sb *out)
{
	char addr[ADDR_TEXT_MAX];

	if (x->listen) {
		sb_fmt(out, LABEL "%s%s", "listener", addr_text(&x->listen->addr, addr),
		       x->listen->uses_tls ? " tls" : "");
		if (x->listen_guess)
			sb_c(out, "  (others have this port too; --vserver NAME chooses)");
	} else {
		sb_fmt(out, LABEL "none: the vserver was named", "listener");
	}
	sb_fmt(out, "\n" LABEL "%s  %s:%u\n", "vserver", x->vs->name,
	       short_file(x->vs->node->loc.file), x->vs->node->loc.line);
}

static const char *verify_word(enum tls_verify v)
{
	static const char *const words[] = { "off", "optional", "required" };

	return words[v];
}

/* An address has no name; what a peer asks for may hold anything. */
static void put_sni(const struct explain *x, struct sb *out)
{
	if (x->sni.p)
		sb_escape(out, x->sni, 255);
	else
		sb_c(out, "none");
}

static void refused(const struct explain *x, struct sb *out)
{
	sb_fmt(out, "the TLS handshake ends with alert %u: %s (%s)", x->handshake.alert,
	       tbl_tls_text(x->handshake.why), tbl_tls_code(x->handshake.why));
}

static void text_tls(const struct explain *x, struct sb *out)
{
	const struct tls_choice *t = &x->handshake;

	if (!x->tls)
		return;
	sb_fmt(out, LABEL "sni ", "tls");
	put_sni(x, out);
	if (x->has_handshake && !t->refused) {
		sb_fmt(out, "  certificate %s", t->cert[0]);
		if (t->cert[1])
			sb_fmt(out, " or %s", t->cert[1]);
		sb_fmt(out, "  alpn " STR_FMT, STR_ARG(t->alpn.n ? t->alpn : STR("none")));
		if (t->verify != TLS_VERIFY_OFF)
			sb_fmt(out, "  client certificate %s", verify_word(t->verify));
	}
	if (!x->has_handshake)
		sb_c(out, "  (certificates are not known here)");
	sb_ch(out, '\n');
	if (t->verify == TLS_VERIFY_REQUIRED)
		sb_fmt(out, LABEL "without a certificate of client-ca the handshake ends here\n", "");
}

static void text_rules(const struct explain *x, struct sb *out)
{
	const struct lb_vserver *vs = x->vs;

	for (const struct ex_rule *r = x->rules; r; r = r->next) {
		if (r->vs && r->vs != vs) {
			vs = r->vs;
			sb_fmt(out, LABEL "%s  %s:%u\n", "vserver", vs->name,
			       short_file(vs->node->loc.file), vs->node->loc.line);
		}
		sb_fmt(out, LABEL "%s  %s  %s:%u\n", "policy", r->rule->name,
		       r->result == POL_TRUE ? "TRUE" : result_word(r->result),
		       short_file(r->rule->file), r->rule->line);
		for (const struct ex_leaf *l = r->leaf; l; l = l->next) {
			sb_fmt(out, LABEL "  " STR_FMT "  %s", "", STR_ARG(l->source),
			       result_word(l->result));
			if (l->value.p)
				sb_fmt(out, "  (" STR_FMT ")", STR_ARG(l->value));
			sb_ch(out, '\n');
		}
		if (!r->rule->expr)
			sb_fmt(out, LABEL "  always\n", "");
	}
}

static void text_result(const struct explain *x, struct sb *out)
{
	unsigned rest = not_tried(x);
	bool by_default = x->route.v.final == &x->route.vs->dflt;

	sb_fmt(out, LABEL, "result");
	action(x, out);
	if (by_default)
		sb_fmt(out, "  (default of %s)", x->route.vs->name);
	else if (rest)
		sb_fmt(out, "  (%u polic%s behind it and the default not evaluated)", rest,
		       rest == 1 ? "y" : "ies");
	sb_ch(out, '\n');
	if (x->route.v.final && x->route.v.final->text && x->route.v.act != POL_ACT_USE_POOL) {
		sb_fmt(out, LABEL, x->route.v.act == POL_ACT_REDIRECT ? "location" : "body");
		run_template(x, x->route.v.final->text, out);
		sb_ch(out, '\n');
	}
}

/* What the figures cannot say: whose turn it is, is known in each worker only. */
static const char *method_note(const struct lb_pool *p)
{
	switch (p->method) {
	case LB_ROUND_ROBIN:
		return "  (each worker takes its own turns; this is how one begins)";
	case LB_LEAST_CONNECTION:
		return "  (equal ones take turns, in each worker)";
	default:
		return "";
	}
}

static void text_pools(const struct explain *x, struct sb *out)
{
	for (const struct ex_pool *p = x->pools; p; p = p->next) {
		sb_fmt(out, LABEL "%s  %s%s%s\n", "pool", p->pool->name, method_word(p->pool),
		       strcmp(p->why, "pool") == 0 ? "" : "  (backup)", method_note(p->pool));
		for (const struct ex_candidate *c = p->first; c; c = c->next) {
			sb_fmt(out, LABEL "  %s  weight %u  ", "", c->c.s->full_name,
			       c->c.s->weight);
			if (c->c.usable)
				figure(p->pool, c->c.value, out);
			else
				sb_fmt(out, "not used: %s", c->c.why);
			sb_c(out, c->c.s == x->service && c->c.usable ? "  <- chosen\n" : "\n");
		}
		if (!p->first)
			sb_fmt(out, LABEL "  has no services\n", "");
	}
}

static void text_service(const struct explain *x, struct sb *out)
{
	char addr[ADDR_TEXT_MAX];

	sb_fmt(out, LABEL, "service");
	if (x->service)
		sb_fmt(out, "%s  %s%s\n", x->service->full_name, addr_text(&x->to, addr),
		       x->service->pool->uses_tls ? " tls" : "");
	else
		sb_fmt(out, "none can take it: %s\n", x->route.vs->http ? "respond 503"
			: x->route.vs->udp ? "drop" : "close");
}

static void text_mods(const struct explain *x, bool response, struct sb *out)
{
	for (unsigned i = 0; i < x->route.n_matched; i++) {
		const struct pol_rule *r = x->route.matched[i];

		for (unsigned k = 0; k < r->n_mods; k++) {
			const struct pol_hdr_mod *m = &r->mods[k];

			if (m->response != response)
				continue;
			sb_fmt(out, LABEL "%s " STR_FMT, response ? "response" : "header",
			       m->op == POL_HDR_REMOVE ? "remove" : "set", STR_ARG(m->name));
			if (m->value && (!response || pol_tmpl_is_const(m->value))) {
				sb_c(out, ": ");
				run_template(x, m->value, out);
			} else if (m->value) {
				sb_c(out, ": depends on the response");
			}
			sb_fmt(out, "  (%s)\n", r->name);
		}
	}
}

static void target(const struct explain *x, struct sb *out)
{
	sb_str(out, x->head.path);
	if (x->head.query.p) {
		sb_ch(out, '?');
		sb_str(out, x->head.query);
	}
}

void explain_text(struct explain *x, struct sb *out)
{
	text_way(x, out);
	text_tls(x, out);
	if (x->handshake.refused) {
		sb_fmt(out, LABEL, "result");
		refused(x, out);
		sb_ch(out, '\n');
		return;
	}
	text_rules(x, out);
	text_result(x, out);
	if (x->route.pool) {
		text_pools(x, out);
		text_service(x, out);
		text_mods(x, false, out);
	}
	text_mods(x, true, out);
	if (x->service && x->has_head) {
		sb_fmt(out, LABEL STR_FMT " ", "request", STR_ARG(x->head.method_s));
		target(x, out);
		sb_fmt(out, " HTTP/1.1  Host: " STR_FMT "\n", STR_ARG(x->head.authority));
	}
}

/* ---------- JSON ---------- */

static void json_name(struct sb *out, const char *name, struct str value)
{
	sb_fmt(out, "\"%s\": ", name);
	sb_json_str(out, value);
}

static void json_rules(const struct explain *x, struct sb *out)
{
	sb_c(out, ", \"policies\": [");
	for (const struct ex_rule *r = x->rules; r; r = r->next) {
		sb_c(out, r == x->rules ? "{" : ", {");
		json_name(out, "name", str_c(r->rule->name));
		sb_c(out, ", ");
		json_name(out, "vserver", str_c(r->vs ? r->vs->name : ""));
		sb_fmt(out, ", \"result\": \"%s\", \"line\": %u, ", result_word(r->result),
		       r->rule->line);
		json_name(out, "file", str_c(r->rule->file ? r->rule->file : ""));
		sb_c(out, ", \"tests\": [");
		for (const struct ex_leaf *l = r->leaf; l; l = l->next) {
			sb_c(out, l == r->leaf ? "{" : ", {");
			json_name(out, "test", l->source);
			sb_fmt(out, ", \"result\": \"%s\", \"value\": ", result_word(l->result));
			if (l->value.p)
				sb_json_str(out, l->value);
			else
				sb_c(out, "null");
			sb_ch(out, '}');
		}
		sb_c(out, "]}");
	}
	sb_ch(out, ']');
}

static void json_pools(const struct explain *x, struct sb *out)
{
	sb_c(out, ", \"pools\": [");
	for (const struct ex_pool *p = x->pools; p; p = p->next) {
		sb_c(out, p == x->pools ? "{" : ", {");
		json_name(out, "name", str_c(p->pool->name));
		sb_c(out, ", ");
		json_name(out, "method", str_c(method_word(p->pool)));
		sb_fmt(out, ", \"backup\": %s, \"candidates\": [",
		       strcmp(p->why, "pool") == 0 ? "false" : "true");
		for (const struct ex_candidate *c = p->first; c; c = c->next) {
			sb_c(out, c == p->first ? "{" : ", {");
			json_name(out, "service", str_c(c->c.s->full_name));
			sb_fmt(out, ", \"weight\": %u, \"usable\": %s, ", c->c.s->weight,
			       c->c.usable ? "true" : "false");
			if (c->c.usable)
				sb_fmt(out, "\"value\": %" PRIu64, c->c.value);
			else
				json_name(out, "why", str_c(c->c.why));
			sb_ch(out, '}');
		}
		sb_c(out, "]}");
	}
	sb_ch(out, ']');
}

static void json_mods(const struct explain *x, struct sb *out)
{
	const char *comma = "";

	sb_c(out, ", \"headers\": [");
	for (unsigned i = 0; i < x->route.n_matched; i++) {
		const struct pol_rule *r = x->route.matched[i];

		for (unsigned k = 0; k < r->n_mods; k++) {
			const struct pol_hdr_mod *m = &r->mods[k];
			struct sb text;

			sb_fmt(out, "%s{\"of\": \"%s\", \"do\": \"%s\", ", comma,
			       m->response ? "response" : "request",
			       m->op == POL_HDR_REMOVE ? "remove" : "set");
			json_name(out, "name", m->name);
			sb_init_heap(&text);
			if (m->value && (!m->response || pol_tmpl_is_const(m->value)) &&
			    pol_tmpl_run(m->value, &x->facts, &text) == 0) {
				sb_c(out, ", ");
				json_name(out, "value", text.n ? sb_get(&text) : STR(""));
			}
			sb_free(&text);
			sb_ch(out, '}');
			comma = ", ";
		}
	}
	sb_ch(out, ']');
}

static void json_tls(const struct explain *x, struct sb *out)
{
	const struct tls_choice *t = &x->handshake;

	sb_c(out, ", \"tls\": ");
	if (!x->tls) {
		sb_c(out, "null");
		return;
	}
	sb_c(out, "{\"sni\": ");
	if (x->sni.p)
		sb_json_str(out, x->sni);
	else
		sb_c(out, "null");
	if (x->has_handshake) {
		sb_c(out, ", \"certificates\": [");
		for (unsigned i = 0; i < FL_ARRAY_LEN(t->cert) && t->cert[i]; i++) {
			sb_c(out, i ? ", " : "");
			sb_json_str(out, str_c(t->cert[i]));
		}
		sb_c(out, "], ");
		json_name(out, "alpn", t->alpn.n ? t->alpn : STR(""));
		sb_fmt(out, ", \"client_verify\": \"%s\", \"refused\": ", verify_word(t->verify));
		if (t->refused)
			sb_fmt(out, "\"%s\", \"alert\": %u", tbl_tls_code(t->why), t->alert);
		else
			sb_c(out, "null");
	}
	sb_ch(out, '}');
}

void explain_json(struct explain *x, struct sb *out)
{
	char addr[ADDR_TEXT_MAX];
	struct sb text;

	sb_c(out, "{\"listener\": ");
	if (x->listen)
		sb_json_str(out, str_c(x->listen->full_name));
	else
		sb_c(out, "null");
	sb_c(out, ", ");
	json_name(out, "vserver", str_c(x->vs->name));
	json_tls(x, out);
	sb_init_heap(&text);
	if (x->handshake.refused) {
		refused(x, &text);
		sb_c(out, ", ");
		json_name(out, "result", sb_get(&text));
		sb_c(out, "}\n");
		sb_free(&text);
		return;
	}
	json_rules(x, out);
	action(x, &text);
	sb_c(out, ", ");
	json_name(out, "result", sb_get(&text));
	sb_fmt(out, ", \"by_default\": %s, \"not_evaluated\": %u, ",
	       x->route.v.final == &x->route.vs->dflt ? "true" : "false", not_tried(x));
	json_name(out, "decided_by", str_c(x->route.v.final ? x->route.v.final->name : ""));
	if (x->route.pool) {
		sb_c(out, ", ");
		json_name(out, "pool", str_c(x->route.pool->name));
		json_pools(x, out);
		sb_c(out, ", \"service\": ");
		if (x->service)
			sb_json_str(out, str_c(x->service->full_name));
		else
			sb_c(out, "null");
		sb_c(out, ", ");
		json_name(out, "address", str_c(x->service ? addr_text(&x->to, addr) : "-"));
	}
	json_mods(x, out);
	if (x->has_head) {
		sb_free(&text);
		sb_init_heap(&text);
		target(x, &text);
		sb_fmt(out, ", \"request\": {");
		json_name(out, "method", x->head.method_s);
		sb_c(out, ", ");
		json_name(out, "target", sb_get(&text));
		sb_c(out, ", ");
		json_name(out, "host", x->head.authority);
		sb_ch(out, '}');
	}
	sb_free(&text);
	sb_c(out, "}\n");
}
