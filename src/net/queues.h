/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queues.h - how many CPUs can a network card give the packets of an address to?
 *
 * Each receive queue of a device has an interrupt, and so a CPU, of its own; with fewer queues than
 * workers some CPUs get no packet. A device on top of others (bond, bridge, VLAN) is worth
 * as much as the least of them. Loopback counts as one: a packet stays on its sender's CPU, and local clients may
 * all be on one (doc/decisions/008-accept.md).
 *
 * Reads netlink and sysfs, which takes milliseconds with many addresses: for gen and tools, not for the
 * master.
 */
#ifndef FL_NET_QUEUES_H
#define FL_NET_QUEUES_H

#include "base/addr.h"

#define QUEUES_SYSFS "/sys/class/net"

struct queues;
/* What the machine looks like now; free it with queues_free(). sysfs: QUEUES_SYSFS but in tests. NULL: no
 * memory, or the addresses cannot be read. */
struct queues *queues_read(const char *sysfs);
void queues_free(struct queues **q);     /* NULL inside is fine */
/* The least number of receive queues among the devices that packets for `a` can arrive on: the one that
 * has the address; for an unspecified address, or one that loopback holds for others, all that are up.
 * 0: none. */
unsigned queues_of(const struct queues *q, const struct addr *a);
/* One device, whether it is up or not; 0: there is no such device, or sysfs says nothing. */
unsigned queues_of_device(const char *sysfs, const char *device);

#endif
