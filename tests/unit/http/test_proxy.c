/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_proxy.c - requests through a whole worker: framing, limits, faults of services and
 * clients, drain, tcp
 */
#include "config.h"

#include "tests/unit/http/peers.h"

/* ---------- the origin: the path says what it does ---------- */
struct oconn {
	int    fd;
	char   buf[262144];
	size_t n;
	unsigned served;
};

static bool o_more(struct oconn *o)
{
	ssize_t n = o->n < sizeof(o->buf) - 1
			    ? recv(o->fd, o->buf + o->n, sizeof(o->buf) - 1 - o->n, 0)
			    : -1;

	if (n <= 0)
		return false;
	o->n += (size_t)n;
	o->buf[o->n] = '\0';
	return true;
}

static void o_drop(struct oconn *o, size_t n)
{
	memmove(o->buf, o->buf + n, o->n - n + 1);
	o->n -= n;
}

static void o_say(struct oconn *o, const char *text)
{
	(void)!send(o->fd, text, strlen(text), MSG_NOSIGNAL);
}

static bool o_zeros(struct oconn *o, size_t n)
{
	static char zeros[65536];

	while (n) {
		ssize_t r = send(o->fd, zeros, FL_MIN(n, sizeof(zeros)), MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		n -= (size_t)r;
	}
	return true;
}

/* Bytes of a body: a count is all the tests look at, and the sum. */
static bool o_body(struct oconn *o, const char *head, uint64_t *n, uint64_t *sum)
{
	const char *cl = strcasestr(head, "\r\nContent-Length: ");
	bool chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked") != NULL;
	uint64_t left = cl ? strtoull(cl + 18, NULL, 10) : 0;

	*n = *sum = 0;
	for (;;) {
		size_t k;

		if (chunked && !left) {
			char *eol;

			while (!(eol = strstr(o->buf, "\r\n")))
				if (!o_more(o))
					return false;
			left = strtoul(o->buf, NULL, 16);
			o_drop(o, (size_t)(eol - o->buf) + 2);
			if (!left) {
				while (o->n < 2)
					if (!o_more(o))
						return false;
				o_drop(o, 2);
				return true;
			}
			left += 2;
		}
		if (!left)
			return true;
		if (!o->n && !o_more(o))
			return false;
		k = FL_MIN(left, (uint64_t)o->n);
		for (size_t i = 0; i < k; i++)
			*sum += (unsigned char)o->buf[i];
		*n += k - (chunked && k == left ? 2 : 0);
		left -= k;
		o_drop(o, k);
	}
}

#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* False: close. */
static bool o_answer(struct oconn *o, const char *method, const char *path, const char *head)
{
	struct linger now = { 1, 0 };
	uint64_t n = 0, sum = 0;
	char text[200], body[9000];

	if (!strcmp(path, "/drop"))
		return false;
	if (!strcmp(path, "/silent")) {
		while (o_more(o))
			;
		peers.aborted++;
		return false;
	}
	if (!strcmp(path, "/refuse")) {
		o_say(o, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
		usleep(300000);
		return false;
	}
	if (!strcmp(path, "/continue"))
		o_say(o, "HTTP/1.1 100 Continue\r\n\r\n");
	if (!o_body(o, head, &n, &sum)) {
		peers.aborted++;
		return false;
	}
	if (!strncmp(path, "/size/", 6)) {
		size_t size = strtoul(path + 6, NULL, 10);

		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			 size);
		o_say(o, text);
		return !strcmp(method, "HEAD") || o_zeros(o, size);
	} else if (!strcmp(path, "/echo")) {
		struct sb b;

		sb_init(&b, body, sizeof(body));
		sb_fmt(&b, "%llu %llu\n%s", (unsigned long long)n, (unsigned long long)sum, head);
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", b.n);
		o_say(o, text);
		o_say(o, body);
	} else if (!strcmp(path, "/chunked")) {
		o_say(o,
		      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n");
	} else if (!strcmp(path, "/until-close")) {
		o_say(o, "HTTP/1.1 200 OK\r\n\r\nuntil");
		return false;
	} else if (!strcmp(path, "/once")) {
		if (o->served > 1)
			return false;
		o_say(o, OK2);
	} else if (!strcmp(path, "/cut-length")) {
		o_say(o, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
		return false;
	} else if (!strcmp(path, "/cut-chunk")) {
		o_say(o, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
		return false;
	} else if (!strcmp(path, "/reset")) {
		setsockopt(o->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		return false;
	} else if (!strcmp(path, "/bad")) {
		o_say(o, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
	} else if (!strcmp(path, "/extra")) {
		o_say(o, OK2 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	} else if (!strcmp(path, "/hints")) {
		o_say(o, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK2);
	} else if (!strcmp(path, "/flood")) {
		for (unsigned i = 0; i < 1000; i++)
			o_say(o, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	} else if (!strcmp(path, "/slow")) {
		usleep(300000);
		o_say(o, OK2);
	} else if (!strcmp(path, "/ws")) {
		o_say(o,
		      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
		while (o->n || o_more(o)) {
			for (size_t i = 0; i < o->n; i++)
				o->buf[i] ^= 0x20;
			o_say(o, o->buf);
			o_drop(o, o->n);
		}
		o_say(o, "bye");
		return false;
	} else {
		o_say(o, OK2);
	}
	return true;
}

static bool o_words(const char *head, char *method, size_t m, char *path, size_t p)
{
	struct str rest = str_c(head), a = str_cut(&rest, ' '), b = str_cut(&rest, ' ');

	if (!a.n || !b.n || a.n >= m || b.n >= p)
		return false;
	memcpy(method, a.p, a.n);
	method[a.n] = '\0';
	memcpy(path, b.p, b.n);
	path[b.n] = '\0';
	return true;
}

static void *o_serve(void *arg)
{
	struct oconn *o = arg;
	bool go_on = true;

	while (go_on) {
		char head[8192], method[16], path[256];
		char *end;

		while (!(end = o->n ? strstr(o->buf, "\r\n\r\n") : NULL))
			if (!o_more(o))
				goto out;
		snprintf(head, sizeof(head), "%.*s", (int)(end - o->buf + 2), o->buf);
		o_drop(o, (size_t)(end - o->buf) + 4);
		if (!o_words(head, method, sizeof(method), path, sizeof(path)))
			break;
		peers.requests++;
		o->served++;
		go_on = o_answer(o, method, path, head);
	}
out:
	close(o->fd);
	free(o);
	return NULL;
}

static void *origin_accept(void *arg)
{
	(void)arg;
	for (;;) {
		struct oconn *o = calloc(1, sizeof(*o));
		pthread_t t;
		int on = 1;

		o->fd = accept(peers.origin_fd, NULL, NULL);
		if (o->fd < 0)
			return NULL;
		setsockopt(o->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&t, NULL, o_serve, o) == 0)
			pthread_detach(t);
	}
}

/* ---------- the worker's configuration ---------- */
static const char conf_text[] =
	"pool app { monitor none; service a 127.0.0.1:@o; response-timeout 1s }\n"
	"pool half { monitor none; method round-robin; service dead 127.0.0.1:@x; service a 127.0.0.1:@o }\n"
	"pool dead { monitor none; service d 127.0.0.1:@x }\n"
	"vserver web {\n"
	"  listen 127.0.0.1:@0\n"
	"  access-log stdout json\n"
	"  head-timeout 300ms; body-timeout 400ms; idle-timeout 1s; max-body 50m\n"
	"  policy deny when http.request.uri.path == \"/deny\" { reject }\n"
	"  policy hello when http.request.uri.path == \"/hello\" { respond 200 \"hi {http.request.uri}\" }\n"
	"  policy red when http.request.uri.path == \"/red\" { redirect \"https://{http.host}{http.request.uri}\" }\n"
	"  policy hdr when http.request.uri.query == \"hdr\" { set-header X-Edge \"e-{http.host}\"; remove-header X-Gone;\n"
	"    set-response-header X-Resp \"r\" }\n"
	"  policy half when http.request.uri.query == \"half\" { use half }\n"
	"  policy dead when http.request.uri.query == \"dead\" { use dead }\n"
	"  default use app\n"
	"}\n"
	"vserver l4 { protocol tcp; listen 127.0.0.1:@1; default use half }\n"
	"vserver few { listen 127.0.0.1:@2; max-connections 1; keepalive-max 2; trust-forwarded 127.0.0.0/8; forwarded both;\n"
	"  default use app }\n";

static struct client c;

static void setup(void)
{
	memset(&peers, 0, sizeof(peers));
	peers_start(conf_text);
	client_open(&c, 0);
}

/* Everything that counts what is open must be back at 0. */
static void teardown(void)
{
	client_close(&c);
	wait_figure("vserver web CONN_CUR", 0);
	wait_figure("vserver web REQ_CUR", 0);
	wait_figure("service app/a REQ_CUR", 0);
	wait_figure("host - active", 0);
	ck_assert_int_eq(figure("service app/a CONN_CUR"), figure("service app/a CONN_IDLE"));
	peers_stop();
	close(peers.origin_fd);
}

#define GET(path) client_get(&c, "GET", path, "")
#define EXPECT(st, text) \
	do { \
		ck_assert_uint_eq(c.status, st); \
		ck_assert_msg(c.whole, "the answer was cut"); \
		ck_assert_msg(strcmp(c.body, text) == 0, "got \"%s\"", c.body); \
	} while (0)

START_TEST(keeps_connections_and_adds_fields)
{
	GET("/echo");
	ck_assert_uint_eq(c.status, 200);
	ck_assert(head_has(&c, "\r\nVia: 1.1 fairlead\r\n") && head_has(&c, "\r\nDate: "));
	ck_assert_ptr_nonnull(strstr(c.body, "\r\nX-Forwarded-For: 127.0.0.1\r\n"));
	ck_assert_ptr_nonnull(strstr(c.body, "\r\nX-Forwarded-Host: test\r\n"));
	client_get(&c, "GET", "/echo",
		   "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 9\r\nForwarded: for=x\r\n");
	ck_assert(!strstr(c.body, "6.6.6.6") && !strstr(c.body, "Forwarded-Port") &&
		  !strstr(c.body, "for=x"));
	GET("/until-close");
	EXPECT(200, "until");
	GET("/chunked");
	EXPECT(200, "abcdefg");
	ck_assert(head_has(&c, "X-T: 1"));
	client_get(&c, "HEAD", "/size/77", "");
	ck_assert(head_has(&c, "\r\nContent-Length: 77\r\n"));
	client_get(&c, "GET", "/x", "Connection: close\r\n");
	EXPECT(200, "ok");
	ck_assert(head_has(&c, "\r\nConnection: close\r\n") && client_closed(&c));
	ck_assert_int_eq(figure("vserver web REQ_TOT"), 6);
	ck_assert_int_eq(figure("vserver web R2XX"), 6);
	ck_assert_int_eq(figure("vserver web REUSED"), 5);
	ck_assert_int_eq(figure("service app/a REQ_TOT"), 6);
	/* an end-delimited answer cost its connection; all others went over one */
	ck_assert_int_eq(figure("service app/a CONN_TOT"), 2);
	ck_assert_int_eq(figure("service app/a REUSE"), 4);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
	for (unsigned i = 0; i < 150; i++) {
		char text[100];

		snprintf(text, sizeof(text), "GET %s%u HTTP/1.1\r\nHost: t\r\n\r\n",
			 i % 2 ? "/hello?" : "/size/", i);
		client_send(&c, text);
	}
	for (unsigned i = 0; i < 150; i++) {
		char want[40];

		client_read(&c, false);
		snprintf(want, sizeof(want), "hi /hello?%u", i);
		ck_assert_uint_eq(c.status, 200);
		if (i % 2)
			ck_assert_str_eq(c.body, want);
		else
			ck_assert_uint_eq(c.n_body, i);
	}
	client_send(
		&c,
		"GET /x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGET /y HTTP/1.1\r\nHost: t\r\n\r\n");
	client_read(&c, false);
	EXPECT(200, "ok");
	ck_assert(client_closed(&c));
}
END_TEST

START_TEST(old_clients_get_no_chunks)
{
	client_send(&c, "GET /chunked HTTP/1.0\r\n\r\n");
	client_read(&c, false);
	EXPECT(200, "abcdefg");
	ck_assert(!head_has(&c, "Transfer-Encoding"));
	client_close(&c);
	client_open(&c, 0);
	client_send(&c, "GET /hints HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	client_read(&c, false);
	EXPECT(200, "ok");
	ck_assert_uint_eq(c.interim, 0);
	ck_assert(head_has(&c, "\r\nConnection: keep-alive\r\n"));
	GET("/x");
	EXPECT(200, "ok");
}
END_TEST

static void *send_body(void *arg)
{
	size_t n = *(size_t *)arg;
	static char part[65536];

	memset(part, 1, sizeof(part));
	while (n) {
		ssize_t r = send(c.fd, part, FL_MIN(n, sizeof(part)), MSG_NOSIGNAL);

		if (r <= 0)
			break;
		n -= (size_t)r;
	}
	return NULL;
}

START_TEST(large_bodies_both_ways)
{
	static const size_t sizes[] = { 0, 1, 65536, 70000, 1u << 20, 20u << 20 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(sizes); i++) {
		char text[200], want[60];
		size_t n = sizes[i];
		pthread_t t;

		snprintf(text, sizeof(text),
			 "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", n);
		client_send(&c, text);
		ck_assert_int_eq(pthread_create(&t, NULL, send_body, &n), 0);
		client_read(&c, false);
		pthread_join(t, NULL);
		snprintf(want, sizeof(want), "%zu %zu\n", sizes[i], sizes[i]);
		ck_assert_uint_eq(c.status, 200);
		ck_assert_msg(strncmp(c.body, want, strlen(want)) == 0, "%.40s", c.body);
		snprintf(text, sizeof(text), "/size/%zu", n);
		GET(text);
		ck_assert(c.status == 200 && c.whole && c.n_body == n);
	}
	client_get(&c, "POST", "/echo", "Transfer-Encoding: chunked\r\n\r\n2\r\n\1\1\r\n0\r\n");
	ck_assert_msg(strncmp(c.body, "2 ", 2) == 0, "%.40s", c.body);
}
END_TEST

START_TEST(a_slow_reader_holds_little_memory)
{
	int small = 65536;

	client_close(&c);
	client_open(&c, 0);
	setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	client_send(&c, "GET /size/40000000 HTTP/1.1\r\nHost: t\r\n\r\n");
	usleep(200000);
	ck_assert_int_lt(figure("host - held"), 2 * 65536 + 262144);
	/* and when it takes nothing at all it is cut */
	wait_figure("host - active", 0);
	ck_assert_int_eq(figure("vserver web TIMEOUT_CLIENT"), 1);
}
END_TEST

START_TEST(expectations)
{
	client_send(
		&c,
		"POST /continue HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	ck_assert(client_need(&c, 12));
	ck_assert_int_eq(strncmp(c.buf, "HTTP/1.1 100", 12), 0);
	client_send(&c, "abc");
	client_read(&c, false);
	EXPECT(200, "ok");
	ck_assert_uint_eq(c.interim, 1);
	/* a service that says nothing: we do after a second */
	client_send(
		&c,
		"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	ck_assert(client_need(&c, 12));
	ck_assert_int_eq(strncmp(c.buf, "HTTP/1.1 100", 12), 0);
	client_send(&c, "\1\1\1");
	client_read(&c, false);
	ck_assert(c.status == 200 && strncmp(c.body, "3 3\n", 4) == 0);
	client_send(
		&c,
		"POST /refuse HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	client_read(&c, false);
	EXPECT(403, "");
	ck_assert_uint_eq(c.interim, 0);
	ck_assert(head_has(&c, "Connection: close") && client_closed(&c));
}
END_TEST

START_TEST(interim_answers)
{
	GET("/hints");
	EXPECT(200, "ok");
	ck_assert_uint_eq(c.interim, 1);
	GET("/flood");
	ck_assert_uint_eq(c.status, 502);
	ck_assert_uint_le(c.interim, 16);
	ck_assert_int_eq(figure("service app/a RESP_ERR"), 1);
}
END_TEST

START_TEST(local_answers)
{
	GET("/hello?a");
	EXPECT(200, "hi /hello?a");
	GET("/deny");
	ck_assert_uint_eq(c.status, 403);
	ck_assert_int_eq(figure("vserver web DENIED"), 1);
	GET("/red?x=1");
	ck_assert_uint_eq(c.status, 302);
	ck_assert(head_has(&c, "\r\nLocation: https://test/red?x=1\r\n"));
	client_get(&c, "GET", "/echo?hdr", "X-Gone: 1\r\n");
	ck_assert(head_has(&c, "\r\nX-Resp: r\r\n"));
	/* what is left of a small body is read away, and the connection goes on */
	client_send(&c, "POST /deny HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
	client_read(&c, false);
	ck_assert_uint_eq(c.status, 403);
	client_send(&c, "cdeGET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
	client_read(&c, false);
	EXPECT(200, "hi /hello");
	client_get(&c, "OPTIONS", "/x", "Max-Forwards: 0\r\n");
	ck_assert_uint_eq(c.status, 204);
	ck_assert_uint_eq(peers.requests, 1);
}
END_TEST

static const struct {
	const char *text;
	unsigned    status;
} bad[] = {
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  400 },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421 },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405 },
	{ "GET / HT", 408 },
	{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408 },
};

START_TEST(bad_requests_are_refused_and_closed)
{
	client_send(&c, bad[_i].text);
	client_read(&c, false);
	ck_assert_uint_eq(c.status, bad[_i].status);
	ck_assert(head_has(&c, "\r\nConnection: close\r\n"));
	ck_assert(client_closed(&c));
	ck_assert_int_eq(figure("vserver web R4XX") + figure("vserver web R5XX"), 1);
}
END_TEST

START_TEST(a_silent_client_is_closed_silently)
{
	ck_assert(client_closed(&c));
	ck_assert_int_eq(figure("vserver web REQ_TOT"), 0);
}
END_TEST

static const struct {
	const char *path;
	unsigned    status;             /* 0: an answer that is cut */
	long long   requests;           /* at the origin */
} faults[] = {
	{ "/drop", 502, 2 },            /* GET is repeated once */
	{ "/reset", 502, 2 },
	{ "/bad", 502, 1 },
	{ "/silent", 504, 1 },
	{ "/cut-length", 0, 1 },
	{ "/cut-chunk", 0, 1 },
};

START_TEST(faults_of_a_service)
{
	GET(faults[_i].path);
	if (faults[_i].status) {
		ck_assert_uint_eq(c.status, faults[_i].status);
		ck_assert(c.whole);
		GET("/x");
		EXPECT(200, "ok");
		ck_assert_int_eq(peers.requests, faults[_i].requests + 1);
	} else {
		ck_assert_uint_eq(c.status, 200);
		ck_assert(!c.whole);
		ck_assert_int_eq(figure("vserver web ABORT_SERVER"), 1);
	}
	ck_assert_int_ge(figure("service app/a RESP_ERR"), 1);
}
END_TEST

START_TEST(a_post_is_never_sent_twice)
{
	client_get(&c, "POST", "/drop", "Content-Length: 0\r\n");
	ck_assert_uint_eq(c.status, 502);
	ck_assert_uint_eq(peers.requests, 1);
	ck_assert_int_eq(figure("pool app RETRIES"), 0);
}
END_TEST

START_TEST(a_pooled_connection_that_closes_costs_no_request)
{
	for (unsigned i = 0; i < 20; i++) {
		GET("/once");
		EXPECT(200, "ok");
	}
	ck_assert_int_eq(figure("vserver web R2XX"), 20);
	ck_assert_int_eq(figure("service app/a RESP_ERR"), 0);
}
END_TEST

START_TEST(bytes_behind_an_answer_are_never_the_next_answer)
{
	for (unsigned i = 0; i < 5; i++) {
		GET("/extra");
		EXPECT(200, "ok");
		GET("/x");
		EXPECT(200, "ok");
	}
}
END_TEST

START_TEST(refused_connections_go_elsewhere)
{
	for (unsigned i = 0; i < 4; i++) {
		client_get(&c, "POST", "/x?half", "Content-Length: 2\r\n\r\nab");
		EXPECT(200, "ok");
		client_close(&c);       /* the request line above ends with a blank line too many */
		client_open(&c, 0);
	}
	ck_assert_int_ge(figure("pool half REDISPATCH"), 1);
	ck_assert_int_ge(figure("service half/dead CONN_FAIL"), 1);
	ck_assert_int_eq(figure("service half/dead CONN_CUR"), 0);
	GET("/x?dead");
	ck_assert_uint_eq(c.status, 503);
	ck_assert(head_has(&c, "\r\nRetry-After: 1\r\n"));
}
END_TEST

START_TEST(a_client_that_leaves_cancels)
{
	client_send(&c, "GET /silent HTTP/1.1\r\nHost: t\r\n\r\n");
	wait_figure("service app/a REQ_CUR", 1);
	client_close(&c);
	wait_figure("service app/a REQ_CUR", 0);
	ck_assert_int_eq(figure("vserver web ABORT_CLIENT"), 1);
	for (unsigned i = 0; i < 300 && !peers.aborted; i++)
		usleep(10000);
	ck_assert_uint_eq(peers.aborted, 1);
	client_open(&c, 0);
}
END_TEST

START_TEST(an_upgrade_becomes_a_tunnel)
{
	client_get(&c, "GET", "/ws", "Connection: upgrade\r\nUpgrade: websocket\r\n");
	ck_assert_uint_eq(c.status, 101);
	ck_assert(head_has(&c, "\r\nUpgrade: websocket\r\n"));
	client_send(&c, "abc");
	ck_assert(client_need(&c, 8));
	ck_assert_int_eq(strncmp(c.buf, "helloABC", 8), 0);
	shutdown(c.fd, SHUT_WR);
	ck_assert(client_need(&c, 11));
	ck_assert_int_eq(strncmp(c.buf + 8, "bye", 3), 0);
	ck_assert_int_eq(client_more(&c), 0);
	ck_assert_int_eq(figure("vserver web UPGRADES"), 1);
	ck_assert_int_eq(figure("service app/a CONN_CUR"), 0);
}
END_TEST

START_TEST(tcp_relays_with_half_close)
{
	struct client t;

	client_open(&t, 1);
	client_send(&t, "GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
	shutdown(t.fd, SHUT_WR);
	client_read(&t, false);
	ck_assert_uint_eq(t.status, 200);
	ck_assert(client_closed(&t));
	client_close(&t);
	wait_figure("vserver l4 CONN_CUR", 0);
	ck_assert_int_eq(figure("service half/a REQ_CUR"), 0);
	ck_assert_int_eq(figure("service half/a CONN_CUR"), 0);
	ck_assert_int_eq(figure("vserver l4 BYTES_IN"), 28);
}
END_TEST

START_TEST(limits_and_trust)
{
	struct client a, b;

	client_open(&a, 2);
	client_get(&a, "GET", "/echo",
		   "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n");
	ck_assert_ptr_nonnull(strstr(a.body, "\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.1\r\n"));
	ck_assert_ptr_nonnull(
		strstr(a.body,
		       "\r\nForwarded: for=192.0.2.1, for=127.0.0.1;proto=http;host=\"test\"\r\n"));
	client_open(&b, 2);
	ck_assert(client_closed(&b));
	client_close(&b);
	client_get(&a, "GET", "/x", "");
	ck_assert(head_has(&a, "\r\nConnection: close\r\n") && client_closed(&a));
	client_close(&a);
}
END_TEST

START_TEST(draining_hands_idle_clients_over)
{
	struct client busy;

	GET("/x");
	client_open(&busy, 0);
	client_send(&busy, "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
	wait_figure("vserver web REQ_CUR", 1);
	host_ask('d');
	wait_figure("host - given", 1);
	client_read(&busy, false);
	ck_assert_uint_eq(busy.status, 200);
	ck_assert(!head_has(&busy, "Connection: close"));
	wait_figure("host - given", 2);
	wait_figure("host - clients", 0);
	client_close(&busy);
}
END_TEST

START_TEST(draining_without_a_successor_tells)
{
	GET("/x");
	host_ask('D');
	GET("/x");
	EXPECT(200, "ok");
	ck_assert(head_has(&c, "\r\nConnection: close\r\n") && client_closed(&c));
}
END_TEST

START_TEST(cutting_ends_everything)
{
	client_send(&c, "GET /silent HTTP/1.1\r\nHost: t\r\n\r\n");
	wait_figure("host - active", 1);
	ck_assert_str_eq(host_ask('c'), "1");
	ck_assert(client_closed(&c));
	wait_figure("host - clients", 0);
}
END_TEST

START_TEST(the_log_tells)
{
	char *log;

	client_get(&c, "GET", "/x?a=%22b", "User-Agent: a\"b\r\n");
	log = host_ask('l');
	ck_assert_ptr_nonnull(strstr(log, "\"path\":\"/x?a=%22b\""));
	ck_assert_ptr_nonnull(strstr(log, "\"service\":\"app/a\""));
	ck_assert_ptr_nonnull(strstr(log, "\"status\":200,\"bytes\":2,"));
	ck_assert_ptr_nonnull(strstr(log, "\"user_agent\":\"a\\\"b\""));
	GET("/x?dead");
	log = host_ask('l');
	ck_assert_ptr_nonnull(strstr(log, "\"retries\":1,"));
	ck_assert_ptr_nonnull(strstr(log, "\"reason\":\"connect-failed\""));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proxy");
	TCase *t = tcase_create("worker");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, keeps_connections_and_adds_fields);
	tcase_add_test(t, pipelined_requests_are_answered_in_order);
	tcase_add_test(t, old_clients_get_no_chunks);
	tcase_add_test(t, large_bodies_both_ways);
	tcase_add_test(t, a_slow_reader_holds_little_memory);
	tcase_add_test(t, expectations);
	tcase_add_test(t, interim_answers);
	tcase_add_test(t, local_answers);
	tcase_add_loop_test(t, bad_requests_are_refused_and_closed, 0, FL_ARRAY_LEN(bad));
	tcase_add_test(t, a_silent_client_is_closed_silently);
	tcase_add_loop_test(t, faults_of_a_service, 0, FL_ARRAY_LEN(faults));
	tcase_add_test(t, a_post_is_never_sent_twice);
	tcase_add_test(t, a_pooled_connection_that_closes_costs_no_request);
	tcase_add_test(t, bytes_behind_an_answer_are_never_the_next_answer);
	tcase_add_test(t, refused_connections_go_elsewhere);
	tcase_add_test(t, a_client_that_leaves_cancels);
	tcase_add_test(t, an_upgrade_becomes_a_tunnel);
	tcase_add_test(t, tcp_relays_with_half_close);
	tcase_add_test(t, limits_and_trust);
	tcase_add_test(t, draining_hands_idle_clients_over);
	tcase_add_test(t, draining_without_a_successor_tells);
	tcase_add_test(t, cutting_ends_everything);
	tcase_add_test(t, the_log_tells);
	suite_add_tcase(s, t);
	return unit_run(s);
}
