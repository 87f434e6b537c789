/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ctl.c - the control socket as its clients see it: answers, frames, bad clients, what
 * alters the appliance
 */
#include "config.h"

#include "tests/unit/admin/admin_test.h"

static struct box box;

static void up(void)
{
	box_open(&box, true);
	/* until the configuration was taken */
	for (int i = 0; i < 500 && strstr(plain_ask(&box, "show vserver"), "no configuration"); i++)
		usleep(10000);
}

static void down(void)
{
	box_close(&box);
}

static uint32_t row_of(enum tbl_kind kind, const char *name)
{
	uint32_t row = stat_obj_find(box.seg, kind, str_c(name));

	ck_assert_uint_ne(row, STAT_NO_ROW);
	return row;
}

/* Framed: code, and the payload in out. */
static int framed(int fd, const char *line, struct sb *out)
{
	struct sb in;
	char *nl;
	int code;
	size_t len, head;

	sb_init_heap(&in);
	say(fd, line, strlen(line));
	say(fd, "\n", 1);
	hear(&box, fd, "\n", &in);
	ck_assert_msg(sscanf(in.p, "fairlead/1 %d %zu\n", &code, &len) == 2, "no frame: %s", in.p);
	nl = strchr(in.p, '\n');
	head = (size_t)(nl + 1 - in.p);
	while (in.n < head + len) {
		char buf[4096];
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		ck_assert_int_gt(n, 0);
		sb_add(&in, buf, (size_t)n);
	}
	ck_assert_uint_eq(in.n, head + len);
	sb_add(out, in.p + head, len);
	sb_free(&in);
	return code;
}

START_TEST(plain_lines_are_answered_and_closed)
{
	const char *t = plain_ask(&box, "show pool");

	HAS(t, "name   state");
	HAS(t, "\napp    DEGRADED  least-connection");
	t = plain_ask(&box, "show info; status; show stat");
	HAS(t, "Name: fairlead\n");
	HAS(t, "FAILED  generation 1  0/2 workers running");
	HAS(t, "# pxname,svname,qcur");
	ck_assert_ptr_null(strstr(t, "stopped"));
	HAS(plain_ask(&box, "show info;;status"), "error: no command; try: help\n"
						 "error: stopped at this command; done before it: 1, not done: status\n");
	t = plain_ask(&box, "shwo pool");
	ck_assert_str_eq(t, "error: unknown command \"shwo\"; did you mean \"show\"?\n");
}
END_TEST

START_TEST(a_line_without_its_end_counts_at_eof)
{
	struct sb out;
	int fd = dial(&box);

	sb_init_heap(&out);
	say(fd, "show ", 5);
	usleep(20000);
	say(fd, "info", 4);
	shutdown(fd, SHUT_WR);
	hear(&box, fd, NULL, &out);
	HAS(out.p, "Name: fairlead");
	sb_free(&out);
	close(fd);
}
END_TEST

START_TEST(framed_sessions_stay_and_pipeline)
{
	struct sb out;
	int fd = dial(&box);

	sb_init_heap(&out);
	ck_assert_int_eq(framed(fd, "@text show service app/a1", &out), 0);
	HAS(out.p, "name             app/a1");
	sb_free(&out);
	sb_init_heap(&out);
	ck_assert_int_eq(framed(fd, "@json show service app/a9", &out), 1);
	ck_assert_str_eq(
		out.p,
		"{\"ok\": false, \"error\": \"no service named \\\"app/a9\\\"; did you mean \\\"app/a1\\\"?\"}\n");
	sb_free(&out);
	sb_init_heap(&out);
	ck_assert_int_eq(framed(fd, "@text show nothing", &out), 2);
	sb_free(&out);
	/* three at once, the middle one waits for the master */
	sb_init_heap(&out);
	box.delay_ms = 50;
	say(fd, "@text show info\n@text reopen\n@text show core\n", 45);
	shutdown(fd, SHUT_WR);
	hear(&box, fd, NULL, &out);
	HAS(out.p, "Name: fairlead");
	HAS(out.p, "fairlead/1 0 5\ndone\nfairlead/1 0 ");
	HAS(out.p, "heartbeat_age_ms");
	sb_free(&out);
	close(fd);
}
END_TEST

START_TEST(a_line_ends_at_the_first_failure)
{
	ck_assert_str_eq(
		plain_ask(&box, "drain service app/a1; drain service app/a9; disable service app/a1; show 'a;b'"),
		"service app/a1: DRAIN (was READY), 0 requests in progress\n"
		"error: no service named \"app/a9\"; did you mean \"app/a1\"?\n"
		"error: stopped at this command; done before it: 1, not done: "
		"disable service app/a1; show 'a;b'\n");
	ck_assert_uint_eq(box.n_called, 1);
}
END_TEST

/* One that sends byte after byte, one that says nothing at all. */
START_TEST(a_line_has_ten_seconds)
{
	uint64_t before = env_now_us(), ms[2] = { 0 };
	struct pollfd p[2] = { { .fd = dial(&box), .events = POLLIN },
			       { .fd = dial(&box), .events = POLLIN } };

	say(p[0].fd, "show ", 5);
	while ((!ms[0] || !ms[1]) && env_now_us() - before < 30000000) {
		(void)poll(p, 2, 400);
		for (unsigned i = 0; i < 2; i++)
			if (!ms[i] && p[i].revents)
				ms[i] = (env_now_us() - before) / 1000;
		if (!ms[0])
			(void)send(p[0].fd, "x", 1, MSG_NOSIGNAL);
		usleep(ms[0] || ms[1] ? 100000 : 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct sb out;

		ck_assert_msg(ms[i] > 9000 && ms[i] < 15000, "%u: %u ms", i, (unsigned)ms[i]);
		sb_init_heap(&out);
		hear(&box, p[i].fd, NULL, &out);
		ck_assert_str_eq(out.p, "error: nothing complete came in time\n");
		sb_free(&out);
		close(p[i].fd);
	}
}
END_TEST

START_TEST(bad_lines_get_one_line)
{
	static char big[8192];
	struct sb out;
	int fd = dial(&box);

	memset(big, 'a', sizeof(big));
	sb_init_heap(&out);
	say(fd, big, sizeof(big));
	hear(&box, fd, NULL, &out);
	ck_assert_str_eq(out.p, "error: the line is longer than 4095 bytes\n");
	sb_free(&out);
	close(fd);
	ck_assert_str_eq(plain_ask(&box, "show\001stat"),
			 "error: the line holds bytes that are not text\n");
	ck_assert_str_eq(plain_ask(&box, "\x16\x03\x01\x02"),
			 "error: the line holds bytes that are not text\n");
	ck_assert_str_eq(plain_ask(&box, ""), "error: an empty line; try: help\n");
	ck_assert_str_eq(plain_ask(&box, "fmt x"), "error: fmt is done by fairleadctl itself\n");
	ck_assert_str_eq(plain_ask(&box, "show 'x"), "error: a quote is not closed\n");
}
END_TEST

START_TEST(the_oldest_idle_session_gives_way)
{
	int fd[ADMIN_SESSIONS_MAX + 4];
	struct sb out;

	for (unsigned i = 0; i < FL_ARRAY_LEN(fd); i++) {
		struct sb one;

		fd[i] = dial(&box);
		sb_init_heap(&one);
		ck_assert_int_eq(framed(fd[i], "@text show info", &one), 0);
		sb_free(&one);
	}
	for (unsigned i = 0; i < 4; i++) {
		char c;

		ck_assert_msg(recv(fd[i], &c, 1, 0) == 0, "session %u was kept", i);
	}
	sb_init_heap(&out);
	ck_assert_int_eq(framed(fd[4], "@text show info", &out), 0);
	sb_free(&out);
	for (unsigned i = 0; i < FL_ARRAY_LEN(fd); i++)
		close(fd[i]);
}
END_TEST

START_TEST(states_are_asked_of_the_master)
{
	char want[64];
	const char *t = plain_ask(&box, "drain service app/a1 --reason 'kernel; update'");

	ck_assert_str_eq(t, "service app/a1: DRAIN (was READY), 0 requests in progress\n");
	snprintf(want, sizeof(want), "admin %u %d %u kernel; update",
		 row_of(KIND_SERVICE, "app/a1"), ST_ADMIN_DRAIN, (unsigned)getuid());
	ck_assert_str_eq(box.called[0], want);
	t = plain_ask(&box, "show service app/a1");
	HAS(t, "\nstate            DRAIN\n");
	HAS(t, "\nreason           kernel; update\n");
	/* the configuration's own word counts until somebody says something else */
	t = plain_ask(&box, "enable service app/a3");
	HAS(t, "service app/a3: READY (was MAINT)");
	t = plain_ask(&box, "disable service app/a3");
	HAS(t, "service app/a3: MAINT (was READY)");
	HAS(plain_ask(&box, "drain service a1"),
	    "error: no service named \"a1\"; did you mean \"app/a1\"?");
	HAS(plain_ask(&box, "drain service app/a1 --wait 60"),
	    "error: --wait needs a time with a unit");
	ck_assert_uint_eq(box.n_called, 3);
}
END_TEST

START_TEST(refusals_of_the_master_are_told)
{
	box.rc = 1;
	box.text = "the appliance is shutting down";
	ck_assert_str_eq(plain_ask(&box, "drain service app/a1"),
			 "error: the appliance is shutting down\n");
	box.text = "error: x.conf:1:2: error: no\nreload refused; generation 1 keeps running";
	ck_assert_str_eq(
		plain_ask(&box, "reload"),
		"error: x.conf:1:2: error: no\nreload refused; generation 1 keeps running\n");
	box.text = "";
	ck_assert_str_eq(plain_ask(&box, "stop"), "error: refused by the master\n");
}
END_TEST

/* A worker that has requests in progress at app/a1 until it is told to end. */
static void busy_worker(struct stat_seg *s, void *arg)
{
	volatile uint32_t *go = arg;
	struct stat_row *r = stat_row_get(s, SV, stat_obj_find(s, SV, STR("app/a1")));

	stat_add(r, CTR_SERVICE_REQ_CUR, 3);
	stat_add(r, CTR_SERVICE_REQ_TOT, 7);
	while (*go == 0) {
		stat_heartbeat(s, env_now_us() / 1000);
		stat_flush(s, env_now_us() / 1000);
		usleep(2000);
	}
	stat_add(r, CTR_SERVICE_REQ_CUR, (uint64_t)-3);
	while (*go == 1) {
		stat_flush(s, env_now_us() / 1000);
		usleep(2000);
	}
}

START_TEST(drain_waits_until_the_service_is_empty)
{
	volatile uint32_t *go = shared_page();
	pid_t pid = seg_spawn(box.seg, STAT_WORKER, 0, busy_worker, (void *)(uintptr_t)go);
	struct sb out;
	int fd, st;

	for (int i = 0; i < 500 && !strstr(plain_ask(&box, "stat service app/a1"),
					   "requests_active              3");
	     i++)
		usleep(10000);
	HAS(plain_ask(&box, "drain service app/a1"), "3 requests in progress");
	HAS(plain_ask(&box, "drain service app/a1 --wait 300ms"),
	    "error: service app/a1: not empty in time, 3 requests");
	fd = dial(&box);
	sb_init_heap(&out);
	say(fd, "drain service app/a1 --wait 10s\n", 32);
	usleep(200000);
	serve_call(&box);
	/* others are answered meanwhile */
	HAS(plain_ask(&box, "show service app/a1"), "requests_active  3");
	*go = 1;
	hear(&box, fd, NULL, &out);
	ck_assert_str_eq(out.p, "service app/a1: DRAIN (was DRAIN), 0 requests in progress\n");
	sb_free(&out);
	close(fd);
	*go = 2;
	ck_assert_int_eq(waitpid(pid, &st, 0), pid);
	ck_assert_int_eq(st, 0);
}
END_TEST

START_TEST(metrics_are_answered_while_the_master_thinks)
{
	struct sb out;
	int fd = dial(&box);
	uint64_t before = env_now_us();

	sb_init_heap(&out);
	say(fd, "reload\n", 7);
	usleep(50000);
	HAS(plain_ask(&box, "show info"), "Name: fairlead");
	ck_assert_uint_lt(env_now_us() - before, 5000000);
	hear(&box, fd, NULL, &out);
	HAS(out.p, "generation 1 runs");
	sb_free(&out);
	close(fd);
}
END_TEST

START_TEST(a_client_that_goes_away_while_waiting_harms_nobody)
{
	for (int i = 0; i < 20; i++) {
		int fd = dial(&box);

		say(fd, "drain service app/a1 --wait 10s\n", 32);
		if (i % 2)
			usleep(5000);
		close(fd);
		serve_call(&box);
	}
	HAS(plain_ask(&box, "show info"), "Name: fairlead");
}
END_TEST

START_TEST(status_tells_what_is_wrong)
{
	struct stat_conf_state f;
	const char *t = plain_ask(&box, "status");

	HAS(t, "FAILED");
	HAS(t, "reason         core 0: no worker\n");
	stat_proc_set(box.seg, 0, ST_PROC_RUNNING, 4242, 0, 1);
	t = plain_ask(&box, "status");
	HAS(t,
	    "DEGRADED  generation 1  1/2 workers running  3/4 services up (1 drained or in maintenance)");
	HAS(t, "reason         core 1: no worker\n");
	stat_proc_set(box.seg, 2, ST_PROC_HUNG, 4243, 1, 1);
	HAS(plain_ask(&box, "status"), "reason         core 1: worker 4243 is hung, 0 restarts\n");
	stat_proc_set(box.seg, 2, ST_PROC_RUNNING, 4243, 1, 1);
	t = plain_ask(&box, "status");
	ck_assert_msg(strncmp(t, "OK  generation 1  2/2 workers running", 37) == 0, "%s", t);
	ck_assert(stat_conf_get(box.seg, &f));
	f.last_ok = 0;
	f.reloads = 1;
	snprintf(f.last_error, sizeof(f.last_error), "x.conf:3:1: error: no");
	stat_conf_set(box.seg, &f);
	t = plain_ask(&box, "status --json");
	HAS(t,
	    "{\"status\": \"DEGRADED\", \"reasons\": [\"last reload failed: x.conf:3:1: error: no\"]");
	t = plain_ask(&box, "show core --json");
	HAS(t,
	    "{\"core\": 1, \"pid\": 4243, \"generation\": 1, \"state\": \"running\", \"role\": \"worker\"");
	HAS_NOT(t, "control");
	HAS(plain_ask(&box, "show process --json"), "\"role\": \"control\"");
}
END_TEST

START_TEST(show_stat_has_as_many_cells_as_columns)
{
	char *text = strdup(plain_ask(&box, "show stat")), *line;
	unsigned want = 0, lines = 0;

	ck_assert_msg(
		strncmp(text,
			"# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,"
			"status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,"
			"tracked,type,rate,rate_lim,rate_max,check_status,",
			200) == 0,
		"%s", text);
	for (char *rest = text; (line = strsep(&rest, "\n")) && *line; lines++) {
		unsigned commas = 0;

		for (char *p = line; *p; p++)
			commas += *p == ',';
		want = want ? want : commas;
		ck_assert_msg(commas == want && line[strlen(line) - 1] == ',', "%s", line);
	}
	/* 3 vservers, 2 pools, 4 services, the header */
	ck_assert_uint_eq(lines, 10);
	free(text);
	HAS(plain_ask(&box, "show stat --json"), "{\"pxname\": \"web\", \"svname\": \"FRONTEND\"");
}
END_TEST

START_TEST(show_config_reads_back_equal)
{
	struct loaded_conf again = { 0 };
	struct sb diff;

	load_conf(&again, plain_ask(&box, "show config"));
	sb_init_heap(&diff);
	ck_assert_msg(conf_diff(box.cfg.conf, again.conf, &diff) == 0, "%s", diff.p);
	sb_free(&diff);
	free_conf(&again);
	HAS(plain_ask(&box, "show config --origin"), "# test.conf:");
	HAS(plain_ask(&box, "show config --json"), "\"workers\":2");
}
END_TEST

START_TEST(explain_works_on_live_figures)
{
	volatile uint32_t *go = shared_page();
	pid_t pid = seg_spawn(box.seg, STAT_WORKER, 0, busy_worker, (void *)(uintptr_t)go);
	const char *t;

	for (int i = 0; i < 500 && !strstr(plain_ask(&box, "stat service app/a1"),
					   "requests_active              3");
	     i++)
		usleep(10000);
	t = plain_ask(&box, "explain request 'GET http://127.0.0.1:8080/' --from 10.0.0.1");
	/* 3 in progress at weight 2 against none */
	HAS(t, "app/a1  weight 2  1.5000 requests in progress per weight\n");
	HAS(t, "app/a2  weight 1  0.0000 requests in progress per weight  <- chosen\n");
	HAS(t, "app/a3  weight 1  not used: MAINT\n");
	*go = 2;
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		plain_lines_are_answered_and_closed,
		a_line_without_its_end_counts_at_eof,
		framed_sessions_stay_and_pipeline,
		a_line_ends_at_the_first_failure,
		a_line_has_ten_seconds,
		bad_lines_get_one_line,
		the_oldest_idle_session_gives_way,
		states_are_asked_of_the_master,
		refusals_of_the_master_are_told,
		drain_waits_until_the_service_is_empty,
		metrics_are_answered_while_the_master_thinks,
		a_client_that_goes_away_while_waiting_harms_nobody,
		status_tells_what_is_wrong,
		show_stat_has_as_many_cells_as_columns,
		show_config_reads_back_equal,
		explain_works_on_live_figures,
	};
	Suite *suite = suite_create("control socket");
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
