/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print.c - a compiled expression back into text, in one canonical spelling
 *
 * Words for logic, symbols for comparisons, sets in sorted order, parentheses only where needed.
 * Compiling the text gives the same expression again.
 */
#include "config.h"

#include "policy/expr.h"

static void print_quoted(struct str s, struct sb *b)
{
	sb_ch(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];

		if (ch == '"' || ch == '\\') {
			sb_ch(b, '\\');
			sb_ch(b, (char)ch);
		} else if (ch == '\n') {
			sb_c(b, "\\n");
		} else if (ch == '\t') {
			sb_c(b, "\\t");
		} else if (ch < 0x20 || ch >= 0x7f) {
			sb_fmt(b, "\\x%02x", ch);
		} else {
			sb_ch(b, (char)ch);
		}
	}
	sb_ch(b, '"');
}

static void print_bytes(struct str s, struct sb *b)
{
	for (size_t i = 0; i < s.n; i++)
		sb_fmt(b, "%s%02x", i ? ":" : "", (unsigned char)s.p[i]);
}

void pol_val_plain(const struct pol_val *v, struct sb *b)
{
	char text[ADDR_TEXT_MAX];

	switch (v->type) {
	case POL_STR:   sb_str(b, v->s); break;
	case POL_INT:   sb_fmt(b, "%lld", (long long)v->i); break;
	case POL_BOOL:  sb_c(b, v->b ? "true" : "false"); break;
	case POL_IP:    sb_c(b, ip_text(v->ip, text)); break;
	case POL_BYTES:
	case POL_MAC:   print_bytes(v->s, b); break;
	case POL_NONE:  break;
	}
}

void pol_val_print(const struct pol_val *v, struct sb *b)
{
	if (v->type == POL_STR)
		print_quoted(v->s, b);
	else
		pol_val_plain(v, b);
}

/* Bytes that have no unquoted form (one that is too long or empty) stand in quotes. */
static void print_const(const struct pol_val *v, struct sb *b)
{
	if (v->type == POL_BYTES && (v->s.n == 0 || v->s.n > 256))
		print_quoted(v->s, b);
	else
		pol_val_print(v, b);
}

static void print_field(const struct pol_node *n, struct sb *b)
{
	struct str name = str_c(pol_field_rows[n->field.f].name);

	if (!n->field.key.p) {
		sb_str(b, name);
		return;
	}
	if (pol_field_rows[n->field.f].object_key)
		sb_str(b, str_cut(&name, '.'));
	else
		sb_str(b, name);
	sb_ch(b, '[');
	print_quoted(n->field.key, b);
	sb_ch(b, ']');
	if (pol_field_rows[n->field.f].object_key) {
		sb_ch(b, '.');
		sb_str(b, name);
	}
}

static void print_slice(const struct pol_node *n, struct sb *b)
{
	pol_node_print(n->a, b);
	for (unsigned i = 0; i < n->slice.n; i++) {
		const struct pol_piece *p = &n->slice.piece[i];

		sb_fmt(b, "%s%d", i ? "," : "[", p->start);
		if (p->to_end)
			sb_ch(b, ':');
		else
			sb_fmt(b, "%c%d", p->to_place ? '-' : ':', p->last);
	}
	sb_ch(b, ']');
}

static void print_args(const char *name, const struct pol_node *first, struct sb *b)
{
	sb_fmt(b, "%s(", name);
	for (const struct pol_node *a = first; a; a = a->next) {
		if (a != first)
			sb_c(b, ", ");
		pol_node_print(a, b);
	}
	sb_ch(b, ')');
}

/* Length of the prefix that is exactly this range of addresses, or -1. */
static int prefix_bits(struct ip lo, struct ip hi)
{
	int bytes = lo.family == AF_INET ? 4 : 16, bits = 0;

	while (bits < bytes * 8 && !((lo.b[bits / 8] ^ hi.b[bits / 8]) & (0x80 >> bits % 8)))
		bits++;
	for (int i = bits; i < bytes * 8; i++)
		if ((lo.b[i / 8] & (0x80 >> i % 8)) || !(hi.b[i / 8] & (0x80 >> i % 8)))
			return -1;
	return bits;
}

static void print_range(const struct pol_range *r, struct sb *b)
{
	int bits = r->lo.type == POL_IP ? prefix_bits(r->lo.ip, r->hi.ip) : -1;

	print_const(&r->lo, b);
	if (pol_val_eq(&r->lo, &r->hi))
		return;
	if (bits >= 0) {
		sb_fmt(b, "/%d", bits);
		return;
	}
	sb_c(b, "..");
	print_const(&r->hi, b);
}

static void print_set(const struct pol_set *s, struct sb *b)
{
	for (unsigned i = 0; i < s->n; i++) {
		sb_c(b, i ? ", " : "{");
		print_range(&s->r[i], b);
	}
	sb_ch(b, '}');
}

static void print_test(const struct pol_node *n, struct sb *b)
{
	const struct pol_op_row *r = &pol_op_rows[n->op];
	struct pol_val pattern;

	if (n->op == POL_OP_STARTS || n->op == POL_OP_ENDS) {
		print_args(r->word, n->a, b);
		return;
	}
	if (n->quant != pol_quant_usual(n))
		sb_c(b, n->quant == POL_Q_ALL ? "all " : "any ");
	pol_node_print(n->a, b);
	if (n->op == POL_OP_EXISTS)
		return;
	if (n->op == POL_OP_IN) {
		sb_c(b, n->negated ? " not in " : " in ");
		print_set(n->set, b);
		return;
	}
	sb_fmt(b, " %s ", n->op == POL_OP_STRICT ? "strict wildcard" :
	       n->op != POL_OP_MATCHES && *r->sym ? r->sym : r->word);
	if (n->op == POL_OP_MATCHES) {
		pattern = (struct pol_val){ .type = POL_STR, .s = pol_regex_text(n->regex) };
		pol_val_print(&pattern, b);
	} else {
		pol_node_print(n->b, b);
	}
}

/* How tightly a kind binds; a looser one inside needs parentheses. */
static int binding(unsigned kind)
{
	switch (kind) {
	case N_OR:  return 0;
	case N_XOR: return 1;
	case N_AND: return 2;
	case N_NOT: return 3;
	default:    return 4;
	}
}

static void print_inner(const struct pol_node *outer, const struct pol_node *n, struct sb *b)
{
	bool parens = binding(n->kind) < binding(outer->kind) ||
		      (n->kind == outer->kind && n->kind != N_NOT);

	if (parens)
		sb_ch(b, '(');
	pol_node_print(n, b);
	if (parens)
		sb_ch(b, ')');
}

static void print_list(const struct pol_node *n, const char *word, struct sb *b)
{
	for (const struct pol_node *k = n->list; k; k = k->next) {
		if (k != n->list)
			sb_fmt(b, " %s ", word);
		print_inner(n, k, b);
	}
}

void pol_node_print(const struct pol_node *n, struct sb *b)
{
	char text[ADDR_TEXT_MAX];

	switch (n->kind) {
	case N_TRUE:  sb_c(b, "true"); break;
	case N_FALSE: sb_c(b, "false"); break;
	case N_AND:   print_list(n, "and", b); break;
	case N_OR:    print_list(n, "or", b); break;
	case N_XOR:   print_list(n, "xor", b); break;
	case N_NOT:
		sb_c(b, "not ");
		print_inner(n, n->a, b);
		break;
	case N_TEST:  print_test(n, b); break;
	case N_CONST: print_const(&n->val, b); break;
	case N_FIELD: print_field(n, b); break;
	case N_SLICE: print_slice(n, b); break;
	case N_FUNC:  print_args(pol_fn_rows[n->fn].name, n->list, b); break;
	case N_CIDR:  sb_fmt(b, "%s/%u", ip_text(n->cidr.ip, text), n->cidr.bits); break;
	default:
		ASSERT(n->kind == N_TEST);
	}
}
