/* SPDX-License-Identifier: Apache-2.0 */
#include "client/signals.h"

#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "client/term.h"
#include "wire/mem.h"

static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGTSTP };
#define COUNT (sizeof(numbers) / sizeof(numbers[0]))

struct signals {
	struct event *events[COUNT];
	void (*on_signal)(void *ctx, int number);
	void *ctx;
};

static void on_event(evutil_socket_t number, short what, void *ctx)
{
	(void)what;
	struct signals *signals = ctx;
	if (number == SIGTSTP)
		term_suspend();
	else
		signals->on_signal(signals->ctx, (int)number);
}

static bool is_ignored(int number)
{
	struct sigaction action;
	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

struct signals *signals_new(struct event_base *base, void (*on_signal)(void *ctx, int number), void *ctx)
{
	struct signals *signals = xcalloc(1, sizeof(*signals));
	signals->on_signal = on_signal;
	signals->ctx = ctx;
	for (size_t i = 0; i < COUNT; i++) {
		if (is_ignored(numbers[i]))
			continue;
		signals->events[i] = evsignal_new(base, numbers[i], on_event, signals);
		event_add(signals->events[i], NULL);
	}
	return signals;
}

void signals_free(struct signals *signals)
{
	if (signals == NULL)
		return;
	for (size_t i = 0; i < COUNT; i++)
		if (signals->events[i] != NULL)
			event_free(signals->events[i]);
	free(signals);
}
