/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as each message that a server may answer with; the first byte says which. Whatever is in its names and reasons, what is shown
 * of it is lines of text: nothing that a terminal would obey.
 */
#include "client/call.h"
#include "client/cmd_status.c"
#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "wire/utf8.h"

static void must_be_harmless(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t point;
		size_t n = utf8_decode(text + i, len - i, &point);
		if (n == 0 || (point < 32 && point != '\n') || (point >= 127 && point < 160))
			abort();
		i += n;
	}
}

static void show_json(const ProtobufCMessage *message, void (*write)(FILE *to, const ProtobufCMessage *message))
{
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	write(to, message);
	fclose(to);
	must_be_harmless(text, len);
	free(text);
}

static void show_status(const Pwemu__V1__Instance *inst)
{
	FILE *terminal = stdout;
	char *text;
	size_t len;
	stdout = open_memstream(&text, &len);
	print_status(inst);
	fclose(stdout);
	stdout = terminal;
	must_be_harmless(text, len);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rpc_client_method *method = call_method((enum call)fuzz_choose(&data, &size, CALL_COUNT));
	ProtobufCMessage *reply = msg_unpack(method->reply, data, size);
	if (reply == NULL)
		return 0;
	show_json(reply, tojson_message);
	show_json(reply, tojson_compact);
	if (method->reply == &pwemu__v1__instance__descriptor)
		show_status((const Pwemu__V1__Instance *)reply);
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}
