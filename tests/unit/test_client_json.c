/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer, and the widths of a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tojson.h"
#include "wire/utf8.h"
#include "pwemu/v1/channels.pb-c.h"
#include "pwemu/v1/instances.pb-c.h"

static char *written;
static size_t written_len;

static char *render(const ProtobufCMessage *message)
{
	free(written);
	FILE *to = open_memstream(&written, &written_len);
	tojson_message(to, message);
	fclose(to);
	return written;
}

static char *render_compact(const ProtobufCMessage *message)
{
	free(written);
	FILE *to = open_memstream(&written, &written_len);
	tojson_compact(to, message);
	fclose(to);
	return written;
}

static char *render_string(const char *text, size_t len)
{
	free(written);
	FILE *to = open_memstream(&written, &written_len);
	tojson_string(to, text, len);
	fclose(to);
	return written;
}

static void test_string(void **state)
{
	(void)state;
	assert_string_equal(render_string("a\"b\\c", 5), "\"a\\\"b\\\\c\"");
	assert_string_equal(render_string("\n\t\x01\x7f", 4), "\"\\n\\u0009\\u0001\\u007f\"");
	assert_string_equal(render_string("\xc3\xa4\xe2\x82\xac", 5), "\"\xc3\xa4\xe2\x82\xac\"");
	assert_string_equal(render_string("\xff", 1), "\"\\udcff\"");
	assert_string_equal(render_string("\xc3", 1), "\"\\udcc3\"");                         /* cut off */
	assert_string_equal(render_string("\xc0\xaf", 2), "\"\\udcc0\\udcaf\"");              /* overlong */
	assert_string_equal(render_string("\xed\xa0\x80x", 4), "\"\\udced\\udca0\\udc80x\""); /* surrogate */
	assert_string_equal(render_string("a\0b", 3), "\"a\\u0000b\"");
}

static void test_compact(void **state)
{
	(void)state;
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	Pwemu__V1__Event event = PWEMU__V1__EVENT__INIT;
	event.kind = PWEMU__V1__EVENT_KIND__EVENT_KIND_END;
	event.reason = "a\nb";
	event.end = &end;
	const char *text = render_compact(&event.base);
	assert_null(strchr(text, '\n'));
	assert_non_null(strstr(text, "{\"seq\": 0, \"time_ns\": 0, \"kind\": \"end\", "));
	assert_non_null(strstr(text, "\"end\": {\"cause\": \"unspecified\", "));
	json_object *parsed = json_tokener_parse(text);
	assert_string_equal(json_object_get_string(json_object_object_get(parsed, "reason")), "a\nb");
	json_object_put(parsed);
}

static void test_defaults_are_shown(void **state)
{
	(void)state;
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_FAULT;
	end.code = -1;
	end.time_ns = UINT64_MAX;
	assert_string_equal(render(&end.base), "{\n"
					       "  \"cause\": \"guest-fault\",\n"
					       "  \"code\": -1,\n"
					       "  \"signal\": 0,\n"
					       "  \"exec_errno\": 0,\n"
					       "  \"message\": \"\",\n"
					       "  \"time_ns\": 18446744073709551615,\n"
					       "  \"boot\": 0,\n"
					       "  \"details\": \"\",\n"
					       "  \"began_ns\": 0,\n"
					       "  \"tail_unknown\": false\n"
					       "}\n");
}

static void test_enum_words(void **state)
{
	(void)state;
	assert_string_equal(tojson_word(&pwemu__v1__state__descriptor, 2), "running");
	assert_string_equal(tojson_word(&pwemu__v1__end_cause__descriptor, 5), "bad-config");
	assert_string_equal(tojson_word(&pwemu__v1__end_cause__descriptor, 99), "unknown-99");
}

static void test_oneof_and_bytes(void **state)
{
	(void)state;
	static uint8_t bytes[] = { 0xff, 0x00, 'a', 'b' };
	Pwemu__V1__AttachRequest request = PWEMU__V1__ATTACH_REQUEST__INIT;
	assert_string_equal(render(&request.base), "{\n  \"more\": false\n}\n");
	request.kind_case = PWEMU__V1__ATTACH_REQUEST__KIND_INPUT;
	request.input.data = bytes;
	static const char *const want[] = { "", "/w==", "/wA=", "/wBh", "/wBhYg==" };
	for (size_t len = 0; len <= 4; len++) {
		char text[64];
		request.input.len = len;
		snprintf(text, sizeof(text), "{\n  \"input\": \"%s\",\n  \"more\": false\n}\n", want[len]);
		assert_string_equal(render(&request.base), text);
	}
}

static void test_nested_and_repeated(void **state)
{
	(void)state;
	Pwemu__V1__Instance inst = PWEMU__V1__INSTANCE__INIT;
	Pwemu__V1__Channel channel = PWEMU__V1__CHANNEL__INIT, *channels[] = { &channel, &channel };
	char *images[] = { "/a", "/b\"" };
	channel.name = "serial0";
	channel.offset = 1ULL << 40;
	inst.n_channels = 2;
	inst.channels = channels;
	inst.n_images = 2;
	inst.images = images;
	json_object *parsed = json_tokener_parse(render(&inst.base));
	assert_non_null(parsed);
	json_object *list = json_object_object_get(parsed, "channels");
	assert_int_equal(json_object_array_length(list), 2);
	json_object *first = json_object_array_get_idx(list, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(first, "name")), "serial0");
	assert_true(json_object_get_int64(json_object_object_get(first, "offset")) == 1LL << 40);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(json_object_object_get(parsed, "images"), 1)), "/b\"");
	assert_true(json_object_object_get_ex(parsed, "end", &list));
	assert_null(list); /* an absent message is null */
	assert_int_equal(json_object_object_length(parsed), (int)inst.base.descriptor->n_fields);
	json_object_put(parsed);
}

static void test_array(void **state)
{
	(void)state;
	Pwemu__V1__GetRequest request = PWEMU__V1__GET_REQUEST__INIT;
	const ProtobufCMessage *both[] = { &request.base, &request.base };
	free(written);
	FILE *to = open_memstream(&written, &written_len);
	tojson_array(to, both, 0);
	tojson_array(to, both, 2);
	fclose(to);
	assert_string_equal(written, "[]\n[\n  {\n    \"instance\": null\n  },\n  {\n    \"instance\": null\n  }\n]\n");
}

static int free_written(void **state)
{
	(void)state;
	free(written);
	return 0;
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(utf8_width("abc"), 3);
	assert_int_equal(utf8_width("\xc3\xa4"), 1);
	assert_int_equal(utf8_width("a\xcc\x88"), 1);
	assert_int_equal(utf8_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
	assert_int_equal(utf8_width("\xff\xfe"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_string),     cmocka_unit_test(test_compact),         cmocka_unit_test(test_defaults_are_shown),
		cmocka_unit_test(test_enum_words), cmocka_unit_test(test_oneof_and_bytes), cmocka_unit_test(test_nested_and_repeated),
		cmocka_unit_test(test_array),      cmocka_unit_test(test_width),
	};
	return cmocka_run_group_tests(tests, NULL, free_written);
}
