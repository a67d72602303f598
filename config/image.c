/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a file, telling what it is, and refusing what is no firmware at all. Each kind has a file of its own. */
#include "config/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/image_file.h"

#define HEAD_MAX       4096
#define PASS_MAX       16384
#define NAME_MAX_SHOWN 200

static const char *const kind_names[] = { [IMAGE_ELF] = "ELF", [IMAGE_HEX] = "Intel hex", [IMAGE_BIN] = "raw binary" };
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == IMAGE_KIND_COUNT, "a name for every kind");

const char *image_kind_name(enum image_kind kind)
{
	return kind_names[kind];
}

int image_fail(const struct image_file *file, struct err *err, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" %s", file->name, text);
	return err_reason(err, "invalid-image");
}

int image_read(const struct image_file *file, uint64_t offset, void *buf, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(file->fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_sys(err, errno, "read \"%s\"", file->name);
			return err_reason(err, "invalid-image");
		}
		if (n == 0)
			return image_fail(file, err, "became shorter while it was read; is a build still writing it?");
		done += (size_t)n;
	}
	return 0;
}

int image_pass(const struct image_file *file, uint64_t offset, uint64_t address, uint64_t len, struct err *err)
{
	unsigned char buf[PASS_MAX];

	for (uint64_t done = 0; file->sink && done < len;) {
		size_t n = len - done < sizeof(buf) ? (size_t)(len - done) : sizeof(buf);

		if (image_read(file, offset + done, buf, n, err) < 0 || file->sink->write(file->sink->ctx, address + done, buf, n, err) < 0)
			return -1;
		done += n;
	}
	return 0;
}

/* ---------------------------------------------------------------- opening */

/* The end of a long path says more than its beginning, and the message must keep room for the reason. */
static const char *shown_name(const char *path, char *buf, size_t size)
{
	size_t len = strlen(path);

	if (len < size)
		return path;
	snprintf(buf, size, "...%s", path + len - (size - 4));
	return buf;
}

static int fail_open(const struct image_file *file, const struct image_expect *expect, struct err *err)
{
	int sys = errno;

	if (expect && expect->file) {
		err_set(err, ERR_NOT_FOUND, "\"%s\" was uploaded, but is not with the daemon any more (%s): start it again with the file",
			file->name, strerror(sys));
		return err_reason(err, "image-elsewhere");
	}
	if (expect && sys == ENOENT) {
		err_set(err, ERR_FAILED_PRECONDITION,
			"\"%s\" is not there for the daemon, though the client sees it: they have different views of the file system "
			"(container, chroot or private mount?)",
			file->name);
		return err_reason(err, "image-elsewhere");
	}
	if (expect && sys == EACCES) {
		err_set(err, ERR_FAILED_PRECONDITION, "\"%s\" may not be read by the daemon, though the client sees it", file->name);
		return err_reason(err, "image-elsewhere");
	}
	err_sys(err, sys, "image \"%s\"", file->name);
	return err_reason(err, "invalid-image");
}

static int compare(const struct image_file *file, const struct stat *st, const struct image_expect *expect, struct err *err)
{
	if (!expect || expect->file ||
	    (st->st_dev == expect->device && st->st_ino == expect->inode && (uint64_t)st->st_size == expect->size))
		return 0;
	if (st->st_dev == expect->device && st->st_ino == expect->inode) {
		err_set(err, ERR_FAILED_PRECONDITION,
			"\"%s\" had %llu bytes when the client looked and has %llu now; is a build still writing it?", file->name,
			(unsigned long long)expect->size, (unsigned long long)st->st_size);
		return err_reason(err, "image-mismatch");
	}
	err_set(err, ERR_FAILED_PRECONDITION,
		"\"%s\" is another file for the daemon than for the client: it was replaced just now, or they have different "
		"views of the file system (container, chroot or private mount?)",
		file->name);
	return err_reason(err, "image-elsewhere");
}

static int check_stat(struct image_file *file, const struct image_expect *expect, struct err *err)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return fail_open(file, NULL, err);
	if (S_ISDIR(st.st_mode))
		return image_fail(file, err, "is a directory; name the firmware file in it");
	if (!S_ISREG(st.st_mode))
		return image_fail(file, err, "is no regular file");
	if (compare(file, &st, expect, err) < 0)
		return -1;
	if (st.st_size == 0)
		return image_fail(file, err, "is empty; did the build fail?");
	file->size = (uint64_t)st.st_size;
	return 0;
}

/* ---------------------------------------------------------------- what it is */

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len >= end_len && strcasecmp(name + len - end_len, end) == 0;
}

static const struct {
	const char *magic;
	const char *what;
} not_firmware[] = {
	{ "!<arch>\n", "is a static library; link it to an ELF file first" },
	{ "\x1f\x8b\x08", "is compressed by gzip; unpack it first" },
	{ "PK\x03\x04", "is a zip archive; unpack it first" },
	{ "\xfd"
	  "7zXZ",
	  "is compressed by xz; unpack it first" },
	{ "UF2\n", "is a UF2 file, which no emulator reads; use the ELF file it was made from" },
	{ "S0", "is a Motorola S-record file; convert it: objcopy -I srec -O ihex IN OUT.hex" },
};

static bool is_one_of(unsigned char c, const char *set)
{
	return c != 0 && strchr(set, c);
}

/* How many bytes a well-formed UTF-8 character or printable ASCII takes here; 0: this is no text. */
static size_t text_char(const unsigned char *at, size_t left)
{
	size_t len = at[0] < 0x80                    ? 1
		     : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
		     : (at[0] & 0xf0) == 0xe0        ? 3
		     : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
						     : 0;

	if (len == 1)
		return at[0] >= ' ' && at[0] != 0x7f ? 1 : is_one_of(at[0], "\t\n\r\f\x1b");
	for (size_t i = 1; i < len && i < left; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

static bool is_text(const unsigned char *head, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = text_char(head + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* A colon and a record's worth of hex digits. Blank lines before it are tolerated. */
static bool is_hex(const unsigned char *head, size_t len)
{
	size_t digits = 0, at = 0;

	while (at < len && is_one_of(head[at], " \t\r\n"))
		at++;
	if (at >= len || head[at] != ':')
		return false;
	while (at + 1 + digits < len && is_one_of(head[at + 1 + digits], "0123456789abcdefABCDEF"))
		digits++;
	return digits >= 10;
}

static int classify(const struct image_file *file, enum image_kind *kind, struct err *err)
{
	unsigned char head[HEAD_MAX];
	size_t len = file->size < HEAD_MAX ? (size_t)file->size : HEAD_MAX;
	const char *name = file->name;

	if (image_read(file, 0, head, len, err) < 0)
		return -1;
	if (len >= 4 && memcmp(head, "\177ELF", 4) == 0) {
		*kind = IMAGE_ELF;
		return 0;
	}
	if (is_hex(head, len)) {
		*kind = IMAGE_HEX;
		return 0;
	}
	for (size_t i = 0; i < sizeof(not_firmware) / sizeof(not_firmware[0]); i++) {
		size_t magic_len = strlen(not_firmware[i].magic);

		if (len >= magic_len && memcmp(head, not_firmware[i].magic, magic_len) == 0)
			return image_fail(file, err, "%s", not_firmware[i].what);
	}
	const char *is = is_text(head, len) ? "a text file" : "something else";
	if (ends_with(name, ".elf") || ends_with(name, ".axf"))
		return image_fail(file, err, "is named like an ELF file but is %s; build it again", is);
	if (ends_with(name, ".hex") || ends_with(name, ".ihex"))
		return image_fail(file, err, "is named like an Intel hex file but is %s; build it again", is);
	if (is_text(head, len))
		return image_fail(file, err, "is a text file, no firmware; give an ELF, Intel hex or raw binary file");
	*kind = IMAGE_BIN;
	return 0;
}

static int check_open_file(struct image_file *file, const uint64_t *address, const struct image_expect *expect, struct image_info *info,
			   struct err *err)
{
	if (check_stat(file, expect, err) < 0 || classify(file, &info->kind, err) < 0)
		return -1;
	if (info->kind == IMAGE_BIN)
		return image_check_bin(file, address, info, err);
	if (address)
		return image_fail(file, err,
				  "is an %s file and has addresses of its own: leave out @0x%llx, or make a raw binary of it with objcopy",
				  image_kind_name(info->kind), (unsigned long long)*address);
	return info->kind == IMAGE_ELF ? image_check_elf(file, info, err) : image_check_hex(file, info, err);
}

static int open_and_check(struct image_file *file, const char *path, const uint64_t *address, const struct image_expect *expect,
			  struct image_info *out, struct err *err)
{
	char shown[NAME_MAX_SHOWN];
	struct image_info info = { 0 };

	if (expect && expect->file == NULL && expect->device == 0 && expect->inode == 0 && expect->size == 0)
		expect = NULL;
	file->name = shown_name(path, shown, sizeof(shown));
	file->fd = open(expect && expect->file ? expect->file : path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int rc = file->fd < 0 ? fail_open(file, expect, err) : check_open_file(file, address, expect, &info, err);

	if (file->fd >= 0)
		close(file->fd);
	file->name = path;
	if (rc == 0)
		*out = info;
	return rc;
}

int image_check(const char *path, const Pwemu__V1__Target *target, const uint64_t *address, const struct image_expect *expect,
		struct image_info *out, struct err *err)
{
	struct image_file file = { .fd = -1, .target = target };

	return open_and_check(&file, path, address, expect, out, err);
}

int image_load(const char *path, const Pwemu__V1__Target *target, const uint64_t *address, const uint64_t *offset,
	       const struct image_expect *expect, const struct image_sink *sink, struct image_info *out, struct err *err)
{
	struct image_file file = { .fd = -1, .target = target, .sink = sink, .shift = offset ? *offset : 0, .is_shifted = offset };

	return open_and_check(&file, path, address, expect, out, err);
}
