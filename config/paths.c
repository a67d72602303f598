/* SPDX-License-Identifier: Apache-2.0 */
#include "config/paths.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int paths_format(char out[PATHS_MAX], struct err *err, const char *a, const char *b, const char *c)
{
	if (snprintf(out, PATHS_MAX, "%s%s%s", a, b, c) >= PATHS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "path \"%.100s...\": longer than %d bytes", a, PATHS_MAX - 1);
	return 0;
}

/* An absolute path from the environment, else NULL: the XDG specification tells to ignore relative ones. */
static const char *paths_env(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && value[0] == '/' ? value : NULL;
}

static bool paths_is_ours(const char *dir)
{
	struct stat st;
	return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static int paths_runtime(struct paths *paths, struct err *err)
{
	const char *xdg = paths_env("XDG_RUNTIME_DIR");
	if (xdg != NULL && paths_is_ours(xdg))
		return paths_format(paths->runtime_dir, err, xdg, "/pwemu", "");
	char uid[24];
	snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	return paths_format(paths->runtime_dir, err, "/tmp/pwemu-", uid, "");
}

static int paths_state(struct paths *paths, struct err *err)
{
	char uid[24];
	snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	if (paths_format(paths->fallback_state_dir, err, "/tmp/pwemu-", uid, "/state") < 0)
		return -1;
	const char *xdg = paths_env("XDG_STATE_HOME");
	const char *home = paths_env("HOME");
	if (xdg != NULL)
		return paths_format(paths->state_dir, err, xdg, "/pwemu", "");
	if (home != NULL)
		return paths_format(paths->state_dir, err, home, "/.local/state/pwemu", "");
	return paths_format(paths->state_dir, err, paths->fallback_state_dir, "", "");
}

static int paths_config(char out[PATHS_MAX], const char *file, struct err *err)
{
	const char *xdg = paths_env("XDG_CONFIG_HOME");
	const char *home = paths_env("HOME");
	out[0] = '\0';
	if (xdg != NULL)
		return paths_format(out, err, xdg, "/pwemu/", file);
	return home != NULL ? paths_format(out, err, home, "/.config/pwemu/", file) : 0;
}

static int paths_installation(struct paths *paths, struct err *err)
{
	char exe[PATHS_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n < 0)
		return err_sys(err, errno, "read link \"/proc/self/exe\"");
	exe[n] = '\0';
	for (int up = 0; up < 2; up++) { /* <prefix>/bin/<program> */
		char *slash = strrchr(exe, '/');
		if (slash != NULL)
			*slash = '\0';
	}
	if (paths_format(paths->daemon, err, exe, "/bin/pwemud", "") < 0 ||
	    paths_format(paths->shim, err, exe, "/libexec/pwemu/pwemu-shim", "") < 0 ||
	    paths_format(paths->tls_module, err, exe, "/libexec/pwemu/pwemu-tls.so", "") < 0)
		return -1;
	return paths_format(paths->targets_dir, err, exe, "/share/pwemu/targets", "");
}

int paths_init(struct paths *paths, struct err *err)
{
	if (paths_runtime(paths, err) < 0 || paths_state(paths, err) < 0 || paths_config(paths->settings, "pwemud.json", err) < 0 ||
	    paths_config(paths->contexts, "contexts.json", err) < 0 || paths_installation(paths, err) < 0)
		return -1;
	return paths_format(paths->control_socket, err, paths->runtime_dir, "/control.sock", "");
}

void paths_use_system(struct paths *paths)
{
	snprintf(paths->runtime_dir, PATHS_MAX, "/run/pwemu");
	snprintf(paths->control_socket, PATHS_MAX, PATHS_SYSTEM_SOCKET);
	snprintf(paths->run_dir, PATHS_MAX, "/run/pwemu");
	snprintf(paths->state_dir, PATHS_MAX, "/var/lib/pwemu");
	snprintf(paths->settings, PATHS_MAX, "/etc/pwemu/pwemud.json");
}

static int paths_make_parents(const char *dir, struct err *err)
{
	char part[PATHS_MAX];
	if (paths_format(part, err, dir, "", "") < 0)
		return -1;
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
			return err_sys(err, errno, "make directory \"%s\"", part);
		*slash = '/';
	}
	return 0;
}

int paths_make_private_dir(const char *dir, struct err *err)
{
	if (paths_make_parents(dir, err) < 0)
		return -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory \"%s\"", dir);
	struct stat st;
	if (lstat(dir, &st) < 0)
		return err_sys(err, errno, "look at directory \"%s\"", dir);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_FAILED_PRECONDITION, "\"%s\" is not a directory; remove it", dir);
	if (st.st_uid != geteuid())
		return err_set(err, ERR_PERMISSION_DENIED,
			       "directory \"%s\" belongs to uid %u, not to us (%u); set XDG_RUNTIME_DIR and XDG_STATE_HOME", dir,
			       (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 022) != 0)
		return err_set(err, ERR_PERMISSION_DENIED, "directory \"%s\" can be written by others; run: chmod 700 %s", dir, dir);
	return 0;
}

int paths_make_public_dir(const char *dir, struct err *err)
{
	if (paths_make_private_dir(dir, err) < 0)
		return -1;
	return chmod(dir, 0711) < 0 ? err_sys(err, errno, "let all users pass through directory \"%s\"", dir) : 0;
}

int paths_make_runtime_dir(const struct paths *paths, struct err *err)
{
	return paths_make_private_dir(paths->runtime_dir, err);
}
