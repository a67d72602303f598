/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what QEMU says on its QMP socket, while questions are asked; the first byte says in pieces of which size. */
#include <json-c/json.h>

#include "driver/qmp.h"
#include "tests/fuzz/fuzz.h"

struct told {
	struct qmp *qmp;
	size_t sum;
	unsigned asked;
};

static void on_reply(void *ctx, struct json_object *value, const struct err *err)
{
	struct told *told = ctx;
	if (err != NULL)
		fuzz_must_say(-1, err);
	else
		told->sum += strlen(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
	if (err == NULL && told->asked++ < 50)
		qmp_execute(told->qmp, "query-status", NULL, 60000, on_reply, told);
}

static void on_greeting(void *ctx, const char *version)
{
	struct told *told = ctx;
	told->sum += strlen(version);
	static const struct qmp_ask asks[2] = { { "qom-list", "{\"path\": \"/machine\"}", 60000, on_reply },
						{ "qom-get", "{\"path\": \"/machine\", \"property\": \"type\"}", 60000, on_reply } };
	if (told->asked++ < 50)
		qmp_execute_pair(told->qmp, asks, told);
}

static void on_event(void *ctx, const char *name, struct json_object *data)
{
	((struct told *)ctx)->sum += strlen(name) + strlen(qmp_string(data, "reason")) + qmp_bool(data, "guest");
}

static void on_closed(void *ctx, const struct err *err)
{
	fuzz_must_say(-1, err);
	((struct told *)ctx)->sum++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct qmp_ops ops = { on_greeting, on_event, on_closed };
	static struct event_base *base;
	struct told told = { 0 };
	int pair[2];
	if (base == NULL)
		base = event_base_new();
	size_t piece = 1 + 16 * (size_t)fuzz_choose(&data, &size, 256);
	fuzz_pair(pair);
	told.qmp = qmp_new(base, pair[0], &ops, &told);
	qmp_execute(told.qmp, "qmp_capabilities", NULL, 60000, on_reply, &told);
	for (size_t at = 0; at < size; at += piece) {
		if (write(pair[1], data + at, size - at < piece ? size - at : piece) < 0)
			break;
		fuzz_turns(base, 2);
		fuzz_drain(pair[1]);
	}
	close(pair[1]);
	fuzz_turns(base, 3);
	qmp_free(told.qmp);
	return 0;
}
