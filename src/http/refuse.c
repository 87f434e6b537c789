/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.c - the books and the log of what is refused: malformed messages, connections to services that
 * failed, limits (ROBUSTNESS section 6: a code, a counter, a line with the first bytes)
 */
#include "config.h"

#include "http/refuse.h"

#include "base/err.h"
#include "base/log.h"
#include "http/inside.h"
#include "stat/reason.h"

_Static_assert(CTR_MESSAGE_H1_INTERIM_FLOOD == H1_INTERIM_FLOOD - 1 && H1__COUNT - 1 <= TBL_CTR_MAX,
	       "reasons of messages are their counters");
_Static_assert(CTR_EXCHANGE_TXN_TLS_FAILED == TXN_TLS_FAILED - 1 && TXN__COUNT - 1 <= TBL_CTR_MAX,
	       "codes of exchanges are their counters");

#define FIRST  64u      /* bytes of a message's beginning in a line */
#define BEFORE 16u      /* and in front of a fault further on */
#define AROUND 32u

/* The first bytes, and those around a fault behind them. */
static void put_bytes(struct sb *b, const uint8_t *p, size_t n, size_t off)
{
	sb_fmt(b, "at byte %zu: \"", off);
	sb_escape(b, str_n(p, n), FIRST);
	sb_c(b, "\"");
	if (off < FIRST || off >= n)
		return;
	off -= BEFORE;
	sb_c(b, " ... \"");
	sb_escape(b, str_n(p + off, n - off), AROUND);
	sb_c(b, "\"");
}

void refused_request(const struct lb_vserver *vs, const struct conn *c, enum h1_reason why,
		     const uint8_t *p, size_t n, size_t off)
{
	char peer[ADDR_TEXT_MAX], key[ADDR_TEXT_MAX + 40], mem[512] FL_UNINIT;
	struct sb b, k;

	stat_inc(vs->stat, CTR_VSERVER_REQ_BAD);
	stat_reason(REFUSED_REQUEST, why - 1);
	sb_init(&b, mem, sizeof(mem));
	put_bytes(&b, p, n, off);
	ip_text(addr_ip(conn_peer(c)), peer);
	sb_init(&k, key, sizeof(key));          /* one kind of fault does not hide another */
	sb_fmt(&k, "%s %s", peer, h1_reason_code(why));
	log_ev_key(EV_BAD_REQUEST, sb_get(&k), "vserver %s: client %s: %s %s", vs->name, peer,
		   h1_reason_code(why), mem);
}

void refused_response(const struct lb_service *s, enum h1_reason why, const uint8_t *p, size_t n,
		      size_t off)
{
	char mem[512] FL_UNINIT;
	struct sb b;

	stat_reason(REFUSED_RESPONSE, why - 1);
	sb_init(&b, mem, sizeof(mem));
	put_bytes(&b, p, n, off);
	log_ev_key(EV_BAD_RESPONSE, str_c(s->full_name), "service %s: %s %s", s->full_name,
		   h1_reason_code(why), mem);
}

static void count_class(struct stat_row *row, int err)
{
	switch (err) {
	case FL_EREFUSED_:
		stat_inc(row, CTR_SERVICE_ERR_REFUSED);
		break;
	case FL_ETIMEOUT_:
		stat_inc(row, CTR_SERVICE_ERR_TIMEOUT);
		break;
	case FL_ERESET_:
		stat_inc(row, CTR_SERVICE_ERR_RESET);
		break;
	case -EHOSTUNREACH:
	case -ENETUNREACH:
	case -EHOSTDOWN:
	case -ENETDOWN:
		stat_inc(row, CTR_SERVICE_ERR_UNREACH);
		break;
	default:
		break;
	}
}

enum txn_code refused_connect(const struct lb_service *s, const struct conn *c, int err)
{
	const char *tls = c ? conn_tls_why(c) : NULL;
	char to[ADDR_TEXT_MAX] = "";

	if (c)
		addr_text(conn_peer(c), to);
	if (tls) {
		const char *sni = conn_tls_sni(c);

		stat_inc(s->stat, err == FL_ETIMEOUT_ ? CTR_SERVICE_ERR_TIMEOUT : CTR_SERVICE_ERR_TLS);
		log_ev_key(EV_SERVICE_TLS, str_c(s->full_name),
			   "service %s: TLS with %s%s%s failed: %s: %s", s->full_name, to,
			   sni && *sni ? " as " : "", sni ? sni : "", tls, conn_tls_reason(c));
		return err == FL_ETIMEOUT_ ? TXN_CONNECT_TIMEOUT : TXN_TLS_FAILED;
	}
	count_class(s->stat, err);
	log_ev_key(EV_CONNECT_FAIL, str_c(s->full_name), "service %s: cannot connect%s%s: %s",
		   s->full_name, c ? " to " : "", to, fl_err_text(err));
	return err == FL_ETIMEOUT_ ? TXN_CONNECT_TIMEOUT :
	       err == FL_ENOMEM_   ? TXN_NO_MEMORY :
				     TXN_CONNECT_FAILED;
}

void refused_limit(const char *kind, const char *name, const char *limit, uint64_t value)
{
	log_ev_key(EV_LIMIT, str_c(name), "%s %s: %s %llu is reached: what comes above it is refused",
		   kind, name, limit, (unsigned long long)value);
}
