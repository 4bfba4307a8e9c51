/*
 * Frames: reads count and flags of all frames of an observation in few reads,
 * finds the folio of each, numbers folios in the order in which they are first
 * seen, and writes pages as runs, so that a huge page is two runs, not 512.
 *
 * A folio is told from the HEAD and TAIL flags: a head, and the tails after it.
 */
#define _GNU_SOURCE
#include "frames.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SPANS 32768
#define MAX_FRAMES (1 << 18)
/* Frames between two wanted ones that are rather read than skipped. */
#define GAP 32
#define BLOCK 512
#define TABLE (1 << 16)

struct span {
	uint64_t first, end; /* frames */
	uint32_t at;         /* of the first, in counts and flags */
};
struct folio {
	uint64_t head;
	uint32_t number, stamp;
};

static int count_fd, flag_fd;
static uint32_t masks[3]; /* in general, zero page, hugetlb */
static struct span *spans;
static int span_count;
static uint64_t *counts, *flags;
static uint32_t used;
static struct folio *table;
static uint32_t stamp, next_number;

/* kpageflags bit → bit of a shown page; the names stand in observe.ts. */
static const unsigned char SHOWN_BIT[][2] = {
	{ 2, 8 }, { 3, 9 }, { 4, 10 }, { 5, 11 }, { 6, 12 }, { 12, 13 }, { 13, 14 }, { 14, 15 },
	{ 15, 16 }, { 16, 17 }, { 17, 18 }, { 18, 19 }, { 21, 20 }, { 22, 21 }, { 24, 22 },
	{ 33, 23 }, { 34, 24 }, { 0, 25 }, { 8, 26 }, { 9, 27 },
};
#define KPF_HEAD (1ull << 15)
#define KPF_TAIL (1ull << 16)

void frames_open(const char *flag_masks)
{
	if (sscanf(flag_masks, "%u,%u,%u", &masks[0], &masks[1], &masks[2]) != 3)
		fail("flag masks");
	count_fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	flag_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (count_fd < 0 || flag_fd < 0)
		fail("/proc/kpagecount and kpageflags");
	spans = own_memory(sizeof(struct span) * MAX_SPANS);
	counts = own_memory(8 * MAX_FRAMES);
	flags = own_memory(8 * MAX_FRAMES);
	table = own_memory(sizeof(struct folio) * TABLE);
}

void frames_reset(void)
{
	span_count = 0;
	used = 0;
	next_number = 0;
	stamp++;
}

void frames_want(uint64_t pfn)
{
	struct span *last = &spans[span_count - 1];
	if (span_count > 0 && last->end == pfn) {
		last->end++;
		return;
	}
	if (span_count == MAX_SPANS)
		fail("more frames than expected");
	spans[span_count++] = (struct span){ pfn, pfn + 1, 0 };
}

static int by_frame(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void merge_spans(void)
{
	int kept = 0;
	qsort(spans, span_count, sizeof(struct span), by_frame);
	for (int i = 0; i < span_count; i++) {
		if (kept > 0 && spans[i].first <= spans[kept - 1].end + GAP) {
			if (spans[i].end > spans[kept - 1].end)
				spans[kept - 1].end = spans[i].end;
		} else {
			spans[kept++] = spans[i];
		}
	}
	span_count = kept;
}

static void read_words(int fd, uint64_t *to, const struct span *s)
{
	size_t bytes = (s->end - s->first) * 8;
	memset(to, 0, bytes);
	/* Less than asked for where memory ends; the rest stays 0. */
	if (pread(fd, to, bytes, s->first * 8) < 0)
		memset(to, 0, bytes);
}

static void read_span(struct span *s)
{
	if (used + (s->end - s->first) + 2 * BLOCK > MAX_FRAMES)
		fail("more frames than expected");
	s->at = used;
	read_words(flag_fd, flags + used, s);
	int compound = 0;
	for (uint64_t i = 0; i < s->end - s->first; i++)
		compound |= (flags[used + i] & (KPF_HEAD | KPF_TAIL)) != 0;
	if (compound) { /* heads and last tails may lie outside what was asked for */
		s->first &= ~(uint64_t)(BLOCK - 1);
		s->end = (s->end + BLOCK - 1) & ~(uint64_t)(BLOCK - 1);
		read_words(flag_fd, flags + used, s);
	}
	read_words(count_fd, counts + used, s);
	used += s->end - s->first;
}

void frames_read(void)
{
	merge_spans();
	for (int i = 0; i < span_count; i++)
		read_span(&spans[i]);
}

static const struct span *span_of(uint64_t pfn)
{
	int low = 0, high = span_count - 1;
	while (low < high) {
		int mid = (low + high + 1) / 2;
		if (spans[mid].first <= pfn)
			low = mid;
		else
			high = mid - 1;
	}
	/* Widening spans may have disturbed their order. */
	for (int i = 0; pfn < spans[low].first || pfn >= spans[low].end; i++)
		low = i;
	return &spans[low];
}

static uint32_t number_of(uint64_t head)
{
	uint32_t at = (uint32_t)(head * 0x9E3779B1u) & (TABLE - 1);
	while (table[at].stamp == stamp && table[at].head != head)
		at = (at + 1) & (TABLE - 1);
	if (table[at].stamp != stamp)
		table[at] = (struct folio){ head, next_number++, stamp };
	return table[at].number;
}

static int shown_flags(uint64_t kpf)
{
	uint32_t bits = 0;
	for (unsigned i = 0; i < sizeof SHOWN_BIT / sizeof *SHOWN_BIT; i++)
		bits |= (uint32_t)(kpf >> SHOWN_BIT[i][0] & 1) << SHOWN_BIT[i][1];
	/* Bit 34 is PG_anon_exclusive of anonymous memory, something else's of a file. */
	if (!(kpf >> 12 & 1))
		bits &= ~(1u << 24);
	return (int)(bits & masks[kpf >> 24 & 1 ? 1 : kpf >> 17 & 1 ? 2 : 0]);
}

/* The run being collected, as it will be written. */
static struct {
	int32_t page, pages, folio, index, count, bits, order, stride;
} run;
static size_t runs_at;
static int runs;

void frames_begin_pages(struct words *out)
{
	runs_at = out->used;
	runs = 0;
	run.pages = 0;
	put_word(out, 0);
}

static void put_run(struct words *out)
{
	if (run.pages == 0)
		return;
	put_word(out, run.page);
	put_word(out, run.pages);
	put_word(out, run.folio);
	put_word(out, run.index);
	put_word(out, run.count);
	put_word(out, run.bits);
	put_word(out, run.order | run.stride << 8);
	runs++;
}

void frames_end_pages(struct words *out)
{
	put_run(out);
	out->at[runs_at] = runs;
}

/* How the folio and index go on from the run's last page: 0 same frame, 1 next index, 2 next folio. */
static int stride_to(int32_t folio, int32_t index)
{
	int32_t n = run.pages;
	if (folio == run.folio && index == run.index)
		return 0;
	if (folio == run.folio && index == run.index + n)
		return 1;
	return folio == run.folio + n && index == run.index ? 2 : -1;
}

static void locate(uint64_t pfn, uint64_t *head, int *order, uint64_t *kpf, int32_t *count)
{
	static uint64_t last_head, last_end;
	static uint32_t last_stamp;
	const struct span *s = span_of(pfn);
	uint64_t at = s->at + (pfn - s->first);

	*kpf = flags[at];
	*count = (int32_t)counts[at];
	if (last_stamp != stamp || pfn < last_head || pfn >= last_end) {
		uint64_t first = pfn, end = pfn + 1;
		while (first > s->first && flags[s->at + (first - s->first)] & KPF_TAIL)
			first--;
		if (*kpf & (KPF_HEAD | KPF_TAIL))
			while (end < s->end && flags[s->at + (end - s->first)] & KPF_TAIL)
				end++;
		last_head = first;
		last_end = end;
		last_stamp = stamp;
	}
	*head = last_head;
	*order = 63 - __builtin_clzll(last_end - last_head);
}

void frames_put_page(struct words *out, uint32_t page, uint64_t pfn, int bits)
{
	int32_t folio = -1, index = 0, count = 0;
	int order = 0;

	if (pfn) {
		uint64_t head, kpf;
		locate(pfn, &head, &order, &kpf, &count);
		folio = (int32_t)number_of(head);
		index = (int32_t)(pfn - head);
		bits |= shown_flags(kpf);
	}
	if (run.pages > 0 && (int32_t)page == run.page + run.pages && bits == run.bits &&
	    count == run.count && order == run.order) {
		int stride = stride_to(folio, index);
		if (stride >= 0 && (run.pages == 1 || stride == run.stride)) {
			run.stride = stride;
			run.pages++;
			return;
		}
	}
	put_run(out);
	run.page = (int32_t)page;
	run.pages = 1;
	run.folio = folio;
	run.index = index;
	run.count = count;
	run.bits = bits;
	run.order = order;
	run.stride = 0;
}
