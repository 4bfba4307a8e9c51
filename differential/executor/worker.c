/*
 * One process of a program: obeys commands that arrive on its channel and tells
 * what the kernel answered. It must never die of a touch: SIGSEGV and SIGBUS
 * are caught on a stack of their own and become part of the result.
 *
 * It keeps small: static buffers only, raw fork, no allocation. What it maps
 * itself lies far from the arenas and is left out of the observation.
 */
#define _GNU_SOURCE
#include "executor.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned char buffer[IO_BYTES];
static unsigned char signal_stack[16384];
static sigjmp_buf back;
static volatile int caught_signal, caught_code;
static int ring = -1;
static unsigned pinned; /* bit per slot in use */

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	caught_signal = number;
	caught_code = info->si_code;
	siglongjmp(back, 1);
}

static void catch_faults(void)
{
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	sigaltstack(&stack, 0);
	sigaction(SIGSEGV, &action, 0);
	sigaction(SIGBUS, &action, 0);
	signal(SIGCHLD, SIG_IGN); /* children are reaped as they end */
}

static uint32_t mix(uint32_t hash, uint32_t word)
{
	return (hash ^ word) * 0x01000193u;
}

static uint32_t hash_bytes(const unsigned char *bytes, size_t count)
{
	uint32_t hash = 0x811c9dc5u;
	for (size_t i = 0; i < count; i++)
		hash = mix(hash, bytes[i]);
	return hash;
}

/* Reads or writes one word per page, or reads whole pages, until a signal. */
static void touch(const struct command *c, struct result *r)
{
	uint64_t at = c->a & ~3ull;
	static volatile uint32_t hash;
	static volatile int page;

	hash = 0x811c9dc5u;
	caught_signal = 0;
	page = 0;
	if (sigsetjmp(back, 0) == 0) {
		for (; (uint64_t)page < c->b; page = page + 1) {
			volatile uint32_t *word = (volatile uint32_t *)(at + page * PAGE);
			if (c->op == OP_WRITE) {
				*word = (uint32_t)c->c + page;
			} else if (c->op == OP_READ) {
				hash = mix(hash, *word);
			} else {
				const uint32_t *whole = (const uint32_t *)((at + page * PAGE) & ~(PAGE - 1));
				uint32_t sum = hash;
				for (unsigned i = 0; i < PAGE / 4; i++)
					sum = mix(sum, whole[i]);
				hash = sum;
			}
		}
	}
	r->value = c->op == OP_WRITE ? 0 : hash;
	r->signal = caught_signal;
	r->code = caught_signal ? caught_code : 0;
	r->page = caught_signal ? page : 0;
}

static void answer(struct result *r, long ret)
{
	r->error = ret == -1 ? errno : 0;
	r->value = ret == -1 ? 0 : (uint32_t)ret;
}

/* An address is told as its page number; MAP_FAILED as the error. */
static void answer_address(struct result *r, void *address)
{
	r->error = address == MAP_FAILED ? errno : 0;
	r->value = address == MAP_FAILED ? 0 : (uint32_t)((uint64_t)address / PAGE);
}

static int in_arenas(uint64_t at)
{
	for (int i = 0; i < ARENAS; i++)
		if (at >= arenas[i].start && at < arenas[i].start + arenas[i].pages * PAGE)
			return 1;
	return 0;
}

static void do_mmap(const struct command *c, struct result *r)
{
	int prot = (int)(uint32_t)c->c, flags = c->c >> 32, file = (int)c->d - 1;
	int fd = file < 0 || file >= FILES ? -1 : data_files[file];
	void *at = mmap((void *)c->a, c->b, prot, flags, fd, c->e);

	answer_address(r, at);
	/* Without it the disk file's faults would read ahead by what was read before. */
	if (at != MAP_FAILED && file == 1)
		madvise(at, c->b, MADV_RANDOM);
}

/*
 * A mapping that the kernel moved where it liked is brought to the landing
 * place at once, so that it can be observed and used; value is then 0.
 */
static void do_mremap(const struct command *c, struct result *r)
{
	void *at = (void *)syscall(SYS_mremap, c->a, c->b, c->c, c->d, c->e);

	answer_address(r, at);
	if (at == MAP_FAILED || in_arenas((uint64_t)at))
		return;
	r->value = 0;
	uint64_t bytes = (c->c + PAGE - 1) & ~(PAGE - 1);
	if (syscall(SYS_mremap, at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, LANDING) == -1) {
		r->error = errno;
		munmap(at, bytes);
	}
}

/* A ring whose only use is its table of registered (long-term pinned) buffers. */
static int open_ring(void)
{
	struct io_uring_params params = { 0 };
	struct io_uring_rsrc_register table = { .nr = PINS, .flags = IORING_RSRC_REGISTER_SPARSE };

	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		return -1;
	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS2, &table, sizeof table);
}

static long set_buffer(unsigned slot, uint64_t start, uint64_t bytes)
{
	struct iovec vector = { (void *)start, bytes };
	__u64 tag = 0;
	struct io_uring_rsrc_update2 update = {
		.offset = slot, .data = (__u64)&vector, .tags = (__u64)&tag, .nr = 1 };

	if (ring < 0 && open_ring() < 0)
		return -1;
	return syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS_UPDATE, &update,
		       sizeof update);
}

static void do_pin(const struct command *c, struct result *r)
{
	unsigned slot = c->c % PINS;

	/* Replacing would release before pinning: a full slot is refused instead. */
	if (pinned & 1u << slot) {
		r->error = EBUSY;
		return;
	}
	long ret = set_buffer(slot, c->a, c->b);
	answer(r, ret);
	if (ret >= 0)
		pinned |= 1u << slot;
}

static void unpin(unsigned slot, struct result *r)
{
	if (!(pinned & 1u << slot)) {
		r->error = ENOENT;
		return;
	}
	answer(r, set_buffer(slot, 0, 0));
	pinned &= ~(1u << slot);
}

static void unpin_all(void)
{
	struct result ignored;
	for (unsigned slot = 0; slot < PINS; slot++)
		unpin(slot, &ignored);
}

static void do_fork(const struct command *c, struct result *r, int *number)
{
	int child = (int)c->a;
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	answer(r, pid);
	r->value = 0;
	r->pid = pid > 0 ? (int32_t)pid : 0;
	if (pid != 0)
		return;
	*number = child;
	if (ring >= 0)
		close(ring);
	ring = -1;
	pinned = 0;
}

static void do_pread(const struct command *c, struct result *r)
{
	uint64_t length = c->c > IO_BYTES ? IO_BYTES : c->c;
	long got = pread(data_files[c->a], buffer, length, c->b);

	answer(r, got);
	if (got > 0)
		r->value = mix(hash_bytes(buffer, got), (uint32_t)got);
}

static void do_pwrite(const struct command *c, struct result *r)
{
	uint64_t length = c->c > IO_BYTES ? IO_BYTES : c->c;

	for (uint64_t i = 0; i < length; i++)
		buffer[i] = (unsigned char)(c->d + i);
	answer(r, pwrite(data_files[c->a], buffer, length, c->b));
}

static void obey(const struct command *c, struct result *r, int *number)
{
	switch (c->op) {
	case OP_MMAP: do_mmap(c, r); break;
	case OP_READ: case OP_WRITE: case OP_CHECK: touch(c, r); break;
	case OP_MPROTECT: answer(r, mprotect((void *)c->a, c->b, c->c)); break;
	case OP_MUNMAP: answer(r, munmap((void *)c->a, c->b)); break;
	case OP_MREMAP: do_mremap(c, r); break;
	case OP_MADVISE: answer(r, madvise((void *)c->a, c->b, c->c)); break;
	case OP_FORK: do_fork(c, r, number); break;
	case OP_PREAD: do_pread(c, r); break;
	case OP_PWRITE: do_pwrite(c, r); break;
	case OP_TRUNCATE: answer(r, ftruncate(data_files[c->a], c->b)); break;
	case OP_PUNCH: answer(r, fallocate(data_files[c->a], c->d, c->b, c->c)); break;
	case OP_MSYNC: answer(r, msync((void *)c->a, c->b, c->c)); break;
	case OP_MLOCK: answer(r, mlock((void *)c->a, c->b)); break;
	case OP_MUNLOCK: answer(r, munlock((void *)c->a, c->b)); break;
	case OP_PIN: do_pin(c, r); break;
	case OP_UNPIN: unpin(c->a % PINS, r); break;
	case OP_DIRECT_READ: answer(r, pread(direct_files[c->d], (void *)c->a, c->b, c->c)); break;
	default: r->error = ENOSYS;
	}
}

void serve(int number, const int *channels)
{
	struct command c;

	catch_faults();
	/* Touched once, so that no later step changes what the process itself holds. */
	memset(buffer, 1, sizeof buffer);
	memset(signal_stack, 1, sizeof signal_stack);
	struct result ready = { 0 };
	if (write(channels[number], &ready, sizeof ready) != sizeof ready)
		_exit(1);
	while (read(channels[number], &c, sizeof c) == sizeof c) {
		struct result r = { 0 };
		int before = number;
		if (c.op == OP_EXIT) {
			unpin_all();
			_exit(0);
		}
		obey(&c, &r, &number);
		/* A new process says only that it is ready: its parent answers for both. */
		if (number != before)
			r = ready;
		if (write(channels[number], &r, sizeof r) != sizeof r)
			break;
	}
	unpin_all();
	_exit(0);
}
