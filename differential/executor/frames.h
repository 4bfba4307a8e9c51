/*
 * Frames as /proc/kpagecount and /proc/kpageflags tell them, and pages written
 * as runs. The bits are those of observe.ts.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include "executor.h"

enum shown {
	SHOWN_PRESENT = 1, SHOWN_SWAP = 2, SHOWN_FILE = 4, SHOWN_EXCLUSIVE = 8,
	SHOWN_HUGE_MAPPED = 16, SHOWN_KEPT = 32, SHOWN_GUARD = 64,
};

void frames_open(const char *flag_masks);
void frames_reset(void);
void frames_want(uint64_t pfn);
void frames_read(void);
void frames_begin_pages(struct words *out);
void frames_put_page(struct words *out, uint32_t page, uint64_t pfn, int bits);
void frames_end_pages(struct words *out);

#endif
