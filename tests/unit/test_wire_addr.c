/* SPDX-License-Identifier: Apache-2.0 */
/* UNIX socket addresses: any length, exact modes, stale sockets. And the look into the descriptor set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/addr.h"
#include "wire/descset.h"
#include "wire/mem.h"

extern const char wire_descriptors[], wire_descriptors_end[];

static char *dir_new(void)
{
	char *dir = xstrdup("/tmp/wire-addr-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static void dir_free(char *dir)
{
	assert_int_equal(rmdir(dir), 0);
	free(dir);
}

static void assert_fd_flags(int fd)
{
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

static unsigned fd_count(void)
{
	unsigned count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Paths around the limit of sockaddr_un, and far beyond it. */
static void test_lengths(void **state)
{
	static const size_t lengths[] = { 30, 106, 107, 108, 109, 250 };
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		unsigned fds = fd_count();
		char *dir = dir_new();
		char *fill = xcalloc(1, 512);
		int server, client, accepted;
		memset(fill, 'd', lengths[i] - strlen(dir) - 3);
		char *deep = xasprintf("%s/%s", dir, fill);
		assert_int_equal(mkdir(deep, 0700), 0);
		char *path = xasprintf("%s/s", deep);
		assert_int_equal(strlen(path), lengths[i]);
		assert_int_equal(addr_listen_unix(path, 0600, &server, &err), 0);
		assert_int_equal(addr_connect_unix(path, &client, &err), 0);
		accepted = accept(server, NULL, NULL);
		assert_true(accepted >= 0);
		assert_fd_flags(server);
		assert_fd_flags(client);
		close(accepted);
		close(client);
		close(server);
		assert_int_equal(fd_count(), fds);
		assert_int_equal(addr_unlink_stale(path, &err), 0);
		assert_int_equal(rmdir(deep), 0);
		dir_free(dir);
		free(deep);
		free(path);
		free(fill);
	}
}

static void test_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0666, 0660 };
	struct err err = ERR_INIT;
	mode_t old = umask(077);
	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		char *dir = dir_new();
		char *path = xasprintf("%s/s", dir);
		struct stat st;
		int fd;
		assert_int_equal(addr_listen_unix(path, modes[i], &fd, &err), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, modes[i]);
		close(fd);
		unlink(path);
		dir_free(dir);
		free(path);
	}
	umask(old);
}

static void test_stale(void **state)
{
	struct err err = ERR_INIT;
	char *dir = dir_new();
	char *path = xasprintf("%s/s", dir);
	int fd, other;
	(void)state;
	assert_int_equal(addr_unlink_stale(path, &err), 0); /* nothing there */
	assert_int_equal(addr_connect_unix(path, &other, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(addr_listen_unix(path, 0600, &fd, &err), 0);
	assert_int_equal(addr_unlink_stale(path, &err), -1); /* somebody listens */
	assert_int_equal(err.code, ERR_ALREADY_EXISTS);
	assert_int_equal(addr_listen_unix(path, 0600, &other, &err), -1);
	assert_int_equal(err.code, ERR_ALREADY_EXISTS);
	close(fd);
	assert_int_equal(addr_listen_unix(path, 0600, &other, &err), -1); /* not silently replaced */
	assert_int_equal(addr_connect_unix(path, &other, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(err.sys, ECONNREFUSED);
	assert_int_equal(addr_unlink_stale(path, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(addr_unlink_stale(path, &err), -1); /* no socket */
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	dir_free(dir);
	free(path);
}

static void test_bad_paths(void **state)
{
	struct err err = ERR_INIT;
	char name[300];
	int fd;
	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(addr_connect_unix("", &fd, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	assert_int_equal(addr_connect_unix(name, &fd, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	memcpy(name, "/nowhere/", 9);
	assert_int_equal(addr_listen_unix(name, 0600, &fd, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(addr_listen_unix("/nowhere/s", 0600, &fd, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

/* ---------------------------------------------------------------- descset */

static size_t set_len(void)
{
	return (size_t)(wire_descriptors_end - wire_descriptors);
}

static void test_symbols(void **state)
{
	static const struct {
		const char *symbol;
		bool is_there;
	} cases[] = {
		{ "grpc.health.v1.Health", true },
		{ "grpc.health.v1.Health.Check", true },
		{ "grpc.health.v1.HealthCheckRequest", true },
		{ "grpc.health.v1.HealthCheckRequest.service", true },
		{ "grpc.health.v1.HealthCheckResponse.ServingStatus", true },
		{ "grpc.health.v1.HealthCheckResponse.SERVING", true }, /* values stand beside their enum */
		{ "grpc.reflection.v1.ServerReflectionRequest.message_request", true },
		{ "grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING", false },
		{ "grpc.health.v1", false },
		{ "grpc.health.v1.", false },
		{ "grpc.health.v1.Healt", false },
		{ "grpc.health.v1.Health.", false },
		{ "grpc.health.v1.Health.Check.x", false },
		{ "Health", false },
		{ ".grpc.health.v1.Health", false },
		{ "", false },
	};
	struct descset_slice file;
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (descset_find_symbol(wire_descriptors, set_len(), cases[i].symbol, &file) != cases[i].is_there)
			fail_msg("%s", cases[i].symbol);
}

static void test_files_and_methods(void **state)
{
	struct descset_slice file, files[DESCSET_CLOSURE_MAX];
	bool client, server;
	(void)state;
	assert_true(descset_find_file(wire_descriptors, set_len(), "pwemu/v1/channels.proto", &file));
	assert_true(descset_closure(wire_descriptors, set_len(), &file, files) >= 2);
	assert_true(files[0].data == file.data);
	assert_false(descset_find_file(wire_descriptors, set_len(), "channels.proto", &file));
	assert_true(descset_method(wire_descriptors, set_len(), "/grpc.health.v1.Health/Watch", &client, &server));
	assert_true(!client && server);
	assert_true(descset_method(wire_descriptors, set_len(), "/pwemu.v1.Channels/Attach", &client, &server));
	assert_true(client && server);
	assert_false(descset_method(wire_descriptors, set_len(), "/grpc.health.v1.Health/Nothing", &client, &server));
	assert_false(descset_method(wire_descriptors, set_len(), "nothing", &client, &server));
	assert_false(descset_method(wire_descriptors, set_len(), "/", &client, &server));
}

/* A set cut anywhere is only a smaller set. */
static void test_cut_set(void **state)
{
	struct descset_slice file, files[DESCSET_CLOSURE_MAX];
	size_t len = set_len() < 6000 ? set_len() : 6000;
	(void)state;
	for (size_t cut = 0; cut < len; cut += 3) {
		uint8_t *copy = xmalloc(cut);
		memcpy(copy, wire_descriptors, cut);
		descset_find_symbol(copy, cut, "grpc.health.v1.Health.Nothing", &file);
		if (descset_find_file(copy, cut, "pwemu/v1/channels.proto", &file))
			descset_closure(copy, cut, &file, files);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),   cmocka_unit_test(test_mode),    cmocka_unit_test(test_stale),
		cmocka_unit_test(test_bad_paths), cmocka_unit_test(test_symbols), cmocka_unit_test(test_files_and_methods),
		cmocka_unit_test(test_cut_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
