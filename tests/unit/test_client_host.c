/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of daemons, as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "client/host.h"
#include "wire/addr.h"
#include "wire/base64.h"

#define PIN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static void test_unix(void **state)
{
	(void)state;
	struct host host;
	struct err err = ERR_INIT;
	static const char *const good[] = { "/run/x.sock", "unix:/run/x.sock" };
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(host_parse(good[i], &host, &err), 0);
		assert_int_equal(host.kind, HOST_UNIX);
		assert_string_equal(host.path, "/run/x.sock");
		host_fini(&host);
		host_fini(&host);
	}
	assert_int_equal(host_parse("unix:x.sock", &host, &err), -1);
	assert_int_equal(host_parse("", &host, &err), -1);
}

static void test_tcp(void **state)
{
	(void)state;
	struct host host;
	struct err err = ERR_INIT;
	assert_int_equal(
		host_parse("tcp://[2001:db8::1]:7777/?ca=" PIN "&token=se.cret&cert=%2fa%20b&key=/k&tls-server-name=lab", &host, &err), 0);
	assert_int_equal(host.kind, HOST_TCP);
	assert_string_equal(host.name, "2001:db8::1");
	assert_int_equal(host.port, 7777);
	assert_true(host.has_pin);
	for (uint8_t i = 0; i < TLS_PIN_BYTES; i++)
		assert_int_equal(host.pin[i], i);
	assert_string_equal(host.token, "se.cret");
	assert_string_equal(host.cert, "/a b");
	assert_string_equal(host.key, "/k");
	assert_string_equal(host.server_name, "lab");
	assert_null(strstr(host.shown, "se.cret"));
	assert_non_null(strstr(host.shown, "token=…&cert="));
	host_fini(&host);
	/* as openssl prints it */
	assert_int_equal(
		host_parse("tcp://h:1?ca=00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F",
			   &host, &err),
		0);
	assert_int_equal(host.pin[31], 31);
	host_fini(&host);
}

static void test_bad(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"tcp://",         "tcp://h",          "tcp://h:",           "tcp://:1",           "tcp://h:0",
		"tcp://h:65536",  "tcp://h:1x",       "tcp://a:b:1",        "tcp://[::1]",        "tcp://[::1]1",
		"tcp://[]:1",     "tcp://h:1?",       "tcp://h:1?token",    "tcp://h:1?token=",   "tcp://h:1?toke=x",
		"tcp://h:1?ca=x", "tcp://h:1?key=/k", "tcp://h:1?cert=%zz", "tcp://h:1?cert=%00", "tcp://h:1?tls=off",
		"ftp://h:1",
	};
	struct host host;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;
		if (host_parse(bad[i], &host, &err) == 0)
			fail_msg("%s is taken", bad[i]);
		assert_non_null(strstr(err.msg, "host '"));
	}
}

/* What is wrong with an address is told without its token. */
static void test_secret(void **state)
{
	(void)state;
	struct host host;
	struct err err = ERR_INIT;
	char url[] = "tcp://h:1?token=secret&ca=" PIN;
	assert_int_equal(host_parse("tcp://h:1?token=secret&nonsense=1", &host, &err), -1);
	assert_null(strstr(err.msg, "secret"));
	host_hide(url);
	assert_string_equal(url, "tcp://h:1?token=xxxxxx&ca=" PIN);
}

static void test_base64(void **state)
{
	(void)state;
	uint8_t bytes[33], back[33];
	char text[BASE64URL_LEN(33) + 1];
	for (size_t len = 0; len <= 33; len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(i * 37 + len);
		base64url_encode(bytes, len, text);
		assert_int_equal(strlen(text), BASE64URL_LEN(len));
		assert_int_equal(base64url_decode(text, back, len), 0);
		assert_memory_equal(bytes, back, len);
	}
	assert_int_equal(base64url_decode("AB", back, 1), -1); /* bits that mean nothing */
	assert_int_equal(base64url_decode("A+", back, 1), -1);
	assert_int_equal(base64url_decode("AAA", back, 1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unix),   cmocka_unit_test(test_tcp),    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_secret), cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
