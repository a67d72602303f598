/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/journal.h"

#include <stdlib.h>

#include "loop/timer.h"
#include "wire/mem.h"

struct journal {
	uint64_t last;
};

struct journal *journal_open(struct event_base *base, const char *state_dir)
{
	(void)base, (void)state_dir;
	return xcalloc(1, sizeof(struct journal));
}

void journal_free(struct journal *journal)
{
	free(journal);
}

void journal_add(struct journal *journal, Pwemu__V1__Event *event)
{
	if (journal == NULL)
		return;
	event->seq = ++journal->last;
	event->time_ns = clock_wall_ns();
}

uint64_t journal_last(const struct journal *journal)
{
	return journal != NULL ? journal->last : 0;
}
