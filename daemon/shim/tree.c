/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descendants of the shim. The kernel's children files are read where it has them: a stop then costs a few system calls
 * however many processes the host has. They may miss a process whose siblings die meanwhile, so whoever must be thorough scans.
 * A process is signalled through a pidfd after its start time was seen again, so a number that was given anew is never hit.
 */
#include "shim/shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* As getdents64(2) has it. */
struct raw_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static ssize_t file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

static void proc_path(struct text *path, const char *proc, pid_t pid, const char *rest)
{
	path->len = 0;
	text_add(path, proc);
	text_add(path, "/");
	text_add_number(path, (uint64_t)pid);
	text_add(path, rest);
}

bool tree_read_stat(const char *proc, pid_t pid, pid_t *parent, uint64_t *start)
{
	struct text path;
	char buf[512];
	proc_path(&path, proc, pid, "/stat");
	if (file_read(path.buf, buf, sizeof(buf)) <= 0)
		return false;
	/* the command may hold anything, even brackets: fields are counted from the last one; " S 12 …" is field 3 and on */
	const char *at = strrchr(buf, ')');
	uint64_t value = 0;
	for (int field = 2; at != NULL && field < 22; field++) {
		at = strchr(at, ' ');
		if (at == NULL)
			return false;
		at++;
		if (field + 1 == 4 && text_parse_number(at, strcspn(at, " "), &value))
			*parent = (pid_t)value;
	}
	return at != NULL && text_parse_number(at, strcspn(at, " \n"), start);
}

static bool tree_grow(struct tree *tree)
{
	size_t capacity = tree->capacity > 0 ? tree->capacity * 2 : 128;
	void *bigger = mmap(NULL, capacity * sizeof(*tree->entries), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bigger == MAP_FAILED)
		return false;
	if (tree->count > 0)
		memcpy(bigger, tree->entries, tree->count * sizeof(*tree->entries));
	if (tree->capacity > 0)
		munmap(tree->entries, tree->capacity * sizeof(*tree->entries));
	tree->entries = bigger;
	tree->capacity = capacity;
	return true;
}

void tree_free(struct tree *tree)
{
	if (tree->capacity > 0)
		munmap(tree->entries, tree->capacity * sizeof(*tree->entries));
	*tree = (struct tree){ 0 };
}

/* Out of memory: what is there is dealt with, the next round finds the rest. */
static void tree_add(struct tree *tree, pid_t pid, pid_t parent, uint64_t start, bool inside)
{
	if (tree->count == tree->capacity && !tree_grow(tree))
		return;
	tree->entries[tree->count++] = (struct tree_entry){ pid, parent, start, inside };
}

/* Calls `each` for every number among the names of a directory. */
static bool dir_numbers(const char *path, void (*each)(void *ctx, pid_t number), void *ctx)
{
	_Alignas(struct raw_dirent) char buf[1024];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	long n;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct raw_dirent *entry = (const struct raw_dirent *)(const void *)(buf + at);
			uint64_t number;
			if (text_parse_number(entry->name, strlen(entry->name), &number) && number > 0 && number <= INT32_MAX)
				each(ctx, (pid_t)number);
			at += entry->reclen;
		}
	}
	close(fd);
	return true;
}

/* ---- by children files */

struct walk {
	const char *proc;
	struct tree *tree;
	pid_t pid; /* whose children are read */
	bool found_file;
};

static void walk_add(struct walk *walk, const char *digits, size_t len)
{
	uint64_t number, start;
	pid_t parent = 0;
	if (text_parse_number(digits, len, &number) && tree_read_stat(walk->proc, (pid_t)number, &parent, &start))
		tree_add(walk->tree, (pid_t)number, walk->pid, start, true);
}

/* One "12 13 14 " of any length: a number cut by the end of the buffer is carried over. */
static void walk_task(void *ctx, pid_t task)
{
	struct walk *walk = ctx;
	struct text path;
	proc_path(&path, walk->proc, walk->pid, "/task/");
	text_add_number(&path, (uint64_t)task);
	text_add(&path, "/children");
	int fd = open(path.buf, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	walk->found_file = true;
	char buf[256], digits[16];
	size_t len = 0;
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9' && len < sizeof(digits)) {
				digits[len++] = buf[i];
			} else {
				walk_add(walk, digits, len);
				len = 0;
			}
		}
	}
	walk_add(walk, digits, len);
	close(fd);
}

bool tree_walk(const char *proc, pid_t root, struct tree *tree)
{
	struct walk walk = { .proc = proc, .tree = tree, .pid = root };
	for (size_t next = 0;; next++) {
		struct text path;
		proc_path(&path, proc, walk.pid, "/task");
		dir_numbers(path.buf, walk_task, &walk);
		/* a tree that grows faster than it is read is for the next round */
		if (!walk.found_file || next >= tree->count || next > (1u << 20))
			return walk.found_file;
		walk.pid = tree->entries[next].pid;
	}
}

/* ---- by scanning */

static void scan_process(void *ctx, pid_t pid)
{
	struct walk *walk = ctx;
	pid_t parent = 0;
	uint64_t start;
	if (tree_read_stat(walk->proc, pid, &parent, &start))
		tree_add(walk->tree, pid, parent, start, false);
}

static bool scan_has_parent_inside(const struct tree *tree, const struct tree_entry *entry, pid_t root)
{
	if (entry->parent == root)
		return true;
	for (size_t i = 0; i < tree->count; i++)
		if (tree->entries[i].inside && tree->entries[i].pid == entry->parent)
			return true;
	return false;
}

void tree_scan(const char *proc, pid_t root, struct tree *tree)
{
	struct walk walk = { .proc = proc, .tree = tree };
	dir_numbers(proc, scan_process, &walk);
	bool changed;
	do {
		changed = false;
		for (size_t i = 0; i < tree->count; i++) {
			struct tree_entry *entry = &tree->entries[i];
			if (!entry->inside && entry->pid != root && scan_has_parent_inside(tree, entry, root))
				entry->inside = changed = true;
		}
	} while (changed);
}

/* ---- signals */

static void entry_signal(const struct tree_entry *entry, int sig)
{
	int fd = (int)syscall(SYS_pidfd_open, entry->pid, 0);
	if (fd < 0)
		return;
	pid_t parent;
	uint64_t start;
	if (tree_read_stat("/proc", entry->pid, &parent, &start) && start == entry->start) {
		syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
		if (sig != SIGKILL) /* what is stopped would not hear it */
			syscall(SYS_pidfd_send_signal, fd, SIGCONT, NULL, 0);
	}
	close(fd);
}

void tree_signal(int sig, bool thorough)
{
	struct tree tree = { 0 };
	if (thorough || !tree_walk("/proc", getpid(), &tree)) {
		tree_free(&tree);
		tree_scan("/proc", getpid(), &tree);
	}
	for (size_t i = 0; i < tree.count; i++)
		if (tree.entries[i].inside)
			entry_signal(&tree.entries[i], sig);
	tree_free(&tree);
}
