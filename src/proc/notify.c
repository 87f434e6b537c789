/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notify.c - the protocol of sd_notify(3) without its library: one datagram to $NOTIFY_SOCKET
 */
#include "config.h"

#include "proc/master.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

void notify_systemd(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(un.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';      /* the abstract name space */
	fd = env_socket(AF_UNIX, SOCK_DGRAM, 0);
	if (fd < 0)
		return;
	(void)env_sendto(fd, text, strlen(text), MSG_DONTWAIT, (struct sockaddr *)&un,
			 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	env_close(fd);
}
