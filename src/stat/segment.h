/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.h - the shared segment, byte by byte
 *
 * The segment is a set of sparse memfds, sealed against growing and shrinking. Each has one writer:
 *
 *	fd 0      dir      the master
 *	fd 1      totals   the consolidator (a thread of control)
 *	fd 2 ..   slot k   the process that claimed slot k
 *
 * Slots: cores * (1 + drain generations) for workers, then control, logd, master. M is max_objects,
 * N the slots, C the cores; every area begins on a page; numbers are of the machine's byte order;
 * no pointers, only row numbers and offsets that follow from M, N, C. All three files begin alike:
 *
 *	0    magic u64, layout id u64, kind u32, index u32, M u32, C u32, drain u32, N u32,
 *	     size u64, set u64 (random, the same in all files of one segment), 64 bytes in all
 *
 * dir
 *	64   board epoch u64, started (wall us) u64, 0 u64,
 *	     newest generation u32, oldest live generation u32, rows ever used u32, 0 u32
 *	128  configuration state: latch record (latch.h)
 *	proc     [N] 64 bytes: state, pid, core, generation, restarts u32, 0 u32, started ms u64
 *	core     [C] 16 bytes: serving core, last generation, restarts, 1 once started; all u32
 *	object   [M] 256 bytes: tag u64 (kind | incarnation << 8; 0: free), incarnation,
 *	         first, last, pending generation, name length, incarnation that the admin
 *	         record is of (u32), hash u64, name 200 bytes, steering u64 (listeners:
 *	         state:8 a:16 b:16 incarnation:24), 0 u64
 *	index    [2^k >= 2M] u32: row + 1, 0 empty, ~0 deleted; linear probing from the hash
 *	admin    [M] latch record of struct stat_admin
 *	live     [C] u32: slot + 1 of the core's worker that may own things, 0: none (owner.h)
 *	crash    [64] latch record of struct stat_crash, tag 1 (crash.h)
 *
 * slot
 *	64   pid u32, role u32, core u32, generation u32, epoch u64, claimed ms u64,
 *	     claims made u64, health epoch u64
 *	128  heartbeat ms u64, flush cycle u64, flush ms u64, cycle of the totals that the process has seen u64, when that was
 *	     folded (ms) u64, cycles asked for before their time u64, when it will beat at the latest (ms, 0: as usual) u64
 *	192  dirty ring head u64, log ring head u64, log lines dropped u64, log records torn u64
 *	used     [M/64] u64: bit r is set before row r first holds a count
 *	row      [M] 64 words of u64: tag of the object counted, map of the counters that were ever written,
 *	         62 counters
 *	dirty    [2^k >= M] u32: rows flushed, at head % 2^k; head moves after the entry
 *	hstate   [M] u32: incarnation << 8 | has DNS << 7 | has health << 6 | ST_HEALTH_*
 *	health   [M] latch record of struct stat_health
 *	dns      [M] latch record of struct stat_dns
 *	cursor   [N] u64: logd only, how far it has read the ring of slot k
 *	log      1 MiB: records of 8-byte multiples, none runs over the end; see struct seg_log_rec
 *	claim    [M] 16 bytes: incarnation:24 epoch:32 check:8 (0: none), wall us:56 ST_OWNER_*:8
 *	mailhead [N] u64: letters written to the process of slot k (mail.h)
 *	mailseen [N] u64: letters read of those that slot k wrote to this process
 *	mail     [N] 2 KiB: 64 letters to slot k, the n-th at n % 64
 *	death    latch record of struct stat_death, written by a process that dies by a fatal signal; tag: its pid (crash.h)
 *
 * totals
 *	64   cycle u64, at ms u64, cycles missed u64, cycles before their time u64, what the last and the longest
 *	     fold took (us) u64 u64
 *	folded   [N] u64: dirty ring position of slot k that the totals contain
 *	used     [M/64] u64: bit r is set when row r has a total
 *	row      [M] 1088 bytes: sequence u64, 56 unused, 2 copies of 64 words: tag, cycle,
 *	         62 counters
 *
 * What readers may rely on: an object's row in a slot, in totals, in hstate or in a latch record
 * counts only when its tag is the one in dir. A row given to another object therefore starts at
 * zero everywhere at once, without anybody clearing anything that belongs to somebody else.
 * Everything read is bounded before it is used as a number of something.
 */
#ifndef FL_STAT_SEGMENT_H
#define FL_STAT_SEGMENT_H

#include "stat/crash.h"
#include "stat/latch.h"
#include "stat/stat.h"

#define SEG_MAGIC       UINT64_C(0x3174617473646c66)      /* "fldstat1" */
#define SEG_PAGE        4096u
#define SEG_OBJ_LIMIT   (1u << 20)
#define SEG_DRAIN_LIMIT 63u
#define SEG_LOG_RING    (1u << 20)
#define SEG_LOG_LINE    8192u
#define SEG_ROW_WORDS   64u
#define SEG_ROW_TAG     0
#define SEG_ROW_MAP     1                                  /* in a slot: bit c: counter c was written */
#define SEG_ROW_CYCLE   1                                  /* in a total */
#define SEG_ROW_CTR     2
#define SEG_EXTRA_SLOTS 3u                                /* control, logd, master */
#define SEG_INDEX_DEAD  UINT32_MAX
#define SEG_MAIL_RING   64u                               /* letters */

enum seg_file { SEG_DIR = 1, SEG_TOTALS, SEG_SLOT };

struct seg_head {
	uint64_t magic, layout_id;
	uint32_t file, index, max_objects, cores, drain, n_slots;
	uint64_t size, set;
	uint64_t pad;
};

struct seg_dir {
	struct seg_head head;
	uint64_t        board_epoch, started_us, pad0;
	uint32_t        newest_gen, oldest_gen, rows_high, pad;
	uint64_t        pad2[3];
	uint64_t        conf[LATCH_SIZE(sizeof(struct stat_conf_state)) / 8];
};

struct seg_proc {
	uint32_t state, pid, core, generation, restarts, pad;
	uint64_t started_ms, pad2[4];
};

struct seg_core {
	uint32_t serving, last_gen, restarts;
	uint32_t started;                 /* 1 when last_gen means something */
};

struct seg_obj {
	uint64_t tag;
	uint32_t incarnation, gen_first, gen_last, gen_pending, name_len, admin_inc;
	uint64_t hash;
	char     name[STAT_NAME_MAX];
	uint64_t steer, pad;
};

struct seg_slot {
	struct seg_head head;
	uint32_t        pid, role, core, generation;
	/* the last two are read by all in each turn: not in the line of the heartbeat */
	uint64_t        epoch, claimed_ms, claims, health_epoch, pad[2];
	uint64_t        heartbeat_ms, flush_cycle, flush_ms, seen_cycle, seen_at_ms, early, promise_ms, pad2;
	uint64_t        dirty_head, log_head, log_dropped, log_torn, pad3[4];
};

struct seg_totals {
	struct seg_head head;
	uint64_t        cycle, at_ms, missed, early, fold_us, fold_max_us;
};

struct seg_total_row {
	uint64_t seq, pad[7];
	uint64_t copy[2][SEG_ROW_WORDS];
};

/* One line in a log ring. size 0 never happens; magic SEG_LOG_PAD: nothing until the ring's end. */
#define SEG_LOG_REC 0x4c4f4731u
#define SEG_LOG_PAD 0x4c4f4750u
struct seg_log_rec {
	uint32_t magic, size;             /* size: of all, a multiple of 8 */
	uint32_t crc, n;                  /* CRC-32C from n on to the text's end; bytes of text */
	uint32_t stream, level, ev, generation;
	uint64_t wall_us;                 /* then the text */
};

struct seg_claim {
	uint64_t word, since;
};
/* crc: CRC-32C of what is before it */
struct seg_letter {
	uint32_t type, row;
	uint64_t a, b;
	uint32_t pad, crc;
};

_Static_assert(sizeof(struct seg_head) == 64, "header");
_Static_assert(sizeof(struct seg_letter) == 32, "letter");
_Static_assert(offsetof(struct seg_slot, heartbeat_ms) == 128, "slot");
_Static_assert(sizeof(struct seg_proc) == 64, "proc entry");
_Static_assert(sizeof(struct seg_obj) == 256, "object");
_Static_assert(sizeof(struct seg_total_row) == 1088, "total row");
_Static_assert(sizeof(struct stat_health) % 8 == 0 &&
		       sizeof(struct stat_health) <= LATCH_PAYLOAD_MAX,
	       "health");
_Static_assert(sizeof(struct stat_dns) % 8 == 0 && sizeof(struct stat_dns) <= LATCH_PAYLOAD_MAX,
	       "dns");
_Static_assert(sizeof(struct stat_death) % 8 == 0 && sizeof(struct stat_crash) % 8 == 0, "crash");
_Static_assert(sizeof(struct stat_admin) % 8 == 0 && sizeof(struct stat_conf_state) % 8 == 0,
	       "latched");

/* Numbers that everything follows from; private copies, checked once when the files are opened. */
struct seg_dims {
	uint32_t max_objects, cores, drain;
	uint32_t n_workers, n_slots;      /* slots for workers; all slots */
	uint32_t dirty_n, index_n;        /* powers of two */
	struct {
		size_t proc, core, object, index, admin, live, crash, size;
	} dir;
	struct {
		size_t used, row, dirty, hstate, health, dns, cursor, log;
		size_t claim, mailhead, mailseen, mail, death, size;
	} slot;
	struct {
		size_t folded, used, row, size;
	} totals;
};
/* False when a number is out of range. */
bool seg_dims_make(struct seg_dims *d, uint32_t max_objects, uint32_t cores, uint32_t drain);
size_t seg_file_size(const struct seg_dims *d, enum seg_file file);

/* The counter table by (kind, position). `past` are the counters that rates and averages are made from. */
#define SEG_LEVEL_MAX STAT_LEVEL_MAX
#define SEG_NO_LEVEL  0xff
#define SEG_PAST_MAX  16
#define SEG_OWNER_MAX 4
struct seg_tables {
	uint8_t n[KIND__COUNT];                       /* counters of the kind */
	uint8_t n_levels[KIND__COUNT];
	uint8_t fold[KIND__COUNT][TBL_CTR_MAX];
	uint8_t level[KIND__COUNT][TBL_CTR_MAX];      /* number among the LEVELs, or SEG_NO_LEVEL */
	uint8_t level_ctr[KIND__COUNT][SEG_LEVEL_MAX];
	uint8_t n_owner[KIND__COUNT];
	uint8_t owner_ctr[KIND__COUNT][SEG_OWNER_MAX];
	uint8_t n_past[KIND__COUNT];
	uint8_t past_ctr[KIND__COUNT][SEG_PAST_MAX];
	uint8_t src[KIND__COUNT][TBL_CTR_MAX][2];     /* RATE, AVG: numbers among the past */
	/* bit c: processes count it, the consolidator takes it; it adds up; it is a process's, not its slot's; a LEVEL */
	uint64_t counted[KIND__COUNT], adds[KIND__COUNT], of_process[KIND__COUNT], is_level[KIND__COUNT], owners[KIND__COUNT];
};
/* Constant after the first call. */
const struct seg_tables *seg_tables(void);

static inline uint32_t seg_tag_kind(uint64_t tag) { return (uint32_t)(tag & 0xff); }
static inline uint32_t seg_tag_incarnation(uint64_t tag) { return (uint32_t)(tag >> 8); }
static inline uint64_t seg_tag(uint32_t kind, uint32_t incarnation)
{
	return (uint64_t)incarnation << 8 | kind;
}
static inline bool seg_kind_ok(uint32_t kind) { return kind > KIND_NONE && kind < KIND__COUNT; }

#endif
