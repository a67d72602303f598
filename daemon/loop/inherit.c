/* SPDX-License-Identifier: Apache-2.0 */
/* Only these very children are waited for: the exit status of those that we start ourselves belongs to who started them. */
#include "loop/inherit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop.h"
#include "wire/mem.h"

struct inherit {
	struct loop_watch *watch;
	pid_t *children;
	size_t count;
};

static void inherit_reap(void *ctx)
{
	struct inherit *inherit = ctx;
	for (size_t i = inherit->count; i-- > 0;)
		if (waitpid(inherit->children[i], NULL, WNOHANG) != 0) /* ended, or somebody else has waited for it */
			inherit->children[i] = inherit->children[--inherit->count];
}

static void inherit_list(struct inherit *inherit)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *file = fopen(path, "re");
	char number[32];
	size_t len = 0;
	for (int c; file != NULL && (c = fgetc(file)) != EOF;) {
		if (c != ' ' && len + 1 < sizeof(number)) {
			number[len++] = (char)c;
			continue;
		}
		number[len] = '\0';
		len = 0;
		inherit->children = xrealloc(inherit->children, inherit->count + 1, sizeof(*inherit->children));
		inherit->children[inherit->count++] = (pid_t)strtol(number, NULL, 10);
	}
	if (file != NULL)
		fclose(file);
}

struct inherit *inherit_children(struct event_base *base)
{
	struct inherit *inherit = xcalloc(1, sizeof(*inherit));
	inherit_list(inherit);
	inherit_reap(inherit);
	if (inherit->count == 0) {
		inherit_free(inherit);
		return NULL;
	}
	inherit->watch = loop_watch_signal(base, SIGCHLD, inherit_reap, inherit);
	inherit_reap(inherit); /* who ended before the signal was watched */
	return inherit;
}

void inherit_free(struct inherit *inherit)
{
	if (inherit == NULL)
		return;
	loop_watch_free(inherit->watch);
	free(inherit->children);
	free(inherit);
}
