/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a daemon finds of the one before: a record (as it is, or with the header that its content would have had to have),
 * the file beside it, and how a shim says that its program began and ended. The first byte says which.
 */
#include <inttypes.h>

#include "base/pb.h"
#include "base/user.h"
#include "instance/priv.h"
#include "instance/store_state.h"
#include "loop/loop.h"
#include "loop/proc_record.h"
#include "tests/fuzz/fuzz.h"
#include "wire/mem.h"

static void put_record(const uint8_t *body, size_t len)
{
	char *text = xmalloc(len + 100);
	int head = snprintf(text, 100, "pwemu-record 1 %zu %016" PRIx64 "\n", len, hash_bytes(body, len));
	if (len > 0)
		memcpy(text + head, body, len);
	fuzz_put("record", text, (size_t)head + len);
	free(text);
}

static uint64_t put_good_record(void)
{
	Pwemu__V1__Record record = PWEMU__V1__RECORD__INIT;
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	Pwemu__V1__StartRequest start = PWEMU__V1__START_REQUEST__INIT;
	uint8_t body[512];
	record.format = 2;
	record.id = "abc123", record.name = "n", record.working_dir = "/nonexistent/w", record.state = "running";
	record.target = &target, record.start = &start;
	size_t len = pwemu__v1__record__pack(&record, body);
	put_record(body, len);
	return hash_bytes(body, len);
}

static void put_state(uint64_t hash, const uint8_t *body, size_t len)
{
	char *text = xmalloc(len + 100);
	int head = snprintf(text, 100, "pwemu-state 1 %016" PRIx64 " %zu %016" PRIx64 "\n", hash, len, hash_bytes(body, len));
	if (len > 0)
		memcpy(text + head, body, len);
	fuzz_put("record.state", text, (size_t)head + len);
	free(text);
}

/* Up to what it knows; its processes and files are another matter. */
static void apply(const Pwemu__V1__Record *record)
{
	static struct event_base *base;
	if (base == NULL)
		base = loop_new();
	struct instance_env env = { .base = base, .shim = "/nonexistent", .state_dir = fuzz_dir(), .run_dir = fuzz_dir(), .host_boot = "" };
	struct user user;
	user_init(&user, record->uid, record->gid, record->groups, record->n_groups, record->owner);
	struct instance_identity identity = { .id = record->id,
					      .name = record->name,
					      .project = record->project,
					      .working_dir = record->working_dir,
					      .user = &user,
					      .machine = record->machine,
					      .host = record->host };
	struct instance *inst = instance_new(&env, &identity);
	user_fini(&user);
	Pwemu__V1__Instance message;
	store_apply(inst, record);
	instance_describe(inst, &message);
	uint8_t *bytes = xmalloc(pwemu__v1__instance__get_packed_size(&message) + 1);
	pwemu__v1__instance__pack(&message, bytes);
	free(bytes);
	instance_describe_fini(&message);
	instance_free(inst);
}

static void load(void)
{
	struct err err = ERR_INIT;
	Pwemu__V1__Record *record = store_load(fuzz_path("record"), &err);
	if (record == NULL)
		fuzz_must_say(-1, &err);
	else
		apply(record);
	PB_FREE(record);
}

static void parse(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct proc_run run = { 0 };
	struct proc_end end;
	fuzz_must_say(proc_run_parse((const char *)data, size, &run, &err), &err);
	err = (struct err)ERR_INIT;
	fuzz_must_say(proc_end_parse((const char *)data, size, &run, &end, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned how = fuzz_choose(&data, &size, 5);
	if (how == 4) {
		parse(data, size);
		return 0;
	}
	fuzz_put("record.state", "", 0);
	if (how == 0)
		fuzz_put("record", data, size);
	else if (how == 1)
		put_record(data, size);
	else if (how == 2)
		put_state(put_good_record(), data, size);
	else
		(void)put_good_record(), fuzz_put("record.state", data, size);
	load();
	return 0;
}
