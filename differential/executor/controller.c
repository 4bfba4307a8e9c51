/*
 * The executor's front: reads programs from standard input, runs each with
 * fresh files and a fresh process, and writes for every step its result and
 * what the kernel shows after it to standard output (protocol.ts).
 *
 * Everything runs on one CPU, so that per-CPU batches of the kernel are drained
 * by whoever drains them. Arguments: TMPFS-FOLDER DISK-FOLDER FLAG-MASKS CPU
 * SIZE0 SIZE1 SIZE2 (bytes of the files). It ends when standard input ends.
 */
#define _GNU_SOURCE
#include "executor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct arena arenas[ARENAS] = {
	{ 0x100001e0000ull, 80 },   /* across a border of 2 MiB */
	{ 0x1003fc00000ull, 2560 }, /* 10 MiB across a border of 1 GiB */
	{ LANDING, LANDING_PAGES },
};

int data_files[FILES];
int direct_files[FILES];
static const char *folders[2];
static uint64_t file_sizes[FILES];
static char names[FILES][256];
static int to_worker[MAX_PROCESSES], from_controller[MAX_PROCESSES];
static struct live processes[MAX_PROCESSES];
static int pidfds[MAX_PROCESSES];
static int live_count;

void fail(const char *what)
{
	fprintf(stderr, "executor: %s: %s\n", what, strerror(errno));
	exit(3);
}

void *own_memory(size_t bytes)
{
	void *at = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED || madvise(at, bytes, MADV_DONTFORK))
		fail("memory");
	return at;
}

void put_word(struct words *out, int32_t word)
{
	if (out->used == out->room)
		fail("a state larger than the reply buffer");
	out->at[out->used++] = word;
}

static void read_all(void *at, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t got = read(0, (char *)at + done, bytes - done);
		if (got == 0 && done == 0)
			exit(0);
		if (got <= 0)
			fail("reading a program");
		done += got;
	}
}

static void write_all(const void *at, size_t bytes)
{
	for (size_t done = 0; done < bytes;) {
		ssize_t put = write(1, (const char *)at + done, bytes - done);
		if (put <= 0)
			fail("writing a reply");
		done += put;
	}
}

/* Contents that both sides know: see fileByte in program.ts. */
static void fill_file(int fd, int file, uint64_t bytes)
{
	unsigned char page[4096];
	for (uint64_t at = 0; at < bytes; at += PAGE) {
		for (unsigned i = 0; i < PAGE; i++)
			page[i] = (unsigned char)(file * 101 + (at / PAGE) * 13 + i);
		uint64_t part = bytes - at < PAGE ? bytes - at : PAGE;
		if (pwrite(fd, page, part, at) != (ssize_t)part)
			fail("filling a test file");
	}
}

/* File 0 and 2 lie on tmpfs, file 1 on the disk; file 2 is a hole. */
static void make_files(void)
{
	for (int i = 0; i < FILES; i++) {
		snprintf(names[i], sizeof names[i], "%s/file%d", folders[i == 1], i);
		unlink(names[i]);
		int fd = open(names[i], O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			fail(names[i]);
		if (i == 2 ? ftruncate(fd, file_sizes[i]) : (fill_file(fd, i, file_sizes[i]), 0))
			fail(names[i]);
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		data_files[i] = fd;
		direct_files[i] = open(names[i], O_RDONLY | O_DIRECT);
		/* EINVAL: a file system without it; then EBADF is every answer. */
		if (direct_files[i] < 0 && errno != EINVAL)
			fail(names[i]);
	}
}

static void drop_files(void)
{
	for (int i = 0; i < FILES; i++) {
		close(data_files[i]);
		if (direct_files[i] >= 0)
			close(direct_files[i]);
		unlink(names[i]);
	}
}

static void add_live(int number, pid_t pid)
{
	struct live *process = &processes[live_count];
	process->number = number;
	process->pid = pid;
	pidfds[live_count] = syscall(SYS_pidfd_open, pid, 0);
	if (pidfds[live_count] < 0)
		fail("pidfd_open");
	live_open(process);
	live_count++;
	struct result ready;
	if (read(to_worker[number], &ready, sizeof ready) != sizeof ready)
		fail("a new process does not answer");
}

/* Waits until the process is gone, and its memory with it. */
static void remove_live(int index)
{
	struct pollfd gone = { .fd = pidfds[index], .events = POLLIN };
	if (poll(&gone, 1, 10000) != 1)
		fail("a process did not end");
	close(pidfds[index]);
	live_close(&processes[index]);
	struct live gone_one = processes[index];
	live_count--;
	for (int i = index; i < live_count; i++) {
		processes[i] = processes[i + 1];
		pidfds[i] = pidfds[i + 1];
	}
	processes[live_count].before = gone_one.before;
}

static int index_of(int number)
{
	for (int i = 0; i < live_count; i++)
		if (processes[i].number == number)
			return i;
	return -1;
}

static void start_first(void)
{
	for (int i = 0; i < MAX_PROCESSES; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
			fail("socketpair");
		to_worker[i] = pair[0];
		from_controller[i] = pair[1];
	}
	pid_t pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		for (int i = 0; i < MAX_PROCESSES; i++)
			close(to_worker[i]);
		close(0);
		close(1);
		serve(0, from_controller);
	}
	for (int i = 0; i < MAX_PROCESSES; i++)
		close(from_controller[i]);
	live_count = 0;
	add_live(0, pid);
	observe_start(&processes[0]);
}

static void end_all(void)
{
	while (live_count > 0) {
		struct command c = { .op = OP_EXIT };
		if (write(to_worker[processes[0].number], &c, sizeof c) != sizeof c)
			kill(processes[0].pid, SIGKILL);
		remove_live(0);
	}
	for (int i = 0; i < MAX_PROCESSES; i++)
		close(to_worker[i]);
}

/* One step: 3 (ESRCH) where the program speaks to a process that is not there. */
static void run_step(const struct command *c, struct result *r)
{
	int index = index_of(c->process);
	if (index < 0 || (c->op == OP_FORK && (c->a >= MAX_PROCESSES || index_of(c->a) >= 0))) {
		r->error = ESRCH;
		return;
	}
	int channel = to_worker[c->process];
	if (write(channel, c, sizeof *c) != sizeof *c)
		fail("a process does not listen");
	if (c->op == OP_EXIT) {
		remove_live(index);
		return;
	}
	struct pollfd ready[2] = { { .fd = channel, .events = POLLIN },
				   { .fd = pidfds[index], .events = POLLIN } };
	if (poll(ready, 2, 20000) < 1)
		fail("a step did not come back within 20 s");
	if (!(ready[0].revents & POLLIN)) {
		r->signal = SIGKILL; /* the process died of the step */
		remove_live(index);
		return;
	}
	if (read(channel, r, sizeof *r) != sizeof *r)
		fail("a short answer");
	if (c->op == OP_FORK && r->pid > 0)
		add_live((int)c->a, r->pid);
}

/*
 * Where a call frees pages before it takes new ones for the same addresses, it
 * may or may not get the same frames.
 */
static void forget_replaced(const struct command *c)
{
	int index = index_of(c->process);
	if (index < 0)
		return;
	if (c->op == OP_MMAP)
		observe_forget(&processes[index], c->a, c->b);
	if (c->op == OP_MREMAP) {
		observe_forget(&processes[index], c->e, c->c);
		observe_forget(&processes[index], LANDING, LANDING_PAGES * PAGE);
	}
}

/* Huge pages that the last process held go back to the pool a little later. */
static void wait_for_pool(void)
{
	for (int tries = 0; tries < 2000 && !pool_as_before(); tries++)
		usleep(500);
}

static void run_program(uint32_t steps, struct command *commands, struct words *reply)
{
	make_files();
	start_first();
	for (uint32_t i = 0; i < steps; i++) {
		struct result r = { 0 };
		run_step(&commands[i], &r);
		reply->used = 1;
		put_word(reply, r.error);
		put_word(reply, (int32_t)r.value);
		put_word(reply, r.signal);
		put_word(reply, r.code);
		put_word(reply, r.page);
		if (r.error == 0)
			forget_replaced(&commands[i]);
		observe(reply, processes, live_count);
		reply->at[0] = (int32_t)(reply->used - 1);
		write_all(reply->at, reply->used * 4);
	}
	end_all();
	observe_end();
	wait_for_pool();
	drop_files();
	int32_t end = 0; /* nothing of this program is left */
	write_all(&end, sizeof end);
}

int main(int argc, char **argv)
{
	if (argc != 5 + FILES) {
		fputs("executor: TMPFS DISK FLAG-MASKS CPU SIZE0 SIZE1 SIZE2\n", stderr);
		return 2;
	}
	/* Addresses of its own must not differ from run to run. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
		personality(ADDR_NO_RANDOMIZE);
		execv("/proc/self/exe", argv);
	}
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[4]), &cpus);
	sched_setaffinity(0, sizeof cpus, &cpus);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* the one who started it ends it */
	folders[0] = argv[1];
	folders[1] = argv[2];
	for (int i = 0; i < FILES; i++)
		file_sizes[i] = strtoull(argv[5 + i], 0, 0);
	char drain[256];
	snprintf(drain, sizeof drain, "%s/drain", folders[1]);
	for (int i = 0; i < MAX_PROCESSES; i++)
		processes[i].before = own_memory(ARENA_PAGES * sizeof(uint32_t));
	observe_open(argv[3], drain);

	struct words reply = { .room = 4u << 20 };
	reply.at = own_memory(reply.room * 4);
	for (;;) {
		uint32_t steps;
		read_all(&steps, sizeof steps);
		if (steps > 100000)
			fail("a program of more than 100000 steps");
		size_t bytes = steps * sizeof(struct command);
		struct command *commands = own_memory(bytes + PAGE);
		if (steps > 0)
			read_all(commands, bytes);
		run_program(steps, commands, &reply);
		munmap(commands, bytes + PAGE);
	}
}
