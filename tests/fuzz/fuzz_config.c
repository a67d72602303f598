/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a project's configuration: read as a pwemu.json and as a pigweed.json, every target resolved, explained and checked.
 * Entry point of libFuzzer (make fuzz); a unit test replays the corpus through it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/explain.h"
#include "config/project.h"
#include "wire/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_report(void *ctx, const struct err *what)
{
	*(size_t *)ctx += strlen(what->msg);
}

static void on_value(void *ctx, const char *name, const char *text, bool is_set)
{
	*(size_t *)ctx += strlen(name) + strlen(text) + is_set;
}

/* A preset with something in every place; names that begin so exist. */
static int preset(void *ctx, const char *name, Pwemu__V1__Target **out, struct err *err)
{
	(void)ctx;
	if (strncmp(name, "qemu-", 5) != 0)
		return err_set(err, ERR_NOT_FOUND, "no target \"%.100s\"", name);
	Pwemu__V1__Target *target = xmalloc(sizeof(*target));
	pwemu__v1__target__init(target);
	target->name = xstrdup(name);
	target->emulator = xstrdup("qemu");
	target->qemu = xmalloc(sizeof(*target->qemu));
	pwemu__v1__qemu_target__init(target->qemu);
	target->qemu->executable = xstrdup("qemu-system-arm");
	target->qemu->machine = xstrdup("m");
	target->gdb = xcalloc(1, sizeof(char *));
	target->gdb[target->n_gdb++] = xstrdup("gdb");
	target->channels = xcalloc(1, sizeof(*target->channels));
	target->channels[target->n_channels++] = xmalloc(sizeof(Pwemu__V1__ChannelSpec));
	pwemu__v1__channel_spec__init(target->channels[0]);
	target->channels[0]->name = xstrdup("serial0");
	target->channels[0]->id = xstrdup("serial0");
	*out = target;
	return 0;
}

static void resolve(struct project *project, size_t index, const char *runner, size_t *seen)
{
	struct origins *origins = origins_new();
	struct err err = ERR_INIT;
	Pwemu__V1__Target *target;
	if (project_target(project, project_name(project, index), runner, origins, &target, &err) == 0) {
		explain_walk(target, on_value, seen);
		pwemu__v1__target__free_unpacked(target, NULL);
	} else if (!err_is_set(&err)) {
		abort(); /* it failed without saying why */
	}
	origins_free(origins);
}

static void read_as(const char *path, const uint8_t *data, size_t size, bool reports)
{
	size_t seen = 0;
	struct project_ops ops = { .on_warning = on_report, .on_error = reports ? on_report : NULL, .preset = preset, .ctx = &seen };
	struct project *project = NULL;
	struct err err = ERR_INIT;
	if (project_parse(path, (const char *)data, size, !reports, &ops, &project, &err) < 0) {
		if (!err_is_set(&err))
			abort();
		return;
	}
	for (size_t i = 0; project != NULL && i < project_count(project) && i < 100; i++) {
		resolve(project, i, NULL, &seen);
		resolve(project, i, "qemu", &seen);
		resolve(project, i, "renode", &seen);
	}
	if (project != NULL)
		(void)!project_check(project, &err);
	project_free(project);
}

/* In a directory that does not exist, so that nothing else is read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_as("/nonexistent/pwemu.json", data, size, false);
	read_as("/nonexistent/pwemu.json", data, size, true);
	read_as("/nonexistent/x.json", data, size, true);
	return 0;
}
