/* SPDX-License-Identifier: Apache-2.0 */
/* What a user may have at a time, looked at when he starts something more. */
#include <stdio.h>

#include "config/settings.h"
#include "instance/registry_int.h"

struct usage {
	size_t mine, all; /* instances that are not over, nor wait for their turn … */
	size_t queued;    /* … and his that do */
	uint64_t log_bytes;
};

static uint64_t limits_log_bytes(struct instance *inst)
{
	uint64_t bytes = 0;
	if (instance_is_over(inst))
		return instance_disk_bytes(inst);
	for (size_t i = 0; i < inst->channel_count; i++)
		if (inst->channels[i]->hub != NULL)
			bytes += hub_end_offset(inst->channels[i]->hub) - hub_first_offset(inst->channels[i]->hub);
	return bytes;
}

static struct usage limits_usage(const struct registry *registry, uid_t uid, bool with_logs)
{
	struct usage usage = { 0 };
	for (size_t i = 0; i < registry->count; i++) {
		struct instance *inst = registry->rows[i];
		bool is_mine = instance_uid(inst) == uid, is_queued = instance_state(inst) == INST_QUEUED;
		bool is_up = !instance_is_over(inst) && !is_queued;
		usage.all += is_up;
		usage.mine += is_mine && is_up;
		usage.queued += is_mine && is_queued;
		usage.log_bytes += is_mine && with_logs ? limits_log_bytes(inst) : 0;
	}
	return usage;
}

static int limits_reached(const char *key, uint64_t limit, const char *what, const char *advice, struct err *err)
{
	err_set(err, ERR_RESOURCE_EXHAUSTED, "%s, and the limit is %llu (setting %s); %s", what, (unsigned long long)limit, key, advice);
	return err_reason(err, "limit-reached");
}

int limits_check(const struct registry *registry, const struct user *user, bool with_logs, struct err *err)
{
	const struct settings *settings = registry->config.settings;
	char what[96];
	if (settings == NULL || !registry->config.is_system || user->uid == 0)
		return 0;
	struct usage usage = limits_usage(registry, user->uid, with_logs && settings->user_log_bytes > 0);
	if (settings->user_instances > 0 && usage.mine >= settings->user_instances) {
		snprintf(what, sizeof(what), "%s has %zu instances", user->name, usage.mine);
		return limits_reached("user-instances", settings->user_instances, what, "stop one first", err);
	}
	if (settings->user_queued > 0 && usage.queued >= settings->user_queued) {
		snprintf(what, sizeof(what), "%s has %zu instances that wait for their turn", user->name, usage.queued);
		return limits_reached("user-queued", settings->user_queued, what, "try again when some have begun", err);
	}
	if (settings->all_instances > 0 && usage.all >= settings->all_instances) {
		snprintf(what, sizeof(what), "all users have %zu instances together", usage.all);
		return limits_reached("all-instances", settings->all_instances, what, "try again when one has ended", err);
	}
	if (with_logs && settings->user_log_bytes > 0 && usage.log_bytes >= settings->user_log_bytes) {
		snprintf(what, sizeof(what), "the logs of %s take %llu bytes", user->name, (unsigned long long)usage.log_bytes);
		return limits_reached("user-log-bytes", settings->user_log_bytes, what, "remove ended instances with: pwemu rm", err);
	}
	return 0;
}
