# SPDX-License-Identifier: Apache-2.0
# Sources of the room `proc`
libfairlead_a_SOURCES += \
	src/proc/agent.c src/proc/agent.h \
	src/proc/box.c src/proc/box.h \
	src/proc/buckets.c src/proc/buckets.h \
	src/proc/calls.c \
	src/proc/check.c src/proc/launch.h \
	src/proc/control.c src/proc/control.h \
	src/proc/cpus.c \
	src/proc/deaths.c \
	src/proc/dying.c src/proc/dying.h \
	src/proc/demo.c \
	src/proc/distribute.c src/proc/distribute.h \
	src/proc/distribute_rss.c \
	src/proc/gen.c src/proc/gen.h \
	src/proc/generation.c \
	src/proc/guard.c src/proc/guard.h \
	src/proc/helpers.c \
	src/proc/keep.c \
	src/proc/logd.c src/proc/logd.h \
	src/proc/machine.c src/proc/machine.h \
	src/proc/manifest.c src/proc/manifest.h \
	src/proc/master.c src/proc/master.h \
	src/proc/msg.c src/proc/msg.h \
	src/proc/names.c src/proc/names.h \
	src/proc/notify.c \
	src/proc/post.c src/proc/post.h \
	src/proc/place.c src/proc/place.h \
	src/proc/reload.c \
	src/proc/sandbox.c src/proc/sandbox.h \
	src/proc/socks.c \
	src/proc/starved.c src/proc/starved.h \
	src/proc/state.c src/proc/state.h src/proc/state_take.c \
	src/proc/streams.c \
	src/proc/sums.c \
	src/proc/supervise.c \
	src/proc/tickets.c src/proc/tickets.h \
	src/proc/certs.c src/proc/certs.h \
	src/proc/worker.c src/proc/worker.h \
	src/proc/worker_drain.c src/proc/worker_inside.h \
	src/proc/worker_pass.c
