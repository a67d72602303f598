/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at an instance's endpoints and sockets, and who may be: what its owner shares. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "instance/priv.h"
#include "wire/mem.h"

/* ---------------------------------------------------------------- who is there */

static void party_remove(struct instance_channel *channel, size_t i)
{
	free(channel->parties[i].who);
	memmove(&channel->parties[i], &channel->parties[i + 1], (--channel->party_count - i) * sizeof(*channel->parties));
}

void parties_note(struct instance_channel *channel, bool attached, const char *who)
{
	if (attached) {
		channel->parties = xrealloc(channel->parties, channel->party_count + 1, sizeof(*channel->parties));
		channel->parties[channel->party_count++] = (struct party){ xstrdup(who), clock_wall_ns() };
		return;
	}
	for (size_t i = 0; i < channel->party_count; i++) {
		if (strcmp(channel->parties[i].who, who) != 0)
			continue;
		party_remove(channel, i);
		return;
	}
}

void parties_clear(struct instance_channel *channel)
{
	while (channel->party_count > 0)
		party_remove(channel, channel->party_count - 1);
	free(channel->parties);
	channel->parties = NULL;
}

const char *instance_writer(const struct instance *inst, const char *name)
{
	const struct instance_channel *channel = channels_find(inst, name);
	if (channel == NULL)
		return NULL;
	if (channel->is_socket)
		return channel->bridge != NULL ? bridge_holder(channel->bridge) : NULL;
	return channel->hub != NULL ? writer_holder(channel->hub) : NULL;
}

static Pwemu__V1__Party *party_message(const struct instance_channel *channel, const struct party *party)
{
	static const char *const kinds[] = { [ENDPOINT_NONE] = "attach", [ENDPOINT_TCP] = "tcp", [ENDPOINT_PTY] = "pty" };
	const char *writer = instance_writer(channel->inst, channel->name);
	bool is_call = strncmp(party->who, "client", 6) == 0;
	Pwemu__V1__Party *out = xmalloc(sizeof(*out));
	pwemu__v1__party__init(out);
	out->who = party->who;
	out->channel = (char *)(uintptr_t)channel->name;
	out->kind = (char *)(uintptr_t)kinds[is_call ? ENDPOINT_NONE : channel->endpoint_kind];
	out->writer = writer != NULL && strcmp(writer, party->who) == 0;
	out->since_ns = party->since_ns;
	return out;
}

size_t instance_parties(const struct instance *inst, Pwemu__V1__Party ***rows)
{
	size_t count = 0;
	*rows = NULL;
	for (size_t i = 0; i < inst->channel_count; i++) {
		const struct instance_channel *channel = inst->channels[i];
		*rows = xrealloc(*rows, count + channel->party_count + 1, sizeof(**rows));
		for (size_t k = 0; k < channel->party_count; k++)
			(*rows)[count++] = party_message(channel, &channel->parties[k]);
	}
	return count;
}

void parties_free(Pwemu__V1__Party **rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(rows[i]);
	free(rows);
}

/* ---------------------------------------------------------------- who may be there */

bool parties_may_connect(void *ctx, uid_t uid)
{
	const struct instance_channel *channel = ctx;
	enum right needed = channel->is_socket ? RIGHT_CONTROL : RIGHT_WRITE; /* what comes in is typed */
	return shares_right_of_uid(&channel->inst->shares, uid) >= needed;
}

void instance_review_parties(struct instance *inst)
{
	for (size_t i = 0; i < inst->channel_count; i++) {
		struct instance_channel *channel = inst->channels[i];
		if (channel->endpoint != NULL)
			endpoint_review(channel->endpoint);
		if (channel->bridge != NULL)
			bridge_review(channel->bridge);
	}
}

static void share_tell(struct instance *inst, const struct share *who, const char *actor)
{
	char text[160];
	const char *kind = who != NULL && who->is_group ? "group " : "";
	if (who == NULL)
		snprintf(text, sizeof(text), "shared with nobody any more");
	else if (who->right == RIGHT_NONE)
		snprintf(text, sizeof(text), "not shared with %s%s any more", kind, who->name);
	else
		snprintf(text, sizeof(text), "shared with %s%s: %s", kind, who->name, right_name(who->right));
	log_info(&inst->scope, "%s, by %s", text, actor);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_SHARE, NULL, actor, text);
}

int instance_share(struct instance *inst, const struct share *who, const char *actor, struct err *err)
{
	if (who == NULL) {
		shares_fini(&inst->shares);
	} else if (who->right == RIGHT_NONE && !shares_remove(&inst->shares, who->is_group, who->id)) {
		err_set(err, ERR_NOT_FOUND, "instance \"%s\" is not shared with %s \"%s\"; `pwemu status -i %s` shows with whom",
			inst->name, who->is_group ? "group" : "user", who->name, inst->name);
		return err_reason(err, "not-shared");
	} else if (who->right != RIGHT_NONE && !shares_put(&inst->shares, who)) {
		err_set(err, ERR_RESOURCE_EXHAUSTED, "instance \"%s\" is shared with %d users and groups already; share it with a group",
			inst->name, SHARES_MAX);
		return err_reason(err, "limit-shares");
	}
	share_tell(inst, who, actor);
	store_save(inst);
	instance_changed(inst);
	return 0;
}
