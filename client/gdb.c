/* SPDX-License-Identifier: Apache-2.0 */
#include "client/gdb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/image.h"
#include "client/ref.h"
#include "client/say.h"
#include "wire/err.h"
#include "wire/mem.h"

#define GDB_ANY        "gdb-multiarch"
#define GDB_FREE_TRIES 10 /* that a debugger of before is waited for */

/* gdb of an emulator whose target names none; in the order they are tried, and after them GDB_ANY. */
static const struct {
	const char *emulator; /* beginning of the program's name */
	const char *gdb;
} gdb_defaults[] = {
	{ "qemu-system-arm", "arm-none-eabi-gdb" },
	{ "qemu-system-riscv", "riscv64-unknown-elf-gdb" },
	{ "qemu-system-avr", "avr-gdb" },
};

/* ---------------------------------------------------------------- the program */

static bool gdb_is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool gdb_is_in_path(const char *program)
{
	if (strchr(program, '/') != NULL)
		return gdb_is_program(program);
	const char *path = getenv("PATH");
	bool found = false;
	char *copy = xstrdup(path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"), *rest = copy;
	for (char *dir; !found && (dir = strsep(&rest, ":")) != NULL;) {
		char *file = xasprintf("%s/%s", dir[0] != '\0' ? dir : ".", program);
		found = gdb_is_program(file);
		free(file);
	}
	free(copy);
	return found;
}

static const char *gdb_default(const Pwemu__V1__Instance *inst)
{
	const char *emulator = inst->n_argv > 0 ? inst->argv[0] : "", *slash = strrchr(emulator, '/');
	if (slash != NULL)
		emulator = slash + 1;
	for (size_t i = 0; i < sizeof(gdb_defaults) / sizeof(gdb_defaults[0]); i++)
		if (strncmp(emulator, gdb_defaults[i].emulator, strlen(gdb_defaults[i].emulator)) == 0)
			return gdb_defaults[i].gdb;
	return GDB_ANY;
}

/* Another gdb does where one of a tool chain is not there; not for one that the target names and that is not of this kind. */
static bool gdb_may_be_any(const char *program)
{
	for (size_t i = 0; i < sizeof(gdb_defaults) / sizeof(gdb_defaults[0]); i++)
		if (strcmp(program, gdb_defaults[i].gdb) == 0)
			return true;
	return strcmp(program, GDB_ANY) == 0;
}

static int gdb_find(struct gdb *gdb, const Pwemu__V1__Instance *inst, struct err *err)
{
	const char *program = inst->n_gdb > 0 ? inst->gdb[0] : gdb_default(inst);
	gdb->program = program;
	if (!gdb_is_in_path(program) && gdb_may_be_any(program))
		gdb->program = GDB_ANY;
	gdb_add(gdb, gdb->program);
	for (size_t i = 1; i < inst->n_gdb; i++)
		gdb_add(gdb, inst->gdb[i]);
	if (gdb_is_in_path(gdb->program))
		return 0;
	if (strcmp(program, gdb->program) == 0 && !gdb_may_be_any(program))
		return err_set(err, ERR_NOT_FOUND, "gdb \"%s\", which the target names, is not in the PATH", program);
	bool is_any = strcmp(program, GDB_ANY) == 0;
	return err_set(err, ERR_NOT_FOUND, "no gdb: neither %s%s" GDB_ANY " is in the PATH; install the package gdb-multiarch",
		       is_any ? "gdb nor " : program, is_any ? "" : " nor ");
}

/* ---------------------------------------------------------------- the image */

static bool gdb_is_elf(const char *path)
{
	char magic[4] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd >= 0 ? read(fd, magic, sizeof(magic)) : -1;
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)sizeof(magic) && memcmp(magic,
						     "\x7f"
						     "ELF",
						     4) == 0;
}

static int gdb_choose_image(struct gdb *gdb, const struct cli *cli, const Pwemu__V1__Instance *inst, struct err *err)
{
	const char *given = opt_text(&cli->opts, "executable");
	if (given != NULL) {
		gdb->image = path_absolute(given);
		return access(gdb->image, R_OK) == 0 ? 0 : err_sys(err, errno, "executable \"%s\"", given);
	}
	for (size_t i = 0; i < inst->n_images && gdb->image == NULL; i++)
		if (gdb_is_elf(inst->images[i]))
			gdb->image = xstrdup(inst->images[i]);
	return 0;
}

/* ---------------------------------------------------------------- the connection */

char *gdb_quote(const char *text)
{
	char *out = xmalloc(4 * strlen(text) + 3), *to = out;
	*to++ = '\'';
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			to = stpcpy(to, "'\\'");
		*to++ = *text;
	}
	*to++ = '\'';
	*to = '\0';
	return out;
}

static int gdb_make_connect(struct gdb *gdb, const struct cli *cli, const Pwemu__V1__Instance *inst, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_sys(err, errno, "find this program");
	self[n] = '\0';
	char *program = gdb_quote(self), *host = gdb_quote(cli->conn.address);
	if (cli->conn.host.url == NULL) {
		gdb->connect = xasprintf("target remote | %s -q -H %s -i %s pipe gdb", program, host, inst->id);
	} else {
		/* the address has a token in it, and arguments are for everybody's eyes */
		setenv("PWEMU_HOST", cli->conn.host.url, 1);
		gdb->connect = xasprintf("target remote | %s -q -i %s pipe gdb", program, inst->id);
	}
	free(program);
	free(host);
	return 0;
}

/* ---------------------------------------------------------------- */

int gdb_init(struct gdb *gdb, struct cli *cli, const Pwemu__V1__Instance *inst)
{
	struct err err = ERR_INIT;
	*gdb = (struct gdb){ .argv = NULL };
	if (gdb_find(gdb, inst, &err) < 0) {
		say_err(&err);
		return EXIT_NOT_FOUND;
	}
	if (gdb_choose_image(gdb, cli, inst, &err) < 0 || gdb_make_connect(gdb, cli, inst, &err) < 0)
		return cli_refused(&err);
	return EXIT_DONE;
}

void gdb_fini(struct gdb *gdb)
{
	free(gdb->argv);
	free(gdb->image);
	free(gdb->connect);
}

void gdb_add(struct gdb *gdb, const char *argument)
{
	gdb->argv = xrealloc(gdb->argv, gdb->count + 2, sizeof(*gdb->argv));
	gdb->argv[gdb->count++] = argument;
	gdb->argv[gdb->count] = NULL;
}

int gdb_exec(struct gdb *gdb)
{
	if (gdb->image != NULL)
		gdb_add(gdb, gdb->image);
	signal(SIGPIPE, SIG_DFL);
	execvp(gdb->program, (char *const *)(uintptr_t)gdb->argv);
	say_error("%s: %s", gdb->program, strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static const char *gdb_holder(const Pwemu__V1__Instance *inst)
{
	for (size_t i = 0; i < inst->n_channels; i++)
		if (strcmp(inst->channels[i]->kind, "gdb") == 0)
			return inst->channels[i]->writer;
	return "";
}

/* gdb would say of a refusal that the connection was reset. One that has just ended may not be gone yet. */
static int gdb_await_free(struct cli *cli, Pwemu__V1__Instance **inst, struct err *err)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };
	for (int i = 0; i < GDB_FREE_TRIES && gdb_holder(*inst)[0] != '\0'; i++) {
		nanosleep(&pause, NULL);
		pwemu__v1__instance__free_unpacked(*inst, NULL);
		*inst = NULL;
		if (ref_get(cli, 0, inst, err) < 0)
			return -1;
	}
	if (gdb_holder(*inst)[0] == '\0')
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "instance \"%s\" has a debugger: %s; one at a time, so end that one first", (*inst)->name,
		gdb_holder(*inst));
	return err_reason(err, "busy");
}

Pwemu__V1__Instance *gdb_instance(struct cli *cli)
{
	Pwemu__V1__Instance *inst = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_START) < 0)
		return NULL;
	int rc = ref_get(cli, 0, &inst, &err);
	if (rc == 0 && inst->pid == 0)
		rc = err_set(&err, ERR_FAILED_PRECONDITION, "instance \"%s\" is not running", inst->name);
	if (rc == 0)
		rc = gdb_await_free(cli, &inst, &err);
	if (rc == 0)
		return inst;
	say_err(&err);
	if (inst != NULL)
		pwemu__v1__instance__free_unpacked(inst, NULL);
	return NULL;
}
