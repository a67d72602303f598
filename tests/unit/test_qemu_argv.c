/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of QEMU, word by word, and the channels and sockets that go with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/qemu.h"
#include "driver/qemu_args.h"

#define CHANNELS_MAX 40

/* A start request that a test fills in; after setup a board "b" without channels and images. */
struct box {
	Pwemu__V1__Target target;
	Pwemu__V1__QemuTarget qemu;
	Pwemu__V1__StartRequest request;
	Pwemu__V1__ChannelSpec specs[CHANNELS_MAX], *spec_rows[CHANNELS_MAX];
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
			  .qemu = PWEMU__V1__QEMU_TARGET__INIT,
			  .request = PWEMU__V1__START_REQUEST__INIT };
	b.target.name = (char *)"board";
	b.target.qemu = &b.qemu;
	b.target.channels = b.spec_rows;
	b.qemu.executable = (char *)"qemu-x";
	b.qemu.machine = (char *)"m";
	b.start = (struct driver_start){ .target = &b.target,
					 .request = &b.request,
					 .program = "/bin/qemu-x",
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

static void plan_it(struct box *b)
{
	if (qemu_plan(&b->start, &b->plan, &b->err) < 0)
		fail_msg("%s", b->err.msg);
}

/* The words of the plan between two of them, joined by blanks. */
static const char *words(const struct box *b, size_t from, size_t to)
{
	static char text[4096];
	text[0] = '\0';
	for (size_t i = from; i < to && i < b->plan.argv.count; i++) {
		size_t used = strlen(text);
		snprintf(text + used, sizeof(text) - used, "%s%s", used > 0 ? " " : "", b->plan.argv.items[i]);
	}
	return text;
}

#define ALL  0, SIZE_MAX
#define HEAD "/bin/qemu-x -nographic -nodefaults -display none -machine m"
#define CONTROL                                                                                                                            \
	" -chardev socket,id=control,fd=3,server=on,wait=off -mon chardev=control,mode=control"                                            \
	" -chardev socket,id=gdb,fd=4,server=on,wait=off -gdb chardev:gdb"                                                                 \
	" -chardev socket,id=monitor,fd=5,server=on,wait=off -mon chardev=monitor,mode=readline"                                           \
	" -chardev socket,id=qmp,fd=6,server=on,wait=off -mon chardev=qmp,mode=control"
#define SANDBOX      " -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
#define HEAD_WORDS   25 /* words of HEAD CONTROL SANDBOX */
#define SERIAL(name) " -chardev pipe,id=" name ",path=/run/d/" name

static const char *tail(const struct box *b)
{
	return words(b, HEAD_WORDS, SIZE_MAX);
}

static const struct plan_channel *channel(const struct box *b, const char *name)
{
	for (size_t i = 0; i < b->plan.channel_count; i++)
		if (strcmp(b->plan.channels[i].name, name) == 0)
			return &b->plan.channels[i];
	fail_msg("no channel %s", name);
	return NULL;
}

static void assert_channel(const struct box *b, const char *name, enum channel_kind kind, int in, int out, int out2)
{
	const struct plan_channel *c = channel(b, name);
	assert_int_equal(c->kind, kind);
	assert_int_equal(c->has_input, kind != CHANNEL_EMULATOR);
	assert_int_equal(c->in_child_fd, in);
	assert_int_equal(c->out_child_fd, out);
	assert_int_equal(c->out_child_fd2, out2);
}

/* ---------------------------------------------------------------- */

static void test_bare(void **state)
{
	struct box *b = *state;
	plan_it(b);
	assert_string_equal(words(b, ALL), HEAD CONTROL SANDBOX);
	assert_null(b->plan.argv.items[b->plan.argv.count]);
	assert_int_equal(b->plan.channel_count, 1);
	assert_channel(b, "emulator", CHANNEL_EMULATOR, -1, 2, 1);
	static const struct {
		const char *name;
		enum channel_kind kind;
		bool is_channel;
	} sockets[] = { { "control", CHANNEL_CONTROL, false },
			{ "gdb", CHANNEL_GDB, true },
			{ "monitor", CHANNEL_MONITOR, true },
			{ "qmp", CHANNEL_QMP, true } };
	assert_int_equal(b->plan.socket_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(b->plan.sockets[i].name, sockets[i].name);
		assert_int_equal(b->plan.sockets[i].kind, sockets[i].kind);
		assert_int_equal(b->plan.sockets[i].child_fd, 3 + i);
		assert_int_equal(plan_socket_is_channel(&b->plan.sockets[i]), sockets[i].is_channel);
	}
}

/* Channels in the order of the configuration, serials in that of their numbers. */
static void test_serial_order(void **state)
{
	struct box *b = *state;
	add_channel(b, "log", "serial1");
	add_channel(b, "console", "serial0");
	plan_it(b);
	assert_string_equal(words(b, ALL),
			    HEAD CONTROL SANDBOX SERIAL("log") SERIAL("console") " -serial chardev:console -serial chardev:log");
	assert_int_equal(b->plan.channel_count, 3);
	assert_string_equal(b->plan.channels[0].name, "log");
	assert_string_equal(b->plan.channels[1].name, "console");
	assert_string_equal(b->plan.channels[2].name, "emulator");
	assert_channel(b, "log", CHANNEL_SERIAL, -1, -1, -1);
}

/* A number that no channel has is a null serial, since the position is the number; none after the last. */
static void test_serial_gaps(void **state)
{
	struct box *b = *state;
	add_channel(b, "c", "serial4");
	add_channel(b, "a", "serial1");
	plan_it(b);
	assert_string_equal(tail(b), "-chardev pipe,id=c,path=/run/d/c -chardev pipe,id=a,path=/run/d/a -serial null -serial chardev:a "
				     "-serial null -serial null -serial chardev:c");
}

static void test_all_serials(void **state)
{
	struct box *b = *state;
	char ids[16][16];
	for (int i = 0; i < 16; i++) {
		snprintf(ids[i], sizeof(ids[i]), "serial%d", 15 - i);
		snprintf(b->names[i], sizeof(b->names[i]), "n%d", 15 - i);
		add_channel(b, b->names[i], ids[i]);
	}
	plan_it(b);
	size_t first = b->plan.argv.count - 32;
	for (int i = 0; i < 16; i++) {
		char want[32];
		snprintf(want, sizeof(want), "-serial chardev:n%d", i);
		assert_string_equal(words(b, first + 2 * (size_t)i, first + 2 * (size_t)i + 2), want);
	}
}

static void assert_refused(struct box *b, const char *text)
{
	assert_int_equal(qemu_plan(&b->start, &b->plan, &b->err), -1);
	assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
	if (strstr(b->err.msg, text) == NULL)
		fail_msg("no \"%s\" in: %s", text, b->err.msg);
}

static void test_bad_ids(void **state)
{
	struct box *b = *state;
	static const char *const ids[] = { "",         "serial",           "serial16",
					   "serial-1", "serial1x",         "serial 0",
					   "serial+1", "serial4294967296", "serial99999999999999999999" };
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		plan_fini(&b->plan);
		plan_init(&b->plan);
		b->target.n_channels = 0;
		add_channel(b, "good", "serial0");
		add_channel(b, "odd", ids[i]);
		assert_refused(b, "channel \"odd\"");
	}
}

static void test_same_id(void **state)
{
	struct box *b = *state;
	add_channel(b, "one", "serial3");
	add_channel(b, "two", "serial03"); /* the same number */
	assert_refused(b, "\"one\" and \"two\"");
}

/* The longest name that target_validate() lets pass comes through whole: it is a chardev, a FIFO and a log. */
static void test_long_name(void **state)
{
	struct box *b = *state;
	static const char name[] = "n234567890123456789012345678901234567890123456789012345678901234";
	assert_int_equal(strlen(name), 64);
	add_channel(b, name, "serial0");
	plan_it(b);
	assert_string_equal(b->plan.channels[0].name, name);
}

static void test_too_many(void **state)
{
	struct box *b = *state;
	for (int i = 0; i < CHANNELS_MAX; i++)
		add_channel(b, "n", "serial0");
	assert_int_equal(qemu_plan(&b->start, &b->plan, &b->err), -1);
	assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
}

/* A comma in an option's value is written twice; outside of option values it is left alone. */
static void test_commas(void **state)
{
	struct box *b = *state;
	char *args[] = { (char *)"a,b" };
	b->start.run_dir = "/run/a,b";
	b->request.firmware_args = args;
	b->request.n_firmware_args = 1;
	add_channel(b, "s", "serial0");
	add_image(b, "/i/k,1.elf", DRIVER_IMAGE_ELF, 0);
	add_image(b, "/i/k,,2.hex", DRIVER_IMAGE_HEX, 0);
	plan_it(b);
	assert_string_equal(tail(b),
			    "-chardev pipe,id=s,path=/run/a,,b/s -serial chardev:s -chardev pipe,id=semihosting,path=/run/a,,b/semihosting"
			    " -semihosting-config enable=on,target=native,chardev=semihosting,arg=k,,1.elf,arg=a,,b"
			    " -kernel /i/k,1.elf -device loader,file=/i/k,,,,2.hex");
}

#define SEMIHOSTING "-chardev pipe,id=semihosting,path=/run/d/semihosting -semihosting-config enable=on,target=native,chardev=semihosting"

static void test_semihosting(void **state)
{
	struct box *b = *state;
	b->request.semihosting = 1;
	add_image(b, "/dir/fw.elf", DRIVER_IMAGE_ELF, 0);
	plan_it(b);
	assert_string_equal(tail(b), SEMIHOSTING ",arg=fw.elf -kernel /dir/fw.elf");
	assert_channel(b, "semihosting", CHANNEL_SEMIHOSTING, 0, 1, -1);
	assert_channel(b, "emulator", CHANNEL_EMULATOR, -1, 2, -1); /* stdout is the guest's */
}

static void test_semihosting_without_image(void **state)
{
	struct box *b = *state;
	b->request.semihosting = 1;
	plan_it(b);
	assert_string_equal(tail(b), SEMIHOSTING ",arg=board");
}

/* Arguments alone turn it on. */
static void test_firmware_args(void **state)
{
	struct box *b = *state;
	char *args[] = { (char *)"one two", (char *)"", (char *)"-x=3" };
	b->request.firmware_args = args;
	b->request.n_firmware_args = 3;
	add_image(b, "fw.elf", DRIVER_IMAGE_ELF, 0);
	plan_it(b);
	assert_string_equal(tail(b), SEMIHOSTING ",arg=fw.elf,arg=one two,arg=,arg=-x=3 -kernel fw.elf");
}

static void test_no_semihosting(void **state)
{
	struct box *b = *state;
	add_image(b, "fw.elf", DRIVER_IMAGE_ELF, 0);
	plan_it(b);
	assert_null(strstr(words(b, ALL), "semihosting"));
}

/* For the target's word, and where the QEMU has none. */
static void test_sandbox(void **state)
{
	static const struct {
		const char *word;
		bool has_none;
		const char *want;
		bool is_confined;
	} rows[] = { { "", false, HEAD CONTROL SANDBOX, true },
		     { "on", false, HEAD CONTROL SANDBOX, true },
		     { "on", true, HEAD CONTROL, true },
		     { "off", false, HEAD CONTROL, false } };
	struct box *b = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		plan_fini(&b->plan);
		plan_init(&b->plan);
		b->target.sandbox = (char *)(uintptr_t)rows[i].word;
		b->start.has_no_sandbox = rows[i].has_none;
		plan_it(b);
		assert_string_equal(words(b, ALL), rows[i].want);
		assert_int_equal(b->plan.is_confined, rows[i].is_confined);
		assert_int_equal(b->plan.nofile, rows[i].is_confined ? 256 : 0);
	}
}

/* What arguments, of the target or the user, ask of the host. */
static void test_network(void **state)
{
	static const struct {
		const char *option, *value;
		bool wants_network, starts_process;
	} rows[] = {
		{ "-m", "64M", false, false },
		{ "-netdev", "user,id=n", true, false },
		{ "--netdev", "user,id=n", true, false },
		{ "-netdev", "tap,id=n", true, true },
		{ "-netdev", "tap,id=n,script=no,downscript=no,ifname=t0", true, false },
		{ "-netdev", "tap,id=n,fd=9", true, false },
		{ "-netdev", "tap,id=n,helper=/x", true, true },
		{ "-netdev", "bridge,id=n", true, true },
		{ "-netdev", "user,id=n,smb=/d", true, true },
		{ "-netdev", "user,id=n,guestfwd=tcp:10.0.2.100:7-cmd:cat", true, true },
		{ "-nic", "none", false, false },
		{ "-nic", "tap", true, true },
		{ "-net", "none", false, false },
		{ "-net", "nic", true, false },
		{ "-chardev", "socket,id=c,host=h,port=1", true, false },
		{ "-chardev", "socket,id=c,path=/x,server=on", true, false },
		{ "-chardev", "udp,id=c", true, false },
		{ "-chardev", "backend=socket,id=c", true, false },
		{ "-chardev", "{\"backend\": \"socket\"}", true, false },
		{ "-chardev", "file,id=c,path=/x", false, false },
		{ "-chardev", "null,id=c", false, false },
		{ "-chardev", "nullsocket,id=c", true, false },
		{ "-serial", "tcp:localhost:1", true, false },
		{ "-serial", "telnet::1,server", true, false },
		{ "-serial", "mon:tcp::1", true, false },
		{ "-serial", "mon:stdio", false, false },
		{ "-serial", "udp::1", true, false },
		{ "-serial", "unix:/x", true, false },
		{ "-serial", "file:/x", false, false },
		{ "-serial", "/dev/ttyS0", false, false },
		{ "-serial", "$pw_emu_channel_path{x}", true, false },
		{ "-parallel", "tcp::1", true, false },
		{ "-monitor", "tcp::1", true, false },
		{ "-qmp", "tcp::1", true, false },
		{ "-gdb", "tcp::1234", true, false },
		{ "-gdb", "none", false, false },
		{ "-vnc", ":1", true, false },
		{ "-vnc", "none", false, false },
		{ "-spice", "port=1", true, false },
		{ "-display", "none", false, false },
		{ "-display", "gtk", true, false },
		{ "-incoming", "tcp:0:1", true, false },
		{ "-incoming", "exec:cat /x", true, true },
		{ "-readconfig", "/x", true, false },
		{ "-audiodev", "none,id=a", false, false },
		{ "-audiodev", "driver=pa,id=a", true, false },
		{ "-device", "loader,file=/x", false, false },
		{ "-device", "usb-host,hostbus=1", true, false },
		{ "-device", "vhost-vsock-pci,guest-cid=3", true, false },
		{ "-drive", "file=/x,format=raw", false, false },
		{ "-drive", "file=nbd:h:1", true, false },
		{ "-drive", "file=https://h/x", true, false },
		{ "-drive", "file.driver=nbd,file.host=h", true, false },
		{ "-drive", "driver=qcow2,file=/x", false, false },
		{ "-blockdev", "{\"driver\": \"nbd\", \"node-name\": \"n\"}", true, false },
		{ "-cdrom", "http://h/x", true, false },
	};
	static char *args[2];
	struct box *b = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		args[0] = (char *)(uintptr_t)rows[i].option;
		args[1] = (char *)(uintptr_t)rows[i].value;
		for (int is_user = 0; is_user < 2; is_user++) {
			plan_fini(&b->plan);
			plan_init(&b->plan);
			b->qemu.args = b->request.args = args;
			b->qemu.n_args = is_user ? 0 : 2;
			b->request.n_args = is_user ? 2 : 0;
			plan_it(b);
			if (b->plan.network != (rows[i].wants_network ? PROC_NETWORK_HOST : PROC_NETWORK_TRY))
				fail_msg("%s %s: network %d", rows[i].option, rows[i].value, (int)b->plan.network);
		}
		if ((qemu_args_start_process(args, 2) != NULL) != rows[i].starts_process)
			fail_msg("%s %s: starts a process", rows[i].option, rows[i].value);
	}
	char *alone[] = { (char *)"-s", (char *)"-netdev" };
	assert_true(qemu_args_want_network(alone, 1));
	assert_true(qemu_args_want_network(alone + 1, 1));
	assert_false(qemu_args_want_network(alone, 0));
	assert_null(qemu_args_start_process(alone, 2));
}

/* The word of target or daemon is before what the arguments say. */
static void test_isolate(void **state)
{
	static const struct {
		const char *isolate;
		enum proc_network alone, with_network;
	} rows[] = { { "auto", PROC_NETWORK_TRY, PROC_NETWORK_HOST },
		     { "off", PROC_NETWORK_HOST, PROC_NETWORK_HOST },
		     { "required", PROC_NETWORK_OWN, PROC_NETWORK_OWN } };
	struct box *b = *state;
	static char *args[] = { (char *)"-nic", (char *)"user" };
	b->request.args = args;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (b->request.n_args = 0; b->request.n_args <= 2; b->request.n_args += 2) {
			plan_fini(&b->plan);
			plan_init(&b->plan);
			b->start.isolate = rows[i].isolate;
			plan_it(b);
			assert_int_equal(b->plan.network, b->request.n_args > 0 ? rows[i].with_network : rows[i].alone);
		}
	}
}

/* Only the first ELF goes the board's own way; what comes after, and what is no ELF, through the loader. */
static void test_images(void **state)
{
	static const struct {
		const char *load, *want;
	} rows[] = {
		{ "", "-device loader,file=/b.hex -kernel /1.elf -device loader,file=/a.bin,addr=0x8004000,force-raw=on -device "
		      "loader,file=/2.elf" },
		{ "kernel", "-device loader,file=/b.hex -kernel /1.elf -device loader,file=/a.bin,addr=0x8004000,force-raw=on -device "
			    "loader,file=/2.elf" },
		{ "bios", "-device loader,file=/b.hex -bios /1.elf -device loader,file=/a.bin,addr=0x8004000,force-raw=on -device "
			  "loader,file=/2.elf" },
		{ "loader", "-device loader,file=/b.hex -device loader,file=/1.elf -device loader,file=/a.bin,addr=0x8004000,force-raw=on "
			    "-device loader,file=/2.elf" },
	};
	struct box *b = *state;
	add_image(b, "/b.hex", DRIVER_IMAGE_HEX, 0);
	add_image(b, "/1.elf", DRIVER_IMAGE_ELF, 0);
	add_image(b, "/a.bin", DRIVER_IMAGE_BIN, 0x08004000);
	add_image(b, "/2.elf", DRIVER_IMAGE_ELF, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		plan_fini(&b->plan);
		plan_init(&b->plan);
		b->qemu.load = (char *)(uintptr_t)rows[i].load;
		plan_it(b);
		assert_string_equal(tail(b), rows[i].want);
	}
}

static void test_large_address(void **state)
{
	struct box *b = *state;
	add_image(b, "/a.bin", DRIVER_IMAGE_BIN, UINT64_MAX);
	plan_it(b);
	assert_string_equal(tail(b), "-device loader,file=/a.bin,addr=0xffffffffffffffff,force-raw=on");
}

/* -S, -d, images, the target's arguments, the user's: the last word is the user's. */
/* RISC-V begins at the boot memory whatever -kernel says; an ELF that begins elsewhere sets the program counter. Cortex-M never does. */
static void test_entry_elsewhere(void **state)
{
	static const struct {
		const char *architecture;
		uint64_t entry;
		const char *want;
	} rows[] = {
		{ "riscv32", 0x20400000, "-kernel /1.elf" },
		{ "riscv32", 0x80000000, "-device loader,file=/1.elf,cpu-num=0" },
		{ "riscv64", 0x80000000, "-device loader,file=/1.elf,cpu-num=0" },
		{ "arm", 0x80000000, "-kernel /1.elf" },
	};
	struct box *b = *state;
	Pwemu__V1__Memory flash = PWEMU__V1__MEMORY__INIT, *memory[] = { &flash };
	flash.address = 0x20400000;
	flash.boot = 1;
	b->target.memory = memory;
	b->target.n_memory = 1;
	add_image(b, "/1.elf", DRIVER_IMAGE_ELF, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		plan_fini(&b->plan);
		plan_init(&b->plan);
		b->target.architecture = (char *)(uintptr_t)rows[i].architecture;
		b->images[0].entry = rows[i].entry;
		plan_it(b);
		assert_string_equal(tail(b), rows[i].want);
	}
}

static void test_order(void **state)
{
	struct box *b = *state;
	char *target_args[] = { (char *)"-bios", (char *)"none" }, *user_args[] = { (char *)"-m", (char *)"64M", (char *)"x,y z" };
	b->request.pause = 1;
	b->request.debug = 1;
	b->qemu.args = target_args;
	b->qemu.n_args = 2;
	b->request.args = user_args;
	b->request.n_args = 3;
	add_channel(b, "s", "serial0");
	add_image(b, "/k.elf", DRIVER_IMAGE_ELF, 0);
	plan_it(b);
	assert_string_equal(tail(b),
			    "-chardev pipe,id=s,path=/run/d/s -serial chardev:s -S -d guest_errors -kernel /k.elf -bios none -m 64M x,y z");
}

static void test_driver_table(void **state)
{
	struct box *b = *state;
	assert_ptr_equal(driver_find("qemu", &b->err), &qemu_driver);
	assert_null(driver_find("bochs", &b->err));
	assert_int_equal(b->err.code, ERR_NOT_FOUND);
	assert_string_equal(b->err.reason, "invalid-emulator");
	assert_non_null(strstr(b->err.msg, "there is: qemu"));
	assert_string_equal(qemu_driver.executable(&b->target, &b->err), "qemu-x");
	b->qemu.machine = (char *)"";
	assert_null(qemu_driver.executable(&b->target, &b->err));
	b->target.qemu = NULL;
	assert_null(qemu_driver.executable(&b->target, &b->err));
	assert_int_equal(b->err.code, ERR_INVALID_ARGUMENT);
	for (int kind = 0; kind < CHANNEL_KIND_COUNT; kind++)
		assert_true(strlen(channel_kind_name((enum channel_kind)kind)) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bare),
		TEST(test_serial_order),
		TEST(test_serial_gaps),
		TEST(test_all_serials),
		TEST(test_bad_ids),
		TEST(test_same_id),
		TEST(test_long_name),
		TEST(test_too_many),
		TEST(test_commas),
		TEST(test_semihosting),
		TEST(test_semihosting_without_image),
		TEST(test_firmware_args),
		TEST(test_no_semihosting),
		TEST(test_sandbox),
		TEST(test_network),
		TEST(test_isolate),
		TEST(test_images),
		TEST(test_large_address),
		TEST(test_entry_elsewhere),
		TEST(test_order),
		TEST(test_driver_table),
	};
	return cmocka_run_group_tests_name("qemu: command line", tests, NULL, NULL);
}
