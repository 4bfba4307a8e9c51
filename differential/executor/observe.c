/*
 * What the kernel shows of the processes of a program, read after every step
 * and written as words (protocol.ts): files, then per process counters, VMAs
 * and pages of the arenas.
 *
 * Sources: /proc/PID/maps, /proc/PID/status, /proc/PID/pagemap with its
 * PAGEMAP_SCAN call, mincore, and frames.c for /proc/kpagecount and kpageflags.
 * Everything a process holds outside the arenas is counted and taken off.
 */
#define _GNU_SOURCE
#include "executor.h"
#include "frames.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* include/uapi/linux/fs.h of 6.7 and later, named here because older headers lack it. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_argument {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_CALL _IOWR('f', 16, struct scan_argument)
#define SCAN_IS_HUGE (1ull << 6)
#define HUGE_BYTES (2ull << 20)

#define PM_GUARD (1ull << 58)
#define PM_FILE (1ull << 61)
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)
#define PM_EXCLUSIVE (1ull << 56)
#define PM_PFN ((1ull << 55) - 1)

#define MAX_VMAS 512
#define MAX_OWN_PAGES 4096
struct vma {
	uint64_t start, end, offset;
	unsigned long inode;
	int bits;
};
/* The pages of a process found in this observation. */
struct seen_page {
	uint64_t entry;
	uint32_t page; /* address / 4096 */
	uint8_t huge;
};
struct seen {
	int vmas, pages;
	int64_t own_anon, own_file;
	struct vma vma[MAX_VMAS];
	struct seen_page page[ARENA_PAGES];
};

static struct seen *seen; /* one per process */
static uint64_t *entries;
static char *text;
static const size_t TEXT_BYTES = 1 << 18;
static int drain_fd = -1, pool_free = -1, pool_reserved = -1;
static int free_at_start, reserved_at_start;
static uint64_t zero_pfn;
static long own_tables; /* KiB of page tables of a process that has nothing in the arenas */
static unsigned long inodes[FILES];
static void *views[FILES];
static const uint64_t VIEW_BYTES = 1024 * PAGE;

static ssize_t read_text(int fd)
{
	ssize_t used = 0, got;
	while ((got = pread(fd, text + used, TEXT_BYTES - 1 - used, used)) > 0)
		used += got;
	text[used < 0 ? 0 : used] = 0;
	return used;
}

static void find_zero_page(void)
{
	volatile char *page = own_memory(PAGE);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	(void)page[0];
	if (fd < 0 || pread(fd, &entry, 8, (uint64_t)page / PAGE * 8) != 8 || !(entry & PM_PFN))
		fail("/proc/self/pagemap does not tell frames");
	zero_pfn = entry & PM_PFN;
	close(fd);
	munmap((void *)page, PAGE);
}

void observe_open(const char *flag_masks, const char *drain_file)
{
	static const char POOL[] = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
	char name[128];

	seen = own_memory(sizeof(struct seen) * MAX_PROCESSES);
	entries = own_memory(8 * (ARENA_PAGES > MAX_OWN_PAGES ? ARENA_PAGES : MAX_OWN_PAGES));
	text = own_memory(TEXT_BYTES);
	find_zero_page();
	frames_open(flag_masks);
	drain_fd = open(drain_file, O_RDWR | O_CREAT, 0600);
	if (drain_fd < 0 || pwrite(drain_fd, "x", 1, 0) != 1)
		fail(drain_file);
	unlink(drain_file);
	snprintf(name, sizeof name, "%sfree_hugepages", POOL);
	pool_free = open(name, O_RDONLY | O_CLOEXEC);
	snprintf(name, sizeof name, "%sresv_hugepages", POOL);
	pool_reserved = open(name, O_RDONLY | O_CLOEXEC);
}

static int pool_number(int fd)
{
	return fd < 0 || read_text(fd) <= 0 ? -1 : atoi(text);
}

static long status_field(const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtol(at + strlen(name), 0, 10) : 0;
}

void observe_start(struct live *first)
{
	for (int i = 0; i < FILES; i++) {
		struct stat st;
		if (fstat(data_files[i], &st))
			fail("fstat");
		inodes[i] = st.st_ino;
		views[i] = mmap(0, VIEW_BYTES, PROT_READ, MAP_PRIVATE, data_files[i], 0);
		if (views[i] == MAP_FAILED || madvise(views[i], VIEW_BYTES, MADV_DONTFORK))
			fail("a view of a test file");
	}
	free_at_start = pool_number(pool_free);
	reserved_at_start = pool_number(pool_reserved);
	read_text(first->status);
	own_tables = status_field("VmPTE:");
}

void observe_end(void)
{
	for (int i = 0; i < FILES; i++)
		munmap(views[i], VIEW_BYTES);
}

static int open_of(pid_t pid, const char *file)
{
	char name[64];
	snprintf(name, sizeof name, "/proc/%d/%s", (int)pid, file);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(name);
	return fd;
}

void live_open(struct live *process)
{
	process->pagemap = open_of(process->pid, "pagemap");
	process->maps = open_of(process->pid, "maps");
	process->status = open_of(process->pid, "status");
	memset(process->before, 0, ARENA_PAGES * sizeof(uint32_t));
}

void live_close(struct live *process)
{
	close(process->pagemap);
	close(process->maps);
	close(process->status);
}

/* Place of a page among the pages of all arenas; -1 outside. */
static int arena_index(uint64_t page)
{
	uint64_t base = 0;
	for (int i = 0; i < ARENAS; i++) {
		uint64_t first = arenas[i].start / PAGE;
		if (page >= first && page < first + arenas[i].pages)
			return (int)(base + page - first);
		base += arenas[i].pages;
	}
	return -1;
}

void observe_forget(struct live *process, uint64_t start, uint64_t bytes)
{
	if (bytes > 16ull << 20)
		return;
	for (uint64_t at = start / PAGE; at < (start + bytes + PAGE - 1) / PAGE; at++)
		if (arena_index(at) >= 0)
			process->before[arena_index(at)] = 0;
}

static void put_files(struct words *out)
{
	unsigned char resident[1024];
	for (int i = 0; i < FILES; i++) {
		struct stat st;
		if (fstat(data_files[i], &st) || mincore(views[i], VIEW_BYTES, resident))
			fail("a test file");
		put_word(out, (int32_t)st.st_size);
		size_t count_at = out->used, runs = 0;
		put_word(out, 0);
		for (int page = 0; page < 1024; page++) {
			if (!(resident[page] & 1))
				continue;
			int first = page;
			while (page < 1024 && resident[page] & 1)
				page++;
			put_word(out, first);
			put_word(out, page - first);
			runs++;
		}
		out->at[count_at] = (int32_t)runs;
	}
}

int pool_as_before(void)
{
	return pool_number(pool_free) == free_at_start;
}

/* What lies outside the arenas belongs to the worker itself. */
static void count_own(const struct live *process, struct seen *s, const struct vma *v)
{
	uint64_t pages = (v->end - v->start) / PAGE;
	if (pages > MAX_OWN_PAGES)
		pages = MAX_OWN_PAGES;
	ssize_t got = pread(process->pagemap, entries, pages * 8, v->start / PAGE * 8);
	for (ssize_t i = 0; i < got / 8; i++) {
		if (!(entries[i] & PM_PRESENT) || (entries[i] & PM_PFN) == zero_pfn)
			continue;
		if (entries[i] & PM_FILE)
			s->own_file++;
		else
			s->own_anon++;
	}
}

static void read_pages(const struct live *process, struct seen *s, const struct vma *v)
{
	uint64_t pages = (v->end - v->start) / PAGE;
	int first = s->pages;
	while (arena_index(v->start / PAGE + pages - 1) < 0)
		pages--; /* beyond the arena nothing is observed */
	ssize_t got = pread(process->pagemap, entries, pages * 8, v->start / PAGE * 8);
	for (ssize_t i = 0; i < got / 8; i++)
		if (entries[i] & (PM_PRESENT | PM_SWAP | PM_GUARD))
			s->page[s->pages++] = (struct seen_page){ entries[i], v->start / PAGE + i, 0 };
	if (s->pages == first || v->end - ((v->start + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1)) + HUGE_BYTES < HUGE_BYTES * 2)
		return;
	struct scan_region regions[16];
	struct scan_argument scan = { .size = sizeof scan, .start = v->start, .end = v->end,
		.vec = (uint64_t)regions, .vec_len = 16, .category_mask = SCAN_IS_HUGE,
		.return_mask = SCAN_IS_HUGE };
	int found = ioctl(process->pagemap, SCAN_CALL, &scan);
	for (int r = 0; r < found; r++)
		for (int i = first; i < s->pages; i++)
			if (s->page[i].page >= regions[r].start / PAGE && s->page[i].page < regions[r].end / PAGE)
				s->page[i].huge = 1;
}

/* One line of maps: start-end perms offset dev inode name. */
__attribute__((noinline)) /* or gcc 12 warns of a pointer to at */
static char *parse_vma(char *line, struct vma *v, char **name)
{
	char *at = line;
	v->start = strtoull(at, &at, 16);
	v->end = strtoull(at + 1, &at, 16);
	at++;
	v->bits = (at[0] == 'r') | (at[1] == 'w') << 1 | (at[2] == 'x') << 2 | (at[3] == 's') << 3;
	v->offset = strtoull(at + 4, &at, 16);
	strtoul(at, &at, 16);
	strtoul(at + 1, &at, 16);
	v->inode = strtoul(at, &at, 10);
	*name = at;
	return strchr(at, '\n');
}

static void look(const struct live *process, struct seen *s)
{
	s->vmas = s->pages = 0;
	s->own_anon = s->own_file = 0;
	read_text(process->maps);
	char *name, *line = text;
	while (line && *line) {
		struct vma v;
		char *end = parse_vma(line, &v, &name);
		line = end ? end + 1 : 0;
		if (arena_index(v.start / PAGE) >= 0) {
			if (s->vmas == MAX_VMAS)
				fail("more VMAs than expected");
			s->vma[s->vmas++] = v;
			read_pages(process, s, &v);
		} else if (!end || !memmem(name, end - name, "[v", 2)) {
			count_own(process, s, &v); /* not [vvar], [vsyscall]: no memory of its own */
		}
	}
}

/* A test file by number, another object by order of appearance, 0 for none. */
static int backing(unsigned long inode, unsigned long *others, int *count)
{
	if (inode == 0)
		return 0;
	for (int i = 0; i < FILES; i++)
		if (inodes[i] == inode)
			return i + 1;
	for (int i = 0; i < *count; i++)
		if (others[i] == inode)
			return 16 + i;
	if (*count == 256)
		fail("more objects than expected");
	others[*count] = inode;
	return 16 + (*count)++;
}

static void put_process(struct words *out, struct live *process, struct seen *s,
			unsigned long *others, int *other_count)
{
	read_text(process->status);
	put_word(out, process->number);
	put_word(out, status_field("RssAnon:") / 4 - s->own_anon);
	put_word(out, status_field("RssFile:") / 4 - s->own_file);
	put_word(out, status_field("RssShmem:") / 4);
	put_word(out, status_field("HugetlbPages:") / 4);
	put_word(out, status_field("VmLck:") / 4);
	put_word(out, status_field("VmPin:") / 4);
	put_word(out, (status_field("VmPTE:") - own_tables) / 4);
	put_word(out, s->vmas);
	for (int i = 0; i < s->vmas; i++) {
		struct vma *v = &s->vma[i];
		put_word(out, v->start / PAGE);
		put_word(out, (v->end - v->start) / PAGE);
		put_word(out, v->bits | backing(v->inode, others, other_count) << 8);
		put_word(out, v->offset / PAGE);
	}
	frames_begin_pages(out);
	for (int i = 0; i < s->pages; i++) {
		struct seen_page *p = &s->page[i];
		uint64_t pfn = p->entry & PM_PRESENT ? p->entry & PM_PFN : 0;
		uint32_t *before = &process->before[arena_index(p->page)];
		int bits = (p->entry & PM_PRESENT ? SHOWN_PRESENT : 0) |
			   (p->entry & PM_SWAP ? SHOWN_SWAP : 0) |
			   (p->entry & PM_FILE ? SHOWN_FILE : 0) |
			   (p->entry & PM_EXCLUSIVE ? SHOWN_EXCLUSIVE : 0) |
			   (p->entry & PM_GUARD ? SHOWN_GUARD : 0) |
			   (p->huge ? SHOWN_HUGE_MAPPED : 0) |
			   (pfn && *before == pfn ? SHOWN_KEPT : 0);
		frames_put_page(out, p->page, pfn, bits);
	}
	frames_end_pages(out);
	memset(process->before, 0, ARENA_PAGES * sizeof(uint32_t));
	for (int i = 0; i < s->pages; i++)
		if (s->page[i].entry & PM_PRESENT)
			process->before[arena_index(s->page[i].page)] = s->page[i].entry & PM_PFN;
}

void observe(struct words *out, struct live *processes, int count)
{
	unsigned long others[256];
	int other_count = 0;

	/* Puts pages that wait in this CPU's batches on their lists. */
	posix_fadvise(drain_fd, 0, PAGE, POSIX_FADV_DONTNEED);
	frames_reset();
	for (int i = 0; i < count; i++) {
		look(&processes[i], &seen[i]);
		for (int j = 0; j < seen[i].pages; j++)
			if (seen[i].page[j].entry & PM_PRESENT)
				frames_want(seen[i].page[j].entry & PM_PFN);
	}
	frames_read();
	put_files(out);
	put_word(out, pool_number(pool_free) - reserved_at_start);
	/* Reservations that no process holds may be left from before: 6.18 can lose track of some. */
	put_word(out, pool_number(pool_reserved) - reserved_at_start);
	put_word(out, count);
	for (int i = 0; i < count; i++)
		put_process(out, &processes[i], &seen[i], others, &other_count);
}
