/* SPDX-License-Identifier: Apache-2.0 */
/* The debugger's breakpoints, for stubs that do not forget them by themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gdb_session_int.h"
#include "wire/mem.h"

static void breaks_remove(struct gdb_session *session, const char *what)
{
	for (struct session_break **at = &session->breaks; *at != NULL; at = &(*at)->next) {
		struct session_break *found = *at;
		if (strcmp(found->what, what) != 0)
			continue;
		*at = found->next;
		free(found);
		return;
	}
}

static void breaks_add(struct gdb_session *session, const char *what)
{
	struct session_break *entry = xmalloc(sizeof(*entry) + strlen(what) + 1);
	memcpy(entry->what, what, strlen(what) + 1);
	entry->next = session->breaks;
	session->breaks = entry;
}

/* Kind, address and length, without the conditions that may follow. */
void session_note_break(struct gdb_session *session, const struct session_packet *packet)
{
	if (!session->dialect->keeps_breakpoints || (packet->data[0] != 'Z' && packet->data[0] != 'z'))
		return;
	char what[64];
	size_t len = strcspn(packet->data + 1, ";");
	snprintf(what, sizeof(what), "%.*s", (int)(len < sizeof(what) ? len : 0), packet->data + 1);
	breaks_remove(session, what);
	if (packet->data[0] == 'Z' && what[0] != '\0')
		breaks_add(session, what);
}

bool session_remove_break(struct gdb_session *session)
{
	struct session_break *first = session->breaks;
	char packet[72];
	if (first == NULL)
		return false;
	int len = snprintf(packet, sizeof(packet), "z%s", first->what);
	session->breaks = first->next;
	free(first);
	session_ask(session, ASK_BREAK, packet, (size_t)len);
	return true;
}

void session_forget_breaks(struct gdb_session *session)
{
	while (session->breaks != NULL) {
		struct session_break *first = session->breaks;
		session->breaks = first->next;
		free(first);
	}
}
