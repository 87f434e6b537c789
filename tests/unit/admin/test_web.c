/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_web.c - the HTTP admin: what is served, what is refused, and that the metrics are well-
 * formed
 */
#include "config.h"

#include "tests/unit/admin/admin_test.h"

static struct box box;
static struct sb got;

static void up(void)
{
	box_open(&box, true);
	for (int i = 0; i < 500 && strstr(plain_ask(&box, "show vserver"), "no configuration"); i++)
		usleep(10000);
}

static void down(void)
{
	sb_free(&got);
	box_close(&box);
}

/* Says `text` on a connection of its own and reads to the end; the whole answer. */
static const char *http(const char *text)
{
	int fd = dial_http(&box);

	sb_free(&got);
	sb_init_heap(&got);
	say(fd, text, strlen(text));
	hear(&box, fd, NULL, &got);
	close(fd);
	return got.n ? got.p : "";
}

static const char *get(const char *path, const char *fields)
{
	char req[512];

	snprintf(req, sizeof(req), "GET %s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n",
		 path, fields);
	return http(req);
}

START_TEST(ready_follows_workers)
{
	HAS(get("/ready", ""), "HTTP/1.1 503 Service Unavailable\r\n");
	HAS(got.p, "\r\n\r\nnot ready: no worker runs\n");
	stat_proc_set(box.seg, 0, ST_PROC_RUNNING, 4242, 0, 1);
	HAS(get("/ready", ""), "HTTP/1.1 200 OK\r\n");
	HAS(got.p, "\r\n\r\nready\n");
}
END_TEST

/* Text behind the head. */
static char *body(const char *answer)
{
	const char *p = strstr(answer, "\r\n\r\n");

	ck_assert_ptr_nonnull(p);
	return strdup(p + 4);
}

/* Each sample stands behind the TYPE of its family, families do not come back, the end is
 * marked. */
static void check_metrics(char *text, bool open)
{
	char family[256] = "", type[32] = "", seen[16384] = "";
	unsigned samples = 0;
	bool end = false;
	struct sb seen_b;

	sb_init(&seen_b, seen, sizeof(seen));
	for (char *at = text, *line; (line = next_piece(&at, '\n'));) {
		char name[256], mark[300];

		ck_assert_msg(!end, "behind # EOF: %s", line);
		if (strcmp(line, "# EOF") == 0) {
			end = true;
		} else if (sscanf(line, "# TYPE %255s %31s", name, type) == 2) {
			snprintf(mark, sizeof(mark), "<%s>", name);
			ck_assert_msg(!strstr(seen, mark), "family %s comes twice", name);
			sb_c(&seen_b, mark);
			ck_assert(!seen_b.over);
			snprintf(family, sizeof(family), "%s", name);
		} else if (line[0] != '#') {
			size_t n = strcspn(line, "{ ");
			const char *suffix = open && strcmp(type, "counter") == 0 ? "_total" :
					     open && strcmp(type, "info") == 0	   ? "_info" : "";

			snprintf(mark, sizeof(mark), "%s%s", family, suffix);
			ck_assert_msg(n == strlen(mark) && strncmp(line, mark, n) == 0,
				      "\"%s\" in family %s (%s)", line, family, type);
			ck_assert_msg(strrchr(line, ' ') &&
					      strspn(strrchr(line, ' ') + 1, "0123456789.e+") > 0,
				      "%s", line);
			samples++;
		}
	}
	ck_assert(end);
	ck_assert_uint_gt(samples, 150);
}

START_TEST(metrics_are_well_formed_in_both_formats)
{
	char *text;

	HAS(get("/metrics", ""), "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	HAS(got.p, "\nfairlead_vserver_requests_total{vserver=\"web\"} 0\n");
	HAS(got.p, "\nfairlead_service_requests_active{pool=\"app\",service=\"a1\"} 0\n");
	HAS(got.p, "\nfairlead_policy_hits_total{vserver=\"web\",policy=\"admin\"} 0\n");
	HAS(got.p,
	    "\nfairlead_listener_accepts_total{vserver=\"web\",listener=\"127.0.0.1:8080\"} 0\n");
	HAS(got.p,
	    "\nfairlead_service_state{pool=\"app\",service=\"a3\",fairlead_service_state=\"MAINT\"} 1\n");
	HAS(got.p,
	    "\nfairlead_service_state{pool=\"app\",service=\"a3\",fairlead_service_state=\"UP\"} 0\n");
	HAS(got.p, "\nfairlead_config_last_reload_success 1\n");
	text = body(got.p);
	check_metrics(text, false);
	free(text);
	HAS(get("/metrics",
		"Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"),
	    "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
	HAS(got.p, "# TYPE fairlead_vserver_requests counter\n");
	HAS(got.p, "# TYPE fairlead_service_state stateset\n");
	text = body(got.p);
	check_metrics(text, true);
	free(text);
}
END_TEST

/* Every counter of `fairlead -x counters` is there under the name that it says, whoever adds one. */
START_TEST(metrics_are_what_the_table_says)
{
	struct str rest, line;
	struct sb dump;
	unsigned n = 0;

	sb_init_heap(&dump);
	ck_assert(tbl_dump("counters", &dump));
	get("/metrics", "");
	rest = sb_get(&dump);
	(void)str_cut(&rest, '\n');
	while ((line = str_cut(&rest, '\n')).n) {
		struct str metric = STR_NULL, labels;
		char want[256];

		for (unsigned i = 0; i < 6; i++)
			metric = str_cut(&line, '\t');
		labels = metric;
		metric = str_cut(&labels, '{');
		snprintf(want, sizeof(want), "# TYPE " STR_FMT " ", STR_ARG(metric));
		HAS(got.p, want);
		if (labels.p && labels.n < metric.n) {
			snprintf(want, sizeof(want), "," STR_FMT, STR_ARG(labels));
			HAS(got.p, want);
		}
		n++;
	}
	ck_assert_uint_eq(n, CTR__ALL_COUNT);
	HAS(got.p, "\nfairlead_refusals_total{of=\"request\",reason=\"two-cl\"} 0\n");
	sb_free(&dump);
}
END_TEST

START_TEST(the_page_needs_nothing_else)
{
	HAS(get("/", ""), "Content-Security-Policy: default-src 'none'; style-src 'self'");
	HAS(got.p, "<td>app/a3</td><td><span class=\"s off\">MAINT</span></td>");
	HAS_NOT(got.p, "<script");
	HAS_NOT(got.p, "http://");
	HAS(get("/fairlead.css", ""), "Content-Type: text/css");
	HAS(get("/stats;csv", ""), "\r\n\r\n# pxname,svname,");
}
END_TEST

START_TEST(reasons_are_escaped_on_the_page)
{
	struct stat_admin a = { .state = ST_ADMIN_DRAIN, .since_us = 1, .reason = "<b>&\"x" };

	stat_admin_set(box.seg, stat_obj_find(box.seg, KIND_SERVICE, STR("app/a1")), &a);
	HAS(get("/", ""), "&lt;b&gt;&amp;&quot;x");
	HAS_NOT(got.p, "<b>");
}
END_TEST

START_TEST(what_is_refused)
{
	HAS(get("/nothing", ""), "HTTP/1.1 404 Not Found\r\n");
	HAS(http("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	    "HTTP/1.1 405 ");
	HAS(got.p, "Allow: GET, HEAD\r\n");
	HAS(http("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), "HTTP/1.1 413 ");
	HAS(http("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ");
	HAS(http("\x16\x03\x01\r\n\r\n"), "HTTP/1.1 400 ");
	HAS(http("GET / HTTP/1.1\r\nHost : x\r\n\r\n"), "HTTP/1.1 400 ");
}
END_TEST

START_TEST(head_and_keepalive)
{
	int fd = dial_http(&box);
	const char *two =
		"HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\n\r\n";
	char *second;

	sb_free(&got);
	sb_init_heap(&got);
	say(fd, two, strlen(two));
	hear(&box, fd, "no worker runs", &got);
	second = strstr(got.p + 1, "HTTP/1.1 503");
	ck_assert_msg(second != NULL, "%s", got.p);
	ck_assert_msg(strncmp(second - 4, "\r\n\r\n", 4) == 0, "HEAD has a body: %s", got.p);
	/* the connection goes on */
	say(fd, "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 52);
	hear(&box, fd, NULL, &got);
	close(fd);
}
END_TEST

START_TEST(before_a_configuration_came)
{
	struct box bare;
	struct sb text;
	int fd;

	box_open(&bare, false);
	HAS(plain_ask(&bare, "show pool"), "error: no configuration came from the master yet");
	HAS(plain_ask(&bare, "stat pool"), "app");
	HAS(plain_ask(&bare, "show stat"), "# pxname");
	fd = dial_http(&bare);
	sb_init_heap(&text);
	say(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	hear(&bare, fd, NULL, &text);
	HAS(text.p, "<h1>fairlead");
	sb_free(&text);
	close(fd);
	box_close(&bare);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		ready_follows_workers,
		metrics_are_well_formed_in_both_formats,
		metrics_are_what_the_table_says,
		the_page_needs_nothing_else,
		reasons_are_escaped_on_the_page,
		what_is_refused,
		head_and_keepalive,
		before_a_configuration_came,
	};
	Suite *suite = suite_create("HTTP admin");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, up, down);
	for (size_t i = 0; i < FL_ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
