/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/prepare.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "base/pb.h"
#include "config/image.h"
#include "config/image_calls.h"
#include "instance/program.h"
#include "instance/origin.h"
#include "instance/uploads.h"
#include "loop/helper.h"
#include "pwemu/v1/jobs.pb-c.h"
#include "wire/mem.h"

#define PREPARE_DEADLINE_MS 20000
#define PREPARE_PATH        "/usr/local/bin:/usr/bin:/bin"

struct prepare {
	struct helper *helper;
	/* One of them. */
	void (*on_done)(void *ctx, const struct prepare_result *result);
	void (*on_loaded)(void *ctx, const struct prepare_loaded *loaded);
	void (*on_programs)(void *ctx, const struct prepare_program *rows, const struct err *err);
	size_t program_count;
	void *ctx;
};

/* Where programs are looked for. */
struct prepare_search {
	const Pwemu__V1__Environment *environment; /* NULL: the daemon's own */
	const char *dir;                           /* where that names no directory */
};

const Pwemu__V1__Environment *prepare_environment(const Pwemu__V1__StartRequest *request)
{
	return origin_is_elsewhere(request->origin) ? NULL : request->environment;
}

/* ---------------------------------------------------------------- in the helper */

static const char *prepare_search_path(const Pwemu__V1__Environment *environment)
{
	const char *path = NULL;
	if (environment != NULL && environment->n_variables > 0)
		path = strv_env(environment->variables, environment->n_variables, "PATH");
	else
		path = getenv("PATH");
	return path != NULL && path[0] != '\0' ? path : PREPARE_PATH;
}

static const char *prepare_cwd(const struct prepare_search *search)
{
	return search->environment != NULL && search->environment->cwd[0] == '/' ? search->environment->cwd : search->dir;
}

/* 0: executable; else errno. */
static int prepare_try(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return access(path, X_OK) == 0 ? 0 : errno;
}

static int prepare_join(char out[PREPARE_PATH_MAX], const char *cwd, const char *dir, size_t dir_len, const char *file)
{
	bool is_absolute = dir_len > 0 ? dir[0] == '/' : file[0] == '/';
	int n = snprintf(out, PREPARE_PATH_MAX, "%s%s%.*s%s%s", is_absolute ? "" : cwd, is_absolute ? "" : "/", (int)dir_len, dir,
			 dir_len > 0 ? "/" : "", file);
	return n < PREPARE_PATH_MAX ? prepare_try(out) : ENAMETOOLONG;
}

static int prepare_search_in(const char *dirs, const char *cwd, const char *name, char out[PREPARE_PATH_MAX])
{
	int best = ENOENT;
	for (const char *at = dirs;; at++) {
		size_t len = strcspn(at, ":");
		int sys = prepare_join(out, cwd, len > 0 ? at : ".", len > 0 ? len : 1, name);
		if (sys == 0)
			return 0;
		if (sys == EACCES)
			best = EACCES;
		at += len;
		if (*at == '\0')
			return best;
	}
}

/* 0, or errno. */
static int prepare_find(const struct prepare_search *search, const char *name, char out[PREPARE_PATH_MAX])
{
	if (strchr(name, '/') != NULL)
		return prepare_join(out, prepare_cwd(search), "", 0, name);
	return prepare_search_in(prepare_search_path(search->environment), prepare_cwd(search), name, out);
}

static int prepare_program(const struct prepare_spec *spec, struct prepare_result *result)
{
	const struct prepare_search search = { prepare_environment(spec->request), spec->working_dir };
	const char *name = spec->executable;
	bool has_slash = strchr(name, '/') != NULL;
	int sys = prepare_find(&search, name, result->program);
	if (sys == 0) {
		result->has_no_sandbox =
			program_needs(result->program, "libglib-2.0.so") && !program_needs(result->program, "libseccomp.so");
		return 0;
	}
	if (sys == ENOENT && has_slash)
		err_set(&result->err, ERR_NOT_FOUND, "emulator \"%s\" not found; install it or correct \"executable\" of target \"%s\"",
			name, spec->target->name);
	else if (sys == ENOENT)
		err_set(&result->err, ERR_NOT_FOUND, "emulator \"%s\" not found in PATH (%.300s); install it (%s) or correct PATH", name,
			prepare_search_path(search.environment), spec->install);
	else
		err_sys(&result->err, sys, "emulator \"%s\" cannot be executed", name);
	return err_reason(&result->err, sys == ENOENT ? "emulator-not-found" : "emulator-not-executable");
}

static uint32_t prepare_kind(enum image_kind kind)
{
	return kind == IMAGE_ELF ? DRIVER_IMAGE_ELF : kind == IMAGE_HEX ? DRIVER_IMAGE_HEX : DRIVER_IMAGE_BIN;
}

static int prepare_elsewhere(const Pwemu__V1__Image *image, struct err *err)
{
	err_set(err, ERR_FAILED_PRECONDITION, "\"%.300s\" is on the client's machine: it has to be uploaded", image->path);
	return err_reason(err, "image-elsewhere");
}

/* A raw binary without an address goes to the board's boot memory. */
static int prepare_file(const struct prepare_spec *spec, const Pwemu__V1__Image *image, const char *file, struct prepare_result *result)
{
	bool has_address = image->load_case == PWEMU__V1__IMAGE__LOAD_ADDRESS;
	struct image_expect expect = { .device = image->device, .inode = image->inode, .size = image->size, .file = file };
	struct image_info info;
	if (image_check(image->path, spec->target, has_address ? &image->address : NULL, &expect, &info, &result->err) < 0)
		return -1;
	uint32_t at = result->image_count++;
	result->images[at].kind = prepare_kind(info.kind);
	result->images[at].address = info.address;
	result->images[at].entry = info.entry;
	if (info.kind == IMAGE_ELF)
		result->call_count +=
			(uint32_t)image_semihosting_calls(file != NULL ? file : image->path, spec->target,
							  result->calls + result->call_count, PREPARE_CALLS_MAX - result->call_count);
	return 0;
}

static int prepare_image(const struct prepare_spec *spec, const Pwemu__V1__Image *image, struct prepare_result *result)
{
	if (image->digest[0] == '\0' && origin_is_elsewhere(spec->request->origin))
		return prepare_elsewhere(image, &result->err);
	char *file = image->digest[0] != '\0' ? uploads_path(spec->state_dir, spec->uid, image->digest) : NULL;
	int rc = prepare_file(spec, image, file, result);
	free(file);
	return rc;
}

/* A private mount that we do not see. */
static int prepare_cwd_check(const Pwemu__V1__StartRequest *request, struct err *err)
{
	const Pwemu__V1__Origin *origin = request->origin;
	struct stat st;
	if (origin == NULL || origin->remote || origin->cwd_inode == 0 || request->environment == NULL)
		return 0;
	int rc = stat(request->environment->cwd, &st);
	if (rc == 0 ? st.st_dev == origin->cwd_device && st.st_ino == origin->cwd_inode : errno != ENOENT)
		return 0;
	err_set(err, ERR_FAILED_PRECONDITION, "\"%.300s\" is another directory for the daemon than for the client, which does not say so",
		request->environment->cwd);
	return err_reason(err, "client-elsewhere");
}

static int prepare_images(const struct prepare_spec *spec, struct prepare_result *result)
{
	const Pwemu__V1__StartRequest *request = spec->request;
	if (request->n_images > PREPARE_IMAGES_MAX)
		return err_set(&result->err, ERR_INVALID_ARGUMENT, "%zu images; at most %d can be loaded", request->n_images,
			       PREPARE_IMAGES_MAX);
	for (size_t i = 0; i < request->n_images; i++)
		if (prepare_image(spec, request->images[i], result) < 0)
			return -1;
	return 0;
}

static int prepare_write(int fd, const void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);
		if (n <= 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int prepare_put_piece(void *ctx, uint64_t address, const void *bytes, size_t len, struct err *err)
{
	const struct prepare_load_spec *spec = ctx;
	struct driver_piece piece = { address, len };
	if (prepare_write(spec->out_fd, &piece, sizeof(piece)) == 0 && prepare_write(spec->out_fd, bytes, len) == 0)
		return 0;
	return err_sys(err, errno, "keep the contents of \"%s\"", spec->image->path);
}

static void prepare_load_work(void *arg, int reply_fd)
{
	struct prepare_load_spec *spec = arg;
	const Pwemu__V1__Image *image = spec->image;
	struct prepare_loaded loaded = { .err = ERR_INIT };
	struct image_expect expect = { .device = image->device, .inode = image->inode, .size = image->size, .file = spec->file };
	struct image_sink sink = { .write = prepare_put_piece, .ctx = spec };
	struct image_info info;
	bool has_address = image->load_case == PWEMU__V1__IMAGE__LOAD_ADDRESS;
	if (image_load(image->path, spec->target, has_address ? &image->address : NULL, spec->offset, &expect, &sink, &info, &loaded.err) ==
	    0) {
		loaded.kind = prepare_kind(info.kind);
		loaded.entry = info.kind == IMAGE_BIN ? info.address : info.entry;
	}
	(void)prepare_write(reply_fd, &loaded, sizeof(loaded));
}

/* Asks the network, perhaps: hence here. */
static void prepare_name_user(struct prepare_result *result)
{
	const struct passwd *entry = getpwuid(geteuid());
	if (entry != NULL)
		snprintf(result->user, sizeof(result->user), "%s", entry->pw_name);
}

static void prepare_look(const Pwemu__V1__ImageCheckJob *job, struct prepare_result *result)
{
	const struct prepare_spec spec = {
		.target = job->target,
		.request = job->request,
		.executable = job->executable,
		.install = job->install,
		.working_dir = job->working_dir,
		.state_dir = job->state_dir,
		.uid = job->uid,
	};
	if (job->wants_name)
		prepare_name_user(result);
	if (prepare_cwd_check(spec.request, &result->err) == 0 && prepare_program(&spec, result) == 0 &&
	    prepare_images(&spec, result) == 0 && dirs_make(spec.working_dir, &result->err) < 0)
		err_prefix(&result->err, "working directory");
}

static void prepare_serve(const void *bytes, size_t len, int reply_fd)
{
	static struct prepare_result result;
	memset(&result, 0, sizeof(result));
	Pwemu__V1__ImageCheckJob *job = pwemu__v1__image_check_job__unpack(NULL, len, bytes);
	if (job != NULL)
		prepare_look(job, &result);
	else
		err_set(&result.err, ERR_INTERNAL, "the daemon's request cannot be read");
	pwemu__v1__image_check_job__free_unpacked(job, NULL);
	(void)prepare_write(reply_fd, &result, sizeof(result));
}

struct prepare_names {
	struct prepare_search search;
	const char *const *names;
	size_t count;
};

static void prepare_programs_work(void *arg, int reply_fd)
{
	const struct prepare_names *job = arg;
	for (size_t i = 0; i < job->count; i++) {
		static struct prepare_program row;
		row.sys = prepare_find(&job->search, job->names[i], row.path);
		(void)prepare_write(reply_fd, &row, sizeof(row));
	}
}

/* ---------------------------------------------------------------- in the daemon */

static void prepare_on_done(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct prepare *prepare = ctx;
	static struct prepare_result result; /* large; one at a time is looked at */
	memset(&result, 0, sizeof(result));
	if (err != NULL) {
		result.err = *err;
		err_prefix(&result.err, "looking at images and emulator");
	} else if (len != sizeof(result)) {
		err_set(&result.err, ERR_INTERNAL, "the helper that looks at images gave %zu bytes instead of %zu", len, sizeof(result));
	} else {
		memcpy(&result, reply, sizeof(result));
	}
	prepare->on_done(prepare->ctx, &result);
	free(prepare);
}

/* Only packed, not changed: hence the casts. */
static void prepare_fill_job(const struct prepare_spec *spec, Pwemu__V1__StartRequest *request, Pwemu__V1__ImageCheckJob *job)
{
	request->images = spec->request->images;
	request->n_images = spec->request->n_images;
	request->environment = spec->request->environment;
	request->origin = spec->request->origin;
	job->target = (Pwemu__V1__Target *)(uintptr_t)spec->target;
	job->request = request;
	job->executable = (char *)(uintptr_t)spec->executable;
	job->install = (char *)(uintptr_t)spec->install;
	job->working_dir = (char *)(uintptr_t)spec->working_dir;
	job->state_dir = (char *)(uintptr_t)spec->state_dir;
	job->uid = spec->uid;
	job->wants_name = spec->user != NULL && !spec->user->is_named;
}

static void *prepare_pack(const struct prepare_spec *spec, size_t *len)
{
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	Pwemu__V1__ImageCheckJob job = PWEMU__V1__IMAGE_CHECK_JOB__INIT;
	prepare_fill_job(spec, &request, &job);
	return pb_pack(&job.base, len);
}

int prepare_begin(struct event_base *base, const struct prepare_spec *spec, void (*on_done)(void *ctx, const struct prepare_result *result),
		  void *ctx, struct prepare **out, struct err *err)
{
	struct prepare *prepare = xcalloc(1, sizeof(*prepare));
	prepare->on_done = on_done;
	prepare->ctx = ctx;
	struct helper_spec helper = {
		.name = "image check",
		.user = spec->user,
		.deadline_ms = PREPARE_DEADLINE_MS,
		.max_reply = sizeof(struct prepare_result),
		.is_exact = true,
		.serve = prepare_serve,
		.on_done = prepare_on_done,
		.ctx = prepare,
	};
	void *job = prepare_pack(spec, &helper.job_len);
	helper.job = job;
	int rc = helper_run(base, &helper, &prepare->helper, err);
	free(job);
	if (rc == 0)
		*out = prepare;
	else
		free(prepare);
	return rc;
}

static void prepare_on_loaded(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct prepare *prepare = ctx;
	struct prepare_loaded loaded = { .err = ERR_INIT };
	if (err != NULL) {
		loaded.err = *err;
		err_prefix(&loaded.err, "looking at the image");
	} else if (len != sizeof(loaded)) {
		err_set(&loaded.err, ERR_INTERNAL, "the helper that looks at the image gave %zu bytes instead of %zu", len, sizeof(loaded));
	} else {
		memcpy(&loaded, reply, sizeof(loaded));
	}
	prepare->on_loaded(prepare->ctx, &loaded);
	free(prepare);
}

int prepare_load_begin(struct event_base *base, const struct prepare_load_spec *spec,
		       void (*on_done)(void *ctx, const struct prepare_loaded *loaded), void *ctx, struct prepare **out, struct err *err)
{
	struct prepare *prepare = xcalloc(1, sizeof(*prepare));
	prepare->on_loaded = on_done;
	prepare->ctx = ctx;
	struct helper_spec helper = {
		.name = "image check",
		.user = spec->user,
		.deadline_ms = PREPARE_DEADLINE_MS,
		.max_reply = sizeof(struct prepare_loaded),
		.is_exact = true,
		.keep_fds = &spec->out_fd,
		.keep_count = 1,
		.work = prepare_load_work,
		.arg = (void *)(uintptr_t)spec,
		.on_done = prepare_on_loaded,
		.ctx = prepare,
	};
	if (helper_run(base, &helper, &prepare->helper, err) < 0) {
		free(prepare);
		return -1;
	}
	*out = prepare;
	return 0;
}

void prepare_cancel(struct prepare *prepare)
{
	if (prepare == NULL)
		return;
	helper_cancel(prepare->helper);
	free(prepare);
}

static void prepare_on_programs(void *ctx, const void *reply, size_t len, const struct err *err)
{
	struct prepare *prepare = ctx;
	struct err short_err = ERR_INIT;
	if (err == NULL && len != prepare->program_count * sizeof(struct prepare_program)) {
		err_set(&short_err, ERR_INTERNAL, "the helper that looks for programs gave %zu bytes", len);
		err = &short_err;
	}
	prepare->on_programs(prepare->ctx, reply, err);
	free(prepare);
}

int prepare_programs(struct event_base *base, const struct user *user, const Pwemu__V1__Environment *environment, const char *dir,
		     const char *const *names, size_t count,
		     void (*on_done)(void *ctx, const struct prepare_program *rows, const struct err *err), void *ctx, struct prepare **out,
		     struct err *err)
{
	struct prepare *prepare = xcalloc(1, sizeof(*prepare));
	struct prepare_names job = { { environment, dir }, names, count };
	prepare->on_programs = on_done;
	prepare->program_count = count;
	prepare->ctx = ctx;
	struct helper_spec helper = {
		.name = "search for programs",
		.user = user,
		.deadline_ms = PREPARE_DEADLINE_MS,
		.max_reply = count * sizeof(struct prepare_program),
		.is_exact = true,
		.work = prepare_programs_work,
		.arg = &job,
		.on_done = prepare_on_programs,
		.ctx = prepare,
	};
	if (helper_run(base, &helper, &prepare->helper, err) < 0) {
		free(prepare);
		return -1;
	}
	*out = prepare;
	return 0;
}
