/*
 * What the parts of the executor share: the commands of a program, the result
 * of a step, the arenas, and how words are appended to a reply.
 *
 * The executor runs random programs on the live kernel. controller.c reads a
 * program and hands its steps to worker processes (worker.c), which are the
 * processes of the program; after each step observe.c reads from /proc what the
 * kernel shows of all of them. The protocol is described in protocol.ts and
 * must change there and here together.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096ull
#define MAX_PROCESSES 16
#define FILES 3
#define PINS 4
/* Most bytes of one pread or pwrite into a worker's own buffer. */
#define IO_BYTES 16384

enum op {
	OP_MMAP, OP_READ, OP_WRITE, OP_CHECK, OP_MPROTECT, OP_MUNMAP, OP_MREMAP,
	OP_MADVISE, OP_FORK, OP_EXIT, OP_PREAD, OP_PWRITE, OP_TRUNCATE, OP_PUNCH,
	OP_MSYNC, OP_MLOCK, OP_MUNLOCK, OP_PIN, OP_UNPIN, OP_DIRECT_READ,
};

struct command {
	int32_t op;
	int32_t process;
	uint64_t a, b, c, d, e;
};

struct result {
	int32_t error;  /* errno, 0 where the call succeeded */
	uint32_t value; /* address / 4096, bytes, or hash of what was read */
	int32_t signal; /* signal that ended a touch, 0 for none */
	int32_t code;   /* its si_code */
	int32_t page;   /* index of the page of the touch that raised it */
	int32_t pid;    /* of a new process; not part of the reply */
};

/* The ranges that programs work in; the same in program.ts. */
struct arena {
	uint64_t start, pages;
};
#define ARENAS 3
extern const struct arena arenas[ARENAS];
/* The last arena: where a mapping goes that mremap put at an address of the kernel's choice. */
#define LANDING 0x20000000000ull
#define LANDING_PAGES 512
/* Pages of all arenas together. */
#define ARENA_PAGES (80 + 2560 + LANDING_PAGES)

/* A reply that grows. */
struct words {
	int32_t *at;
	size_t used, room;
};
void put_word(struct words *out, int32_t word);
void fail(const char *what);

/* Memory that worker processes do not inherit. */
void *own_memory(size_t bytes);

/* The test files, inherited by all processes. */
extern int data_files[FILES];
extern int direct_files[FILES];

/* worker.c: a process of a program. It sends an empty result when it is ready. */
void serve(int number, const int *channels) __attribute__((noreturn));

/* observe.c */
struct live {
	int number;
	pid_t pid;
	int pagemap, maps, status; /* open files of /proc/PID */
	/* Frames at the last observation, per page of the arenas; 0 for none. */
	uint32_t *before;
};
/* Flags that are told: in general, of the zero page, of hugetlb; decimal, by commas. */
void observe_open(const char *flag_masks, const char *drain_file);
/* The files of a program about to start; its first process exists but has done nothing. */
void observe_start(struct live *first);
void live_open(struct live *process);
void live_close(struct live *process);
/* Frames in this range may be old ones given out anew: not to be told as kept. */
void observe_forget(struct live *process, uint64_t start, uint64_t bytes);
void observe(struct words *out, struct live *processes, int count);
void observe_end(void);
/* Whether the hugetlb pool has as many free pages as before the program. */
int pool_as_before(void);

#endif
