/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/conf.h"
#include "client/image.h"
#include "client/origin.h"
#include "client/say.h"
#include "wire/mem.h"

/* An absolute path without a slash at its end, so that one directory has one spelling. */
static char *clean_path(const char *path)
{
	char *real = realpath(path, NULL);
	return real != NULL ? real : path_absolute(path);
}

char *ref_working_dir(const struct cli *cli)
{
	const char *dir = opt_text(&cli->opts, "working-dir");
	if (dir == NULL)
		dir = getenv("PW_EMU_WDIR");
	return dir != NULL && dir[0] != '\0' ? clean_path(dir) : NULL;
}

char *ref_project_working_dir(const char *name)
{
	const char *root = getenv("PW_PROJECT_ROOT");
	if (root == NULL || root[0] == '\0')
		return NULL;
	char *clean = clean_path(root);
	char *dir = name != NULL ? xasprintf("%s/.pw_emu/%s", clean, name) : xasprintf("%s/.pw_emu", clean);
	free(clean);
	return dir;
}

unsigned ref_count(const struct cli *cli)
{
	unsigned count = opt_count(&cli->opts, "instance");
	return count > 0 ? count : 1;
}

void ref_init(struct ref *ref, const struct cli *cli, unsigned nth)
{
	const char *name = opt_nth(&cli->opts, "instance", nth);
	pwemu__v1__instance_ref__init(&ref->message);
	ref->project = conf_project_dir();
	ref->working_dir = name == NULL || opt_has(&cli->opts, "working-dir") ? ref_working_dir(cli) : NULL;
	ref->message.project = ref->project;
	ref->message.origin = origin_of(&cli->conn);
	if (ref->working_dir != NULL)
		ref->message.working_dir = ref->working_dir;
	if (name != NULL)
		ref->message.name = (char *)(uintptr_t)name;
}

void ref_fini(struct ref *ref)
{
	free(ref->project);
	free(ref->working_dir);
}

static void note_other_project(const struct ref *ref, const Pwemu__V1__Instance *found)
{
	bool by_name = ref->working_dir == NULL && strcmp(ref->message.name, found->id) != 0;
	if (!by_name || strcmp(found->project, ref->project) == 0)
		return;
	if (found->project[0] != '\0')
		say_note("using %s (%s) of the project %s", found->name, found->id, found->project);
	else
		say_note("using %s (%s), which belongs to no project", found->name, found->id);
}

int ref_get(struct cli *cli, unsigned nth, Pwemu__V1__Instance **out, struct err *err)
{
	struct ref ref;
	ref_init(&ref, cli, nth);
	Pwemu__V1__GetRequest request = PWEMU__V1__GET_REQUEST__INIT;
	request.instance = &ref.message;
	ProtobufCMessage *reply = NULL;
	int result = call_again(&cli->conn, CALL_INSTANCES_GET, &request.base, &reply, err);
	if (result == 0) {
		*out = (Pwemu__V1__Instance *)reply;
		note_other_project(&ref, *out);
	}
	ref_fini(&ref);
	return result;
}

int ref_call(struct cli *cli, enum call call, const ProtobufCMessage *request, Pwemu__V1__InstanceRef **instance, ProtobufCMessage **reply)
{
	struct err err = ERR_INIT;
	struct ref ref;
	if (cli_connect(cli, CONN_NO_CHECK) < 0)
		return EXIT_REFUSED;
	ref_init(&ref, cli, 0);
	*instance = &ref.message;
	int rc = call_repeatable(&cli->conn, call, request, reply, &err);
	*instance = NULL;
	ref_fini(&ref);
	return rc < 0 ? cli_refused(&err) : EXIT_DONE;
}
