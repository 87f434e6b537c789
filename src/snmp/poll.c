/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.c - a job by way of net-snmp: the library's single-session calls, driven by our loop
 *
 *	v1, v2c   send ---answer---> step -> (walk: send the next) -> over
 *	v3        ask for the engine's id ---report---> make the user -> send ---> as above
 *
 * The library's own search for the engine's id waits for its answer; so it is switched off (DONT_PROBE) and done here
 * with a request that no engine can take, RFC 3414 section 4. Callbacks only note the news: the session they come
 * from may not be closed in them.
 *
 * Sockets are connected: the kernel drops what others send, and "nobody listens" is told at once.
 *
 * RFC 3416 (operations), 3414 (users), 3826 and Blumenthal's draft (AES), 7860 (SHA-2).
 */
#include "config.h"

#include "snmp/poll.h"

#ifdef HAVE_NETSNMP

#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/library/lcd_time.h>
#include <net-snmp/library/large_fd_set.h>

#include <fcntl.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/err.h"
#include "snmp/varbind.h"

#define LOST_MS     500              /* after the last timeout */
#define REPETITIONS 25u              /* of a walk's GETBULK: about one datagram of 1,500 bytes */

bool snmp_is_built(void) { return true; }

/* The library ------------------------------------------------------------------------------ */

/* Once, with the first job: an appliance that asks nobody does not pay for it. */
static void wake_library(void)
{
	static const int on[] = {
		NETSNMP_DS_LIB_DONT_READ_CONFIGS, NETSNMP_DS_LIB_DONT_PERSIST_STATE, NETSNMP_DS_LIB_DISABLE_PERSISTENT_LOAD,
		NETSNMP_DS_LIB_DISABLE_PERSISTENT_SAVE, NETSNMP_DS_LIB_DONT_LOAD_HOST_FILES, NETSNMP_DS_LIB_ALARM_DONT_USE_SIG,
	};
	static bool awake;

	if (awake)
		return;
	awake = true;
	/* without a handler its messages would go to stderr */
	(void)netsnmp_register_loghandler(NETSNMP_LOGHANDLER_NONE, LOG_DEBUG);
	for (size_t i = 0; i < FL_ARRAY_LEN(on); i++)
		(void)netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, on[i], 1);
	/* no modules from no folders; an empty variable is the only way to say so for good */
	(void)setenv("MIBS", "", 1);
	(void)setenv("MIBDIRS", "", 1);
	netsnmp_set_mib_directory("");
	netsnmp_ds_set_string(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_CONFIGURATION_DIR, "/dev/null");
	netsnmp_ds_set_string(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_PERSISTENT_DIR, "/dev/null");
	init_snmp("fairlead");
}

/* Answers ---------------------------------------------------------------------------------- */

static bool add_row(struct snmp_job *j, const netsnmp_variable_list *v)
{
	struct snmp_row *r;

	if (j->n == j->cap) {
		unsigned cap = j->cap ? j->cap * 2 : 32;
		struct snmp_row *more = j->n < SNMP_ROWS_MAX ? env_realloc(j->row, cap * sizeof(*more)) : NULL;

		if (!more) {
			snmp_job_fail(j, "memory", "the answer is too large");
			return false;
		}
		j->row = more;
		j->cap = cap;
	}
	r = &j->row[j->n];
	memset(r, 0, sizeof(*r));
	varbind_oid(v->name, v->name_length, &r->oid);
	if (!varbind_value(v, &r->value)) {
		snmp_job_fail(j, "protocol", "the agent answered with a value of unknown type %#x", v->type);
		return false;
	}
	j->n++;
	return true;
}

static void over(struct snmp_poll *p) { p->news = POLL_OVER; }

static const struct { const char *word, *text; } error_status[] = {
	[SNMP_ERR_TOOBIG] = { "tooBig", "the answer would be larger than the agent can send; ask for less" },
	[SNMP_ERR_NOSUCHNAME] = { "noSuchName", "the agent has no such object" },
	[SNMP_ERR_GENERR] = { "genErr", "the agent failed on" },
	[SNMP_ERR_NOACCESS] = { "noAccess", "the agent does not let us read" },
	[SNMP_ERR_RESOURCEUNAVAILABLE] = { "resourceUnavailable", "the agent has no means for" },
	[SNMP_ERR_AUTHORIZATIONERROR] = { "authorizationError", "the agent does not let this user or community read" },
};

static void take_error(struct snmp_poll *p, const netsnmp_pdu *pdu)
{
	struct snmp_job *j = p->job;
	long status = pdu->errstat, index = pdu->errindex;
	const netsnmp_variable_list *v = pdu->variables;
	char text[128];
	struct sb b;

	if (j->q.op == SNMP_OP_WALK && status == SNMP_ERR_NOSUCHNAME && j->q.version == 1) {
		over(p);                         /* v1's way to say that nothing follows */
		return;
	}
	if (j->q.op == SNMP_OP_WALK && status == SNMP_ERR_TOOBIG && p->repetitions > 1) {
		p->repetitions /= 2;
		p->news = POLL_MORE;
		return;
	}
	sb_init(&b, text, sizeof(text));
	for (; v && index > 1; v = v->next_variable)
		index--;
	if (v && index == 1) {
		struct objid o;

		varbind_oid(v->name, v->name_length, &o);
		sb_c(&b, ": ");
		objid_text(&o, &b);
	}
	if (status > 0 && (size_t)status < FL_ARRAY_LEN(error_status) && error_status[status].word)
		snmp_job_fail(j, error_status[status].word, "%s%s", error_status[status].text, text);
	else
		snmp_job_fail(j, "error", "the agent answered with error-status %ld%s", status, text);
	over(p);
}

/* usmStats, RFC 3414 section 5: what an engine had against our message. */
static const struct { const char *word, *text; } reports[] = {
	[1] = { "unsupportedSecLevel", "the agent does not take this level of security for the user" },
	[2] = { "notInTimeWindow", "the agent's clock and ours do not agree, again and again" },
	[3] = { "unknownUserName", "the agent does not know the user" },
	[4] = { "unknownEngineID", "the agent is another engine than a moment ago" },
	[5] = { "wrongDigest", "the agent refuses our signature: is the authentication passphrase or protocol another?" },
	[6] = { "decryptionError", "the agent cannot decrypt: is the privacy passphrase or protocol another?" },
};

static void take_report(struct snmp_poll *p, const netsnmp_pdu *pdu)
{
	static const oid stats[] = { 1, 3, 6, 1, 6, 3, 15, 1, 1 };
	const netsnmp_variable_list *v = pdu->variables;
	oid which = 0;

	if (v && v->name_length > FL_ARRAY_LEN(stats) && memcmp(v->name, stats, sizeof(stats)) == 0)
		which = v->name[FL_ARRAY_LEN(stats)];
	if (p->finding && pdu->securityEngineIDLen && pdu->securityEngineIDLen <= sizeof(p->engine)) {
		p->engine_n = pdu->securityEngineIDLen;
		memcpy(p->engine, pdu->securityEngineID, p->engine_n);
		p->news = POLL_FOUND;
	} else if (which == 2) {
		p->late = true;                  /* the library sends again with the agent's time, as often as may be */
	} else {
		if (which && which < FL_ARRAY_LEN(reports))
			snmp_job_fail(p->job, reports[which].word, "%s", reports[which].text);
		else
			snmp_job_fail(p->job, "report", "the agent refused the message without a known reason");
		over(p);
	}
}

/* One row of a walk; false: it ends with it. */
static bool walk_row(struct snmp_poll *p, const netsnmp_variable_list *v)
{
	struct snmp_job *j = p->job;
	struct objid o;

	varbind_oid(v->name, v->name_length, &o);
	if (v->type == SNMP_ENDOFMIBVIEW || !objid_is_under(&o, &j->q.oid[0]))
		return false;
	if (objid_cmp(&o, &p->at) <= 0) {
		snmp_job_fail(j, "notIncreasing", "the agent's next object is not behind the one before: it would never end");
		return false;
	}
	if (j->n == j->q.rows) {
		j->cut = true;
		return false;
	}
	if (!add_row(j, v))
		return false;
	p->at = o;
	return true;
}

static void take_rows(struct snmp_poll *p, const netsnmp_pdu *pdu)
{
	struct snmp_job *j = p->job;
	unsigned n = 0;

	for (const netsnmp_variable_list *v = pdu->variables; v; v = v->next_variable, n++) {
		if (j->q.op == SNMP_OP_WALK ? !walk_row(p, v) : !add_row(j, v)) {
			over(p);
			return;
		}
	}
	if (j->q.op == SNMP_OP_WALK && n) {
		p->news = POLL_MORE;
		return;
	}
	if (!n || (j->q.op != SNMP_OP_BULK && n != j->q.n_oids))
		snmp_job_fail(j, "protocol", "the agent answered with %u objects", n);
	over(p);
}

static void no_answer(struct snmp_poll *p)
{
	const struct snmp_query *q = &p->job->q;
	const char *also = q->version < 3 ? "; an agent does not answer to a community that it does not know" :
			   p->finding ? "" : "; it had told its engine's id: an agent may be silent when it cannot decrypt";

	snmp_job_fail(p->job, "timeout", "no answer to %u message%s within %u ms each%s", q->retries + 1, q->retries ? "s" : "",
		      q->timeout_ms, also);
	over(p);
}

static int on_pdu(int op, netsnmp_session *s, int id, netsnmp_pdu *pdu, void *ctx)
{
	struct snmp_poll *p = ctx;

	(void)s;
	(void)id;
	if (p->news == POLL_OVER)
		return 1;
	switch (op) {
	case NETSNMP_CALLBACK_OP_RECEIVED_MESSAGE:
		if (pdu->command == SNMP_MSG_REPORT)
			take_report(p, pdu);
		else if (p->finding || pdu->command != SNMP_MSG_RESPONSE)
			snmp_job_fail(p->job, "protocol", "the agent answered with a message that is no answer");
		else if (pdu->errstat != SNMP_ERR_NOERROR)
			take_error(p, pdu);
		else
			take_rows(p, pdu);
		if (p->job->reason)
			over(p);
		break;
	case NETSNMP_CALLBACK_OP_TIMED_OUT:
		no_answer(p);
		break;
	case NETSNMP_CALLBACK_OP_SEND_FAILED:
	case NETSNMP_CALLBACK_OP_DISCONNECT:
		snmp_job_fail(p->job, "send", "the message could not be sent");
		over(p);
		break;
	default:                         /* of a report it tells twice: as an error of security before */
		break;
	}
	return 1;
}

/* Requests --------------------------------------------------------------------------------- */

static bool give_up(struct snmp_poll *p, const char *what)
{
	netsnmp_session *s = p->sess ? snmp_sess_session(p->sess) : NULL;

	snmp_job_fail(p->job, "local", "%s: %s", what, s ? snmp_api_errstring(s->s_snmp_errno) : "no memory");
	return false;
}

static bool send_pdu(struct snmp_poll *p, netsnmp_pdu *pdu)
{
	const struct snmp_query *q = &p->job->q;

	if (!pdu)
		return give_up(p, "no message");
	p->late = false;
	p->lost_ms = engine_now_ms(p->e) + (uint64_t)q->timeout_ms * (q->retries + 2) + LOST_MS;
	if (snmp_sess_async_send(p->sess, pdu, on_pdu, p))
		return true;
	snmp_free_pdu(pdu);
	return give_up(p, "the message could not be sent");
}

/* A message to an engine without an id: its report says who it is. */
static bool send_question(struct snmp_poll *p)
{
	netsnmp_pdu *pdu = snmp_pdu_create(SNMP_MSG_GET);

	if (!pdu)
		return give_up(p, "no message");
	pdu->version = SNMP_VERSION_3;
	pdu->securityName = netsnmp_strdup("");
	pdu->securityNameLen = 0;
	pdu->securityLevel = SNMP_SEC_LEVEL_NOAUTH;
	pdu->securityModel = SNMP_SEC_MODEL_USM;
	p->finding = true;
	return send_pdu(p, pdu);
}

static size_t give_oid(const struct objid *from, oid to[OID_ARCS_MAX])
{
	for (unsigned i = 0; i < from->n; i++)
		to[i] = from->arc[i];
	return from->n;
}

static int command_of(const struct snmp_query *q)
{
	switch (q->op) {
	case SNMP_OP_GET:
		return SNMP_MSG_GET;
	case SNMP_OP_NEXT:
		return SNMP_MSG_GETNEXT;
	case SNMP_OP_BULK:
		return SNMP_MSG_GETBULK;
	default:
		return q->version == 1 ? SNMP_MSG_GETNEXT : SNMP_MSG_GETBULK;
	}
}

static bool send_request(struct snmp_poll *p)
{
	const struct snmp_query *q = &p->job->q;
	netsnmp_pdu *pdu = snmp_pdu_create(command_of(q));
	oid name[OID_ARCS_MAX];

	if (!pdu)
		return give_up(p, "no message");
	if (pdu->command == SNMP_MSG_GETBULK) {
		pdu->non_repeaters = 0;
		pdu->max_repetitions = q->op == SNMP_OP_WALK ? FL_MIN(p->repetitions, q->rows - p->job->n + 1) : q->rows;
	}
	if (q->op == SNMP_OP_WALK)
		snmp_add_null_var(pdu, name, give_oid(&p->at, name));
	else
		for (unsigned i = 0; i < q->n_oids; i++)
			snmp_add_null_var(pdu, name, give_oid(&q->oid[i], name));
	return send_pdu(p, pdu);
}

/* The user for this engine: its keys are made of our passphrases and the engine's id. */
static bool make_user(struct snmp_poll *p)
{
	netsnmp_session *s = snmp_sess_session(p->sess);

	p->finding = false;
	p->found = true;
	if (!s->securityEngineIDLen) {
		s->securityEngineID = netsnmp_memdup(p->engine, p->engine_n);
		s->securityEngineIDLen = s->securityEngineID ? p->engine_n : 0;
	}
	if (!s->contextEngineIDLen) {
		s->contextEngineID = netsnmp_memdup(p->engine, p->engine_n);
		s->contextEngineIDLen = s->contextEngineID ? p->engine_n : 0;
	}
	if (usm_create_user_from_session(s) != SNMPERR_SUCCESS)
		return give_up(p, "the user's keys could not be made");
	return true;
}

/* The loop --------------------------------------------------------------------------------- */

/* When the library wants to look at its clock again. */
static void arm(struct snmp_poll *p)
{
	uint64_t now = engine_now_ms(p->e), end = FL_MIN(p->end_ms, p->lost_ms), left = end > now ? end - now : 0, ms;
	struct timeval tv = { .tv_sec = 60 };
	netsnmp_large_fd_set none;
	int n = 0, block = 0;

	netsnmp_large_fd_set_init(&none, FD_SETSIZE);
	(void)snmp_sess_select_info2(p->sess, &n, &none, &tv, &block);
	netsnmp_large_fd_set_cleanup(&none);
	ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1;
	engine_timer(p->e, &p->timer, FL_MIN(ms, left));
}

/* Too long, or the library has nothing under way any more: it gives a request up without a word when the agent says
 * again and again that our time is wrong. */
static bool is_lost(struct snmp_poll *p)
{
	uint64_t now = engine_now_ms(p->e);

	if (now >= p->end_ms)
		snmp_job_fail(p->job, "timeout", "not done after %u s", SNMP_JOB_MS / 1000);
	else if (now >= p->lost_ms && p->late)
		snmp_job_fail(p->job, reports[2].word, "%s", reports[2].text);
	else if (now >= p->lost_ms)
		no_answer(p);
	return p->job->reason != NULL;
}

static void step(struct snmp_poll *p)
{
	enum poll_news news = p->news;
	bool ok = true;

	p->news = POLL_NOTHING;
	if (news == POLL_FOUND)
		ok = make_user(p) && send_request(p);
	else if (news == POLL_MORE)
		ok = send_request(p);
	if (ok && news == POLL_NOTHING && is_lost(p))
		ok = false;
	if (!ok || news == POLL_OVER)
		p->ended(p);
	else
		arm(p);
}

static void on_readable(struct engine_watch *w, unsigned events)
{
	struct snmp_poll *p = FL_CONTAINER_OF(w, struct snmp_poll, watch);
	netsnmp_session *s = snmp_sess_session(p->sess);
	netsnmp_large_fd_set set;

	(void)events;
	netsnmp_large_fd_set_init(&set, FD_SETSIZE);
	netsnmp_large_fd_setfd(w->fd, &set);
	if (snmp_sess_read2(p->sess, &set) < 0 && s->s_snmp_errno == SNMPERR_BAD_RECVFROM && s->s_errno == ECONNREFUSED) {
		snmp_job_fail(p->job, "refused", "nobody listens there");
		over(p);
	}
	netsnmp_large_fd_set_cleanup(&set);
	step(p);
}

static void on_timer(struct timer *t)
{
	struct snmp_poll *p = FL_CONTAINER_OF(t, struct snmp_poll, timer);

	snmp_sess_timeout(p->sess);
	step(p);
}

/* Session ---------------------------------------------------------------------------------- */

static bool make_key(struct snmp_poll *p, const netsnmp_session *s, const char *pass, u_char *key, size_t *n)
{
	if (generate_Ku(s->securityAuthProto, (u_int)s->securityAuthProtoLen, (const u_char *)pass, strlen(pass), key, n) ==
	    SNMPERR_SUCCESS)
		return true;
	snmp_job_fail(p->job, "local", "a key could not be made of the passphrase");
	return false;
}

static bool set_user(struct snmp_poll *p, netsnmp_session *s)
{
	struct snmp_query *q = &p->job->q;
	int auth = q->auth ? usm_lookup_auth_type(q->auth) : 0, priv = q->priv ? usm_lookup_priv_type(q->priv) : 0;

	s->version = SNMP_VERSION_3;
	s->securityModel = SNMP_SEC_MODEL_USM;
	s->securityLevel = q->priv ? SNMP_SEC_LEVEL_AUTHPRIV : q->auth ? SNMP_SEC_LEVEL_AUTHNOPRIV : SNMP_SEC_LEVEL_NOAUTH;
	s->securityName = q->user;
	s->securityNameLen = strlen(q->user);
	if (auth < 0 || priv < 0) {
		snmp_job_fail(p->job, "local", "this net-snmp does not know %s", auth < 0 ? q->auth : q->priv);
		return false;
	}
	if (q->auth) {
		s->securityAuthProto = sc_get_auth_oid(auth, &s->securityAuthProtoLen);
		s->securityAuthKeyLen = USM_AUTH_KU_LEN;
		if (!make_key(p, s, q->auth_pass, s->securityAuthKey, &s->securityAuthKeyLen))
			return false;
	}
	if (q->priv) {
		s->securityPrivProto = sc_get_priv_oid(priv, &s->securityPrivProtoLen);
		s->securityPrivKeyLen = USM_PRIV_KU_LEN;
		if (!make_key(p, s, q->priv_pass, s->securityPrivKey, &s->securityPrivKeyLen))
			return false;
	}
	return true;
}

static bool open_session(struct snmp_poll *p)
{
	struct snmp_query *q = &p->job->q;
	char peer[ADDR_TEXT_MAX + 8], text[ADDR_TEXT_MAX];
	netsnmp_session s;
	bool ok = true;

	snmp_sess_init(&s);
	snprintf(peer, sizeof(peer), "%s:%s", q->to.sa.sa_family == AF_INET6 ? "udp6" : "udp", addr_text(&q->to, text));
	s.peername = peer;
	s.timeout = (long)q->timeout_ms * 1000;
	s.retries = (int)q->retries;
	if (q->version == 3) {
		ok = set_user(p, &s);
	} else {
		s.version = q->version == 1 ? SNMP_VERSION_1 : SNMP_VERSION_2c;
		s.community = (u_char *)q->community;
		s.community_len = strlen(q->community);
	}
	if (ok)
		p->sess = snmp_sess_open(&s);
	if (p->sess)                     /* said before, it is taken back while the session is opened */
		snmp_sess_session(p->sess)->flags |= SNMP_FLAGS_DONT_PROBE;
	if (ok && !p->sess)
		snmp_job_fail(p->job, "local", "no socket: %s", snmp_api_errstring(s.s_snmp_errno));
	explicit_bzero(s.securityAuthKey, sizeof(s.securityAuthKey));
	explicit_bzero(s.securityPrivKey, sizeof(s.securityPrivKey));
	return p->sess != NULL;
}

static int watch_socket(struct snmp_poll *p)
{
	const netsnmp_transport *t = snmp_sess_transport(p->sess);
	const struct snmp_query *q = &p->job->q;
	int fd = t ? t->sock : -1, flags = fcntl(fd, F_GETFL), err;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	err = env_connect(fd, &q->to.sa, addr_len(&q->to));
	if (err < 0)
		return err;
	p->watch = (struct engine_watch){ .fd = fd, .fn = on_readable };
	return engine_watch(p->e, &p->watch, ENGINE_READ);
}

static bool begin(struct snmp_poll *p)
{
	int err;

	if (!open_session(p))
		return false;
	err = watch_socket(p);
	if (err < 0) {
		snmp_job_fail(p->job, "unreachable", "%s", fl_err_text(err));
		return false;
	}
	return p->job->q.version == 3 ? send_question(p) : send_request(p);
}

struct snmp_poll *snmp_poll_start(struct engine *e, struct snmp_job *j, void (*ended)(struct snmp_poll *p))
{
	struct snmp_poll *p = env_calloc(1, sizeof(*p));

	if (!p) {
		snmp_job_fail(j, "memory", "no memory");
		return NULL;
	}
	wake_library();
	list_init(&p->link);
	p->e = e;
	p->job = j;
	p->ended = ended;
	p->watch.fd = -1;
	p->repetitions = REPETITIONS;
	p->at = j->q.oid[0];
	p->end_ms = engine_now_ms(e) + SNMP_JOB_MS;
	timer_init(&p->timer, on_timer);
	if (begin(p)) {
		arm(p);
		return p;
	}
	snmp_poll_free(p, false);
	return NULL;
}

/* The keys are not kept: neither here nor in the library's list of users. */
static void forget_user(struct snmp_poll *p)
{
	struct usmUser *u = usm_get_user(p->engine, p->engine_n, p->job->q.user);

	if (!u)
		return;
	(void)usm_remove_user(u);
	u->next = u->prev = NULL;
	(void)usm_free_user(u);
}

static void free_poll(void *obj)
{
	env_free(obj);
}

void snmp_poll_free(struct snmp_poll *p, bool forget)
{
	netsnmp_session *s = p->sess ? snmp_sess_session(p->sess) : NULL;

	timer_stop(&p->timer);
	if (p->watch.fd >= 0)
		engine_unwatch(p->e, &p->watch);
	if (p->found && forget)
		forget_user(p);
	if (s) {
		explicit_bzero(s->securityAuthKey, sizeof(s->securityAuthKey));
		explicit_bzero(s->securityPrivKey, sizeof(s->securityPrivKey));
		if (s->community)
			explicit_bzero(s->community, s->community_len);
		(void)snmp_sess_close(p->sess);
	}
	engine_free_later(p->e, p, free_poll);
}

#else   /* configured --without-snmp, or net-snmp was not there */

bool snmp_is_built(void) { return false; }

struct snmp_poll *snmp_poll_start(struct engine *e, struct snmp_job *j, void (*ended)(struct snmp_poll *p))
{
	(void)e;
	(void)ended;
	snmp_job_fail(j, "notBuilt", "this fairlead was built without net-snmp");
	return NULL;
}

void snmp_poll_free(struct snmp_poll *p, bool forget)
{
	(void)p;
	(void)forget;
}

#endif
