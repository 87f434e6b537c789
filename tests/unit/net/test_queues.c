/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_queues.c - receive queues of devices, and of the addresses of this machine
 */
#include "config.h"

#include "net/queues.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/fl-queues-XXXXXX";

static void folder(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void device(const char *name, unsigned queues)
{
	char path[128];

	folder(name);
	snprintf(path, sizeof(path), "%s/queues", name);
	folder(path);
	snprintf(path, sizeof(path), "%s/queues/tx-0", name);
	folder(path);
	for (unsigned i = 0; i < queues; i++) {
		snprintf(path, sizeof(path), "%s/queues/rx-%u", name, i);
		folder(path);
	}
}

START_TEST(test_devices)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	device("eth0", 8);
	device("eth1", 4);
	device("bond0", 16);
	folder("bond0/lower_eth0");
	folder("bond0/lower_eth1");
	device("bond0.5", 1);
	folder("bond0.5/lower_bond0");
	device("docker0", 1);
	ck_assert_uint_eq(queues_of_device(top, "eth0"), 8);
	ck_assert_uint_eq(queues_of_device(top, "bond0"), 4);
	ck_assert_uint_eq(queues_of_device(top, "bond0.5"), 4);
	ck_assert_uint_eq(queues_of_device(top, "docker0"), 1);
	ck_assert_uint_eq(queues_of_device(top, "eth7"), 0);
	ck_assert_uint_eq(queues_of_device(top, "../eth0"), 0);
	ck_assert_uint_eq(queues_of_device("/nonexistent", "eth0"), 0);
	/* two that claim to be below each other: an end all the same */
	device("a", 2);
	device("b", 2);
	folder("a/lower_b");
	folder("b/lower_a");
	(void)queues_of_device(top, "a");
}
END_TEST

START_TEST(test_addresses)
{
	struct queues *q = queues_read(QUEUES_SYSFS);
	struct addr a;

	ck_assert_ptr_nonnull(q);
	ck_assert_int_eq(addr_parse(STR("127.0.0.1:80"), -1, &a), 0);
	ck_assert_uint_eq(queues_of(q, &a), 1);
	ck_assert_int_eq(addr_parse(STR("127.9.9.9:80"), -1, &a), 0);
	ck_assert_uint_eq(queues_of(q, &a), 1);
	ck_assert_int_eq(addr_parse(STR("[::1]:80"), -1, &a), 0);
	ck_assert_uint_eq(queues_of(q, &a), 1);
	ck_assert_int_eq(addr_parse(STR("203.0.113.77:80"), -1, &a), 0);
	ck_assert_uint_eq(queues_of(q, &a), 0);          /* documentation only: on no machine */
	ck_assert_int_eq(addr_parse(STR("*:80"), -1, &a), 0);
	(void)queues_of(q, &a);
	queues_free(&q);
	ck_assert_ptr_null(q);
	queues_free(&q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("queues");
	TCase *t = tcase_create("queues");
	SRunner *r;
	char rm[64];
	int failed;

	tcase_add_test(t, test_devices);
	tcase_add_test(t, test_addresses);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	snprintf(rm, sizeof(rm), "rm -rf %s", top);
	return system(rm) != 0 || failed != 0;
}
