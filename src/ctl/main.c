/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the command fairleadctl
 *
 * Says its version (-V). Verbs are sent over the control socket by the code in src/ctl/.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc == 2 && (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "-v") == 0)) {
		printf("fairleadctl %s\n", PACKAGE_VERSION);
		return 0;
	}
	fprintf(stderr, "usage: fairleadctl -V\n");
	return 1;
}
