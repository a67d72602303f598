/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of Renode and the commands that make a board, word by word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/renode_int.h"

#define CHANNELS_MAX 40
#define LOG          "logFile @/run/d/renode/renode.log true\n"
#define BOARD        LOG "mach create \"board\"\nmachine LoadPlatformDescription @platforms/b.repl\n"

struct box {
	Pwemu__V1__Target target;
	Pwemu__V1__RenodeTarget renode;
	Pwemu__V1__StartRequest request;
	Pwemu__V1__ChannelSpec specs[CHANNELS_MAX], *spec_rows[CHANNELS_MAX];
	Pwemu__V1__Memory memory[2], *memory_rows[2];
	char names[CHANNELS_MAX][16];
	struct driver_image images[4];
	struct driver_start start;
	struct plan plan;
	struct err err;
};

static int box_setup(void **state)
{
	static struct box b;
	b = (struct box){ .target = PWEMU__V1__TARGET__INIT,
			  .renode = PWEMU__V1__RENODE_TARGET__INIT,
			  .request = PWEMU__V1__START_REQUEST__INIT };
	b.target.name = (char *)"board";
	b.target.cpu = (char *)"cortex-m4";
	b.target.renode = &b.renode;
	b.target.channels = b.spec_rows;
	b.target.memory = b.memory_rows;
	b.renode.executable = (char *)"renode";
	b.renode.machine = (char *)"platforms/b.repl";
	b.start = (struct driver_start){ .target = &b.target,
					 .request = &b.request,
					 .program = "/opt/renode",
					 .run_dir = "/run/d",
					 .isolate = "auto",
					 .images = b.images };
	plan_init(&b.plan);
	*state = &b;
	return 0;
}

static int box_teardown(void **state)
{
	plan_fini(&((struct box *)*state)->plan);
	return 0;
}

static void add_channel(struct box *b, const char *name, const char *id)
{
	size_t i = b->target.n_channels++;
	pwemu__v1__channel_spec__init(&b->specs[i]);
	b->specs[i].name = (char *)(uintptr_t)name;
	b->specs[i].id = (char *)(uintptr_t)id;
	b->spec_rows[i] = &b->specs[i];
}

static void add_image(struct box *b, const char *path, int kind, uint64_t address)
{
	struct driver_image *image = &b->images[b->start.image_count++];
	image->path = path;
	image->kind = (unsigned)kind;
	image->address = address;
}

static void add_memory(struct box *b, uint64_t address, bool boot)
{
	size_t i = b->target.n_memory++;
	pwemu__v1__memory__init(&b->memory[i]);
	b->memory[i].address = address;
	b->memory[i].boot = boot;
	b->memory_rows[i] = &b->memory[i];
}

static void plan_it(struct box *b)
{
	plan_fini(&b->plan);
	plan_init(&b->plan);
	if (renode_plan(&b->start, &b->plan, &b->err) < 0)
		fail_msg("%s", b->err.msg);
}

static void plan_fails(struct box *b, const char *what)
{
	plan_fini(&b->plan);
	plan_init(&b->plan);
	b->err = (struct err)ERR_INIT;
	assert_int_equal(renode_plan(&b->start, &b->plan, &b->err), -1);
	assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
	if (strstr(b->err.msg, what) == NULL)
		fail_msg("no \"%s\" in: %s", what, b->err.msg);
}

static const char *lines(const struct strv *words)
{
	static char text[16384];
	size_t used = 0;
	text[0] = '\0';
	for (size_t i = 0; i < words->count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", words->items[i]);
	return text;
}

/* ---------------------------------------------------------------- */

static void test_command_line(void **state)
{
	struct box *b = *state;
	char *of_target[] = { (char *)"--config", (char *)"/c" }, *of_request[] = { (char *)"--x y" };
	b->renode.args = of_target;
	b->renode.n_args = 2;
	b->request.args = of_request;
	b->request.n_args = 1;
	plan_it(b);
	assert_string_equal(lines(&b->plan.argv), "/opt/renode\n--disable-xwt\n--console\n--plain\n--hide-log\n--config\n/c\n--x y\n");
	assert_string_equal(lines(&b->plan.env),
			    "TMPDIR=/run/d/tmp\nHOME=/run/d/home\nXDG_CONFIG_HOME=/run/d/config\nRENODE_CI_MODE=YES\n");
	assert_string_equal(lines(&b->plan.dirs), "tmp\nhome\nconfig\nrenode\n");
	assert_true(b->plan.has_console);
}

static void test_board(void **state)
{
	struct box *b = *state;
	add_channel(b, "serial0", "sysbus.usart2");
	add_channel(b, "log", "sysbus.spi1.uart-0");
	plan_it(b);
	assert_string_equal(lines(&b->plan.setup), BOARD "emulation CreateUartPtyTerminal \"pwemu0\" \"/run/d/renode/serial0.pty\" true\n"
							 "connector Connect sysbus.usart2 pwemu0\n"
							 "emulation CreateUartPtyTerminal \"pwemu1\" \"/run/d/renode/log.pty\" true\n"
							 "connector Connect sysbus.spi1.uart-0 pwemu1\n");
	assert_int_equal(b->plan.channel_count, 3);
	assert_string_equal(b->plan.channels[0].name, "serial0");
	assert_true(b->plan.channels[0].has_input);
	assert_int_equal(b->plan.channels[0].out_child_fd, -1);
	assert_string_equal(b->plan.channels[2].name, "emulator");
	assert_int_equal(b->plan.channels[2].out_child_fd, 2);
	assert_int_equal(b->plan.socket_count, 2);
	assert_string_equal(b->plan.sockets[0].name, "gdb");
	assert_string_equal(b->plan.sockets[1].name, "monitor");
	assert_int_equal(b->plan.sockets[0].child_fd, -1);
	b->request.debug = true;
	b->target.name = (char *)"a board; quit";
	b->target.n_channels = 0;
	plan_it(b);
	assert_string_equal(lines(&b->plan.setup),
			    LOG "logLevel 0\nmach create \"board\"\nmachine LoadPlatformDescription @platforms/b.repl\n");
}

static void test_images(void **state)
{
	struct box *b = *state;
	static const struct {
		int kind;
		uint64_t address;
		const char *load;
	} rows[] = {
		{ DRIVER_IMAGE_ELF, 0, "sysbus LoadELF @/f/a" },
		{ DRIVER_IMAGE_HEX, 0, "sysbus LoadHEX @/f/a" },
		{ DRIVER_IMAGE_BIN, 0x8000000, "sysbus LoadBinary @/f/a 0x8000000; " RENODE_FIRST_CPU " VectorTableOffset 0x8000000" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char all[1024], commands[256], *blank;
		b->start.image_count = 0;
		add_image(b, "/f/a", rows[i].kind, rows[i].address);
		plan_it(b);
		snprintf(commands, sizeof(commands), "%s", rows[i].load);
		while ((blank = strstr(commands, "; ")) != NULL) { /* a line each, and all of them in the macro */
			*blank = '\n';
			memmove(blank + 1, blank + 2, strlen(blank + 2) + 1);
		}
		snprintf(all, sizeof(all), BOARD "%s\nmacro reset \"%s\"\n", commands, rows[i].load);
		assert_string_equal(lines(&b->plan.setup), all);
	}
}

/* The first that was given says where the board begins: it is loaded last. */
static void test_several_images(void **state)
{
	struct box *b = *state;
	add_image(b, "/f/my app.hex", DRIVER_IMAGE_HEX, 0);
	add_image(b, "/f/boot.bin", DRIVER_IMAGE_BIN, 0x100);
	add_memory(b, 0x20000000, false);
	add_memory(b, 0x8000000, true);
	plan_it(b);
#define LOADS(sep)                                                                                                                         \
	"sysbus LoadBinary @/f/boot.bin 0x100" sep "sysbus LoadHEX @/f/my\\ app.hex" sep RENODE_FIRST_CPU " VectorTableOffset 0x8000000"
	assert_string_equal(lines(&b->plan.setup), BOARD LOADS("\n") "\nmacro reset \"" LOADS("; ") "\"\n");
	b->target.cpu = (char *)"rv32";
	plan_it(b);
	assert_non_null(strstr(lines(&b->plan.setup), "\n" RENODE_FIRST_CPU " PC 0x8000000\n"));
	b->target.cpu = (char *)""; /* nobody knows how it begins */
	plan_it(b);
	assert_null(strstr(lines(&b->plan.setup), RENODE_FIRST_CPU));
}

static void test_too_long_paths(void **state)
{
	struct box *b = *state;
	char path[3000];
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	add_image(b, path, DRIVER_IMAGE_ELF, 0);
	plan_it(b);
	add_image(b, path, DRIVER_IMAGE_ELF, 0);
	plan_fails(b, "longer than 4096 bytes");
}

static void test_paths(void **state)
{
	struct box *b = *state;
	static const char *const bad[] = { "/a\"b", "/a'b", "/a;b", "/a\\b", "/a#b", "/a\nb", "/a\x7f" };
	char *path = renode_path("/my dir/ x", &b->err);
	assert_string_equal(path, "@/my\\ dir/\\ x");
	free(path);
	path = renode_path("/{cpu}/\xc3\xbc", &b->err); /* braces mean nothing */
	assert_string_equal(path, "@/{cpu}/\xc3\xbc");
	assert_null(strstr(path, RENODE_FIRST_CPU));
	free(path);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(renode_path(bad[i], &b->err));
		assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
		b->start.image_count = 0;
		add_image(b, bad[i], DRIVER_IMAGE_ELF, 0);
		plan_fails(b, "takes no path with the character");
	}
	b->start.image_count = 0;
	b->renode.machine = (char *)"/b;quit";
	plan_fails(b, "target \"board\": machine");
	b->renode.machine = (char *)"/my boards/b.repl";
	b->start.run_dir = "/run/my dir";
	plan_it(b);
	assert_string_equal(lines(&b->plan.setup), "logFile @/run/my\\ dir/renode/renode.log true\nmach create \"board\"\n"
						   "machine LoadPlatformDescription @/my\\ boards/b.repl\n");
	b->start.run_dir = "/run/\"d";
	plan_fails(b, "takes no path");
	assert_null(renode_path(RENODE_FIRST_CPU, &b->err)); /* so no path can be taken for it */
}

static void test_device_paths(void **state)
{
	struct box *b = *state;
	static const char *const bad[] = { "", "sysbus usart1", "sysbus.usart1; quit", "sysbus.\"x\"", "usart1\n", "$x", "us\xc3\xa4rt" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		b->target.n_channels = 0;
		add_channel(b, "serial0", bad[i]);
		plan_fails(b, "target \"board\": channel \"serial0\": device-path");
	}
}

static void test_too_many_channels(void **state)
{
	struct box *b = *state;
	for (size_t i = 0; i < CHANNELS_MAX; i++) {
		snprintf(b->names[i], sizeof(b->names[i]), "serial%zu", i);
		add_channel(b, b->names[i], "sysbus.uart");
	}
	plan_fails(b, "more than 32 channels");
	b->target.n_channels = PLAN_CHANNELS_MAX;
	plan_it(b);
}

static void test_network(void **state)
{
	struct box *b = *state;
	static const struct {
		const char *word;
		enum proc_network network;
	} rows[] = { { "off", PROC_NETWORK_HOST }, { "auto", PROC_NETWORK_TRY }, { "required", PROC_NETWORK_OWN } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b->start.isolate = rows[i].word;
		plan_it(b);
		assert_int_equal(b->plan.network, rows[i].network);
	}
}

static void test_no_semihosting(void **state)
{
	struct box *b = *state;
	b->request.semihosting = true;
	plan_fails(b, "semihosting");
	b->request.semihosting = false;
	b->request.n_firmware_args = 1;
	plan_fails(b, "semihosting");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_command_line),   TEST(test_board),          TEST(test_images),       TEST(test_several_images),
		TEST(test_too_long_paths), TEST(test_paths),          TEST(test_device_paths), TEST(test_too_many_channels),
		TEST(test_network),        TEST(test_no_semihosting),
	};
	return cmocka_run_group_tests_name("renode_plan", tests, NULL, NULL);
}
