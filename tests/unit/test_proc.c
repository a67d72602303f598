/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a program from proc_spawn to proc_release, and what it is given. With --probe as its argument this program is the
 * supervised one and reports what it sees, a line each.
 */
#include "proc_fixture.h"

#include <grp.h>
#include <sys/resource.h>

/* ---- the supervised program */

static void probe_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	bool open_fds[1024] = { false };
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		long fd = strtol(entry->d_name, NULL, 10);
		if (entry->d_name[0] != '.' && fd != dirfd(dir) && fd < 1024)
			open_fds[fd] = true;
	}
	if (dir != NULL)
		closedir(dir);
	printf("fds");
	for (int fd = 0; fd < 1024; fd++)
		if (open_fds[fd])
			printf(" %d", fd);
	printf("\n");
}

static void probe_status(const char *key)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			printf("%s", line);
	if (file != NULL)
		fclose(file);
}

static int probe(int argc, char **argv, char **envp)
{
	char cwd[256] = "", oom[16] = "";
	probe_fds();
	printf("cwd %s\n", getcwd(cwd, sizeof(cwd)) != NULL ? cwd : "?");
	for (int i = 0; i < argc; i++)
		printf("arg %s\n", argv[i]);
	for (; *envp != NULL; envp++)
		printf("env %s\n", *envp);
	mode_t mask = umask(0);
	printf("umask %03o\n", (unsigned)mask);
	struct rlimit core, nofile;
	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_NOFILE, &nofile);
	printf("core %llu\nnofile %llu\n", (unsigned long long)core.rlim_cur, (unsigned long long)nofile.rlim_cur);
	int deathsig = 0;
	prctl(PR_GET_PDEATHSIG, &deathsig);
	printf("deathsig %d\nown group %d\n", deathsig, getpgrp() == getpid());
	FILE *file = fopen("/proc/self/oom_score_adj", "re");
	if (file != NULL && fgets(oom, sizeof(oom), file) != NULL)
		printf("oom %s", oom);
	if (file != NULL)
		fclose(file);
	static const char *const keys[] = { "Uid:", "Gid:", "Groups:", "NoNewPrivs:", "SigBlk:", "SigIgn:" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		probe_status(keys[i]);
	fflush(stdout);
	return 0;
}

/* ---- the test's side of it */

struct probed {
	char text[16384];
};

static bool has_line(const struct probed *probed, const char *line)
{
	char wanted[512];
	snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	return strstr(probed->text, wanted) != NULL;
}

static void assert_line(const struct probed *probed, const char *line)
{
	if (!has_line(probed, line))
		fail_msg("no line \"%s\" in:%s", line, probed->text);
}

/* Runs the probe under `spec` (program, argv and envp given here where absent) with `out_child_fd` as its output. */
static void run_probe(struct fixture *f, struct proc_spec *spec, struct probed *probed)
{
	static const char *const envp[] = { "PWEMU_INSTANCE=probe:1:y", "SECRET=s3cr3t word", NULL };
	static const char *const argv[] = { "a name", "--probe", "", "last", NULL };
	char self[512] = "";
	struct seen seen = { 0 };
	int out[2];
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[PROC_FDS_MAX];
	for (size_t i = 0; i < spec->fd_count; i++)
		fds[i] = spec->fds[i];
	fds[spec->fd_count] = (struct proc_fd){ .fd = out[1], .child_fd = 1 };
	spec->fds = fds;
	spec->fd_count++;
	spec->run_dir = f->run_dir;
	spec->name = "probe";
	spec->program = self;
	spec->argv = argv;
	spec->envp = envp;
	if (spec->cwd == NULL)
		spec->cwd = "/usr";
	struct proc *proc = spawn(f, spec, &seen);
	close(out[1]);
	run_until(f, &seen.ended, 1);
	assert_string_equal(seen.end.exec_what, "");
	assert_int_equal(seen.end.code, 0);
	size_t len = 1;
	ssize_t n;
	probed->text[0] = '\n';
	while ((n = read(out[0], probed->text + len, sizeof(probed->text) - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0); /* nobody, the shim included, holds the other end */
	probed->text[len] = '\0';
	close(out[0]);
	finish(f, proc, &seen);
}

static void program_gets_what_was_given(void **state)
{
	struct probed probed;
	struct proc_spec spec = { .umask = 027, .nofile = 777 };
	signal(SIGUSR1, SIG_IGN); /* must not reach the program */
	run_probe(*state, &spec, &probed);
	signal(SIGUSR1, SIG_DFL);
	static const char *const lines[] = {
		"fds 0 1 2",
		"cwd /usr",
		"arg a name",
		"arg --probe",
		"arg ",
		"arg last",
		"env PWEMU_INSTANCE=probe:1:y",
		"env SECRET=s3cr3t word",
		"umask 027",
		"core 0",
		"nofile 777",
		"deathsig 9",
		"own group 1",
		"oom 0",
		"NoNewPrivs:\t1",
		"SigBlk:\t0000000000000000",
		"SigIgn:\t0000000000000000",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_line(&probed, lines[i]);
}

static void descriptors_may_overlap(void **state)
{
	struct probed probed;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* numbers that the shim itself uses, in another order, and far apart */
	struct proc_fd fds[] = { { null, 9 }, { null, 8 }, { null, 7 }, { null, 3 }, { null, 255 }, { null, 5 } };
	struct proc_held held[] = { { "a", null }, { "b", null } };
	struct proc_spec spec = { .umask = 022, .fds = fds, .fd_count = 6, .held = held, .held_count = 2 };
	run_probe(*state, &spec, &probed);
	assert_line(&probed, "fds 0 1 2 3 5 7 8 9 255");
	close(null);
}

/* With a shell, since this program may lie where only root can go. */
static void another_identity(void **state)
{
	struct fixture *f = *state;
	struct probed probed = { .text = "\n" };
	struct seen seen = { 0 };
	struct shell shell;
	gid_t groups[] = { 2000, 2001 };
	const struct user user = { .uid = 1234, .gid = 1235, .groups = groups, .group_count = 2 };
	int out[2];
	if (geteuid() != 0)
		return; /* an ordinary user can become nobody else */
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { out[1], 1 } };
	shell_init(&shell, f, "main", "cat /proc/$$/status")->spec.fds = fds;
	shell.spec.fd_count = 1;
	shell.spec.user = &user;
	struct proc *proc = spawn(f, &shell.spec, &seen);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.code, 0);
	assert_true(read(out[0], probed.text + 1, sizeof(probed.text) - 2) > 0);
	assert_line(&probed, "Uid:\t1234\t1234\t1234\t1234");
	assert_line(&probed, "Gid:\t1235\t1235\t1235\t1235");
	assert_line(&probed, "Groups:\t2000 2001 ");
	assert_line(&probed, "CapEff:\t0000000000000000");
	assert_line(&probed, "NoNewPrivs:\t1");
	close(out[0]);
	close(out[1]);
	finish(f, proc, &seen);
}

static void exit_code(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "exit 3")->spec, &seen);
	assert_int_equal(seen.started, 0); /* never from inside the call */
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.started, 1);
	assert_true(seen.pid > 0);
	assert_int_equal(seen.end.code, 3);
	assert_int_equal(seen.end.signal, 0);
	assert_int_equal(seen.end.exec_errno, 0);
	assert_false(seen.end.shim_died);
	assert_true(seen.end.time_ns > 1600000000000000000u);
	assert_true(seen.end.max_rss_kib > 0);
	assert_true(proc_has_ended(proc));
	assert_int_equal(proc_pid(proc), 0);
	assert_true(process_exists(proc_shim_pid(proc))); /* stays until released */
	assert_true(file_exists(f, "main.end"));
	finish(f, proc, &seen);
}

static void killed_by_signal(void **state)
{
	static const int signals[] = { SIGKILL, SIGSEGV, SIGTERM, SIGABRT };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000 & wait")->spec, &seen);
		run_until(f, &seen.started, 1);
		assert_int_equal(proc_pid(proc), seen.pid);
		kill(seen.pid, signals[i]); /* may come before the exec: then it is the same death */
		run_until(f, &seen.ended, 1);
		assert_int_equal(seen.end.code, -1);
		assert_int_equal(seen.end.signal, signals[i]);
		finish(f, proc, &seen);
	}
}

static void cpu_time_of_the_tree(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	static const char burn[] = "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); exit 0";
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", burn)->spec, &seen);
	run_until(f, &seen.ended, 1);
	assert_true(seen.end.user_us + seen.end.system_us > 10000);
	finish(f, proc, &seen);
}

static void assert_not_executed(struct fixture *f, struct shell *shell, int sys, const char *what)
{
	struct seen seen = { 0 };
	struct proc *proc = spawn(f, &shell->spec, &seen);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.exec_errno, sys);
	assert_string_equal(seen.end.exec_what, what);
	assert_int_equal(seen.end.code, -1);
	assert_int_equal(seen.end.signal, 0);
	finish(f, proc, &seen);
}

static void not_executed(void **state)
{
	struct fixture *f = *state;
	struct shell shell;
	shell_init(&shell, f, "main", "exit 0")->spec.program = "/nonexistent/program";
	assert_not_executed(f, &shell, ENOENT, "execve");
	shell.spec.program = "/etc/passwd";
	assert_not_executed(f, &shell, EACCES, "execve");
	shell.spec.program = "/bin/sh";
	shell.spec.cwd = "/nonexistent";
	for (int i = 0; i < 20; i++) /* fails while the record is being written */
		assert_not_executed(f, &shell, ENOENT, "chdir");
	shell.spec.cwd = "/etc/passwd";
	assert_not_executed(f, &shell, ENOTDIR, "chdir");
	if (geteuid() == 0) { /* the directory is entered as the program's user */
		shell.spec.cwd = f->dir;
		shell.spec.user = &(const struct user){ .uid = 1234, .gid = 1234 };
		assert_not_executed(f, &shell, EACCES, "chdir");
	}
}

static void input_and_output(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	char line[64];
	int in[2], out[2];
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { in[0], 0 }, { out[1], 1 }, { out[1], 2 } };
	shell_init(&shell, f, "main", "read x; echo got $x; echo error >&2; read y || exit 7");
	shell.spec.fds = fds;
	shell.spec.fd_count = 3;
	struct proc *proc = spawn(f, &shell.spec, &seen);
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], "word\n", 5), 5);
	read_line(out[0], line, sizeof(line));
	assert_string_equal(line, "got word\n");
	read_line(out[0], line, sizeof(line));
	assert_string_equal(line, "error\n");
	close(in[1]); /* the shim holds no end: the program sees EOF */
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.code, 7);
	close(out[0]);
	finish(f, proc, &seen);
}

static void record_is_there_before_exec(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	char script[200], line[128];
	int out[2];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { out[1], 1 } };
	snprintf(script, sizeof(script), "read title <%s/main.run; echo \"$title $$\"", f->dir);
	for (int i = 0; i < 20; i++) {
		seen = (struct seen){ 0 };
		shell_init(&shell, f, "main", script);
		shell.spec.fds = fds;
		shell.spec.fd_count = 1;
		struct proc *proc = spawn(f, &shell.spec, &seen);
		run_until(f, &seen.ended, 1);
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "pwemu-run 1 %d\n", (int)seen.pid);
		read_line(out[0], line, sizeof(line));
		assert_string_equal(line, wanted);
		finish(f, proc, &seen);
	}
	close(out[0]);
	close(out[1]);
}

static void record_says_who_it_is(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc_run run;
	struct err err = ERR_INIT;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &seen.started, 1);
	assert_int_equal(proc_run_read(f->run_dir, "main", &run, &err), 0);
	assert_int_equal(run.pid, seen.pid);
	assert_int_equal(run.shim_pid, proc_shim_pid(proc));
	assert_int_equal(run.uid, geteuid());
	assert_string_equal(run.mark, f->mark + strlen("PWEMU_INSTANCE="));
	assert_true(proc_is_same(run.pid, run.start));
	assert_false(proc_is_same(run.pid, run.start + 1));
	assert_true(proc_is_same(run.shim_pid, run.shim_start));
	assert_true(proc_boot_is_current(&run));
	finish(f, proc, &seen);
}

static void nothing_shows_in_the_shim(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	char path[64], buf[256] = "", link[128] = "";
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &seen.started, 1);
	struct err err = ERR_INIT;
	int shim = proc_shim_pid(proc), none;
	assert_int_equal(proc_held_fd(proc, "none", &none, &err), -1); /* its start is over when it answers */
	snprintf(path, sizeof(path), "/proc/%d/environ", shim);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, buf, sizeof(buf)), 0);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/cmdline", shim);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, buf, sizeof(buf)), (ssize_t)sizeof("pwemu-shim\0main"));
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/cwd", shim);
	assert_int_equal(readlink(path, link, sizeof(link) - 1), 1);
	assert_int_equal(getsid(shim), shim);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", shim, i);
		memset(link, 0, sizeof(link));
		assert_true(readlink(path, link, sizeof(link) - 1) > 0);
		assert_string_equal(link, "/dev/null");
	}
	/* /dev/null three times, run directory, listener, lock, signals, exec pipe, connection */
	snprintf(path, sizeof(path), "/proc/%d/fd", shim);
	assert_int_equal(count_dir(path), 9);
	finish(f, proc, &seen);
}

static void refused(struct fixture *f, const struct proc_spec *spec, const char *shim, enum err_code code)
{
	struct seen seen = { 0 };
	struct err err = ERR_INIT;
	struct proc *proc = NULL;
	assert_int_equal(proc_spawn(f->base, shim, spec, &seen_ops, &seen, &proc, &err), -1);
	assert_int_equal(err.code, code);
	assert_null(proc);
}

static void bad_requests(void **state)
{
	struct fixture *f = *state;
	struct shell shell;
	struct proc_fd twice[] = { { 0, 5 }, { 1, 5 } }, far[] = { { 0, 256 } };
	struct proc_held unnamed[] = { { "a b", 0 } };
	const char *marks[] = { "PWEMU_INSTANCE=with blank", NULL }, *no_args[] = { NULL };
	refused(f, &shell_init(&shell, f, "a/b", "")->spec, f->shim, ERR_INVALID_ARGUMENT);
	refused(f, &shell_init(&shell, f, "", "")->spec, f->shim, ERR_INVALID_ARGUMENT);
	refused(f, &shell_init(&shell, f, ".x", "")->spec, f->shim, ERR_INVALID_ARGUMENT);
	shell_init(&shell, f, "main", "")->spec.program = "sh";
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	shell_init(&shell, f, "main", "")->spec.fds = twice;
	shell.spec.fd_count = 2;
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	shell.spec.fds = far;
	shell.spec.fd_count = 1;
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	shell_init(&shell, f, "main", "")->spec.held = unnamed;
	shell.spec.held_count = 1;
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	shell_init(&shell, f, "main", "")->spec.envp = marks;
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	shell_init(&shell, f, "main", "")->spec.argv = no_args;
	refused(f, &shell.spec, f->shim, ERR_INVALID_ARGUMENT);
	refused(f, &shell_init(&shell, f, "main", "")->spec, "/nonexistent/shim", ERR_NOT_FOUND);
	assert_int_equal(count_dir(f->dir), 0);
}

static void name_is_taken(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	refused(f, &shell.spec, f->shim, ERR_ALREADY_EXISTS);
	run_until(f, &seen.started, 1);
	proc_stop(proc, 0);
	run_until(f, &seen.ended, 1);
	refused(f, &shell.spec, f->shim, ERR_ALREADY_EXISTS);
	finish(f, proc, &seen);
	seen = (struct seen){ 0 };
	proc = spawn(f, &shell.spec, &seen);
	finish(f, proc, &seen);
}

static void long_environment(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	enum { LEN = 100000, COUNT = 10 };
	const char *envp[COUNT + 1] = { NULL };
	char *big = malloc(LEN);
	memset(big, 'x', LEN);
	memcpy(big, "BIG=", 4);
	big[LEN - 1] = '\0';
	for (int i = 0; i < COUNT; i++)
		envp[i] = big;
	shell_init(&shell, f, "main", "[ ${#BIG} -eq 99995 ] && exit 5")->spec.envp = envp;
	struct proc *proc = spawn(f, &shell.spec, &seen);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.code, 5);
	finish(f, proc, &seen);
	free(big);
}

struct self_freeing {
	struct proc *proc;
	int ended;
};

static void free_on_ended(void *ctx, const struct proc_end *end)
{
	(void)end;
	struct self_freeing *self = ctx;
	self->ended++;
	proc_release(self->proc);
	proc_free(self->proc);
}

static void ignore_started(void *ctx, pid_t pid)
{
	(void)ctx;
	(void)pid;
}

static void freed_by_its_own_callback(void **state)
{
	static const struct proc_ops ops = { .on_started = ignore_started, .on_ended = free_on_ended };
	struct fixture *f = *state;
	struct self_freeing self = { 0 };
	struct shell shell;
	struct err err = ERR_INIT;
	shell_init(&shell, f, "main", "exit 0");
	assert_int_equal(proc_spawn(f->base, f->shim, &shell.spec, &ops, &self, &self.proc, &err), 0);
	run_until(f, &self.ended, 1);
	event_base_dispatch(f->base); /* ends when nothing is left to wait for */
	assert_int_equal(count_dir(f->dir), 0);
}

static void many_cycles(void **state)
{
	struct fixture *f = *state;
	int fds = 0;
	for (int i = 0; i < 200; i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000 & sleep 1000")->spec, &seen);
		if (i % 2 == 0)
			run_until(f, &seen.started, 1);
		proc_stop(proc, i % 3 == 0 ? 0 : 5000);
		finish(f, proc, &seen);
		assert_int_equal(seen.started, 1);
		if (i == 0)
			fds = count_fds();
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_dir(f->dir), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(int argc, char **argv, char **envp)
{
	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe(argc, argv, envp);
	const struct CMUnitTest tests[] = {
		TEST(exit_code),
		TEST(killed_by_signal),
		TEST(cpu_time_of_the_tree),
		TEST(program_gets_what_was_given),
		TEST(descriptors_may_overlap),
		TEST(another_identity),
		TEST(not_executed),
		TEST(input_and_output),
		TEST(record_is_there_before_exec),
		TEST(record_says_who_it_is),
		TEST(nothing_shows_in_the_shim),
		TEST(bad_requests),
		TEST(name_is_taken),
		TEST(long_environment),
		TEST(freed_by_its_own_callback),
		TEST(many_cycles),
	};
	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
