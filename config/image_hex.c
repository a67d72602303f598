/* SPDX-License-Identifier: Apache-2.0 */
/* Intel hex: every record is checked, so that what QEMU's loader would drop without a word is named with its line. */
#include <string.h>

#include "config/image_file.h"

#define HEX_FILE_MAX    (64u << 20)
#define RECORD_MAX      (5 + 255) /* length, address (2), type, data, checksum */
#define LINE_MAX_BYTES  (1 + 2 * RECORD_MAX)
#define MEMORY_TEXT_MAX 500

enum { HEX_DATA, HEX_END, HEX_SEGMENT, HEX_START_SEGMENT, HEX_LINEAR, HEX_START_LINEAR, HEX_TYPE_COUNT };

struct hex {
	const struct image_file *file;
	struct image_info *out;
	unsigned line;
	uint32_t base;
	bool ended;
	/* Reading. */
	uint64_t offset;
	unsigned char buf[16384];
	size_t len, at;
};

/* The next byte of the file, -1 at its end, -2 on an error. */
static int next_byte(struct hex *hex, struct err *err)
{
	if (hex->at == hex->len) {
		uint64_t left = hex->file->size - hex->offset;

		hex->at = 0;
		hex->len = left < sizeof(hex->buf) ? (size_t)left : sizeof(hex->buf);
		if (hex->len == 0)
			return -1;
		if (image_read(hex->file, hex->offset, hex->buf, hex->len, err) < 0)
			return -2;
		hex->offset += hex->len;
	}
	return hex->buf[hex->at++];
}

/* 1: a line without its end and the blanks there; 0: no more; -1: error. */
static int next_line(struct hex *hex, char *line, size_t *len, struct err *err)
{
	int c = next_byte(hex, err);

	if (c < 0)
		return c == -1 ? 0 : -1;
	hex->line++;
	for (*len = 0; c >= 0 && c != '\n'; c = next_byte(hex, err)) {
		if (*len == LINE_MAX_BYTES && c != '\r' && c != ' ')
			return image_fail(hex->file, err, "line %u is longer than a hex record can be; build it again", hex->line);
		if (*len < LINE_MAX_BYTES)
			line[(*len)++] = (char)c;
	}
	while (*len > 0 && strchr("\r \t", line[*len - 1]))
		(*len)--;
	return c == -2 ? -1 : 1;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The record's bytes, checked for form, length and checksum. */
static int decode(const struct hex *hex, const char *line, size_t len, unsigned char *record, struct err *err)
{
	unsigned char sum = 0;
	size_t count = (len - 1) / 2;

	if (line[0] != ':')
		return image_fail(hex->file, err, "line %u is no hex record: it does not begin with a colon", hex->line);
	for (size_t i = 0; i < count; i++) {
		int high = digit(line[1 + 2 * i]), low = digit(line[2 + 2 * i]);

		if (high < 0 || low < 0)
			return image_fail(hex->file, err, "line %u has something else than hex digits", hex->line);
		record[i] = (unsigned char)(high << 4 | low);
		sum = (unsigned char)(sum + record[i]);
	}
	if (len % 2 == 0 || count < 5 || count != 5u + record[0])
		return image_fail(hex->file, err, "line %u has %zu characters, which does not fit its record length; the file is damaged",
				  hex->line, len);
	if (sum != 0)
		return image_fail(hex->file, err, "line %u has a wrong checksum; the file is damaged, copy or build it again", hex->line);
	return 0;
}

static int take_data(struct hex *hex, uint64_t address, const unsigned char *data, uint64_t size, struct err *err)
{
	const struct image_sink *sink = hex->file->sink;
	struct image_info *out = hex->out;
	char memory[MEMORY_TEXT_MAX];

	if (size == 0)
		return 0;
	if (!image_in_memory(hex->file->target, address, size))
		return image_fail(hex->file, err,
				  "is for addresses that %s does not have: line %u goes to 0x%08llx-0x%08llx. Its memory: %s. "
				  "Take the target the image is for",
				  hex->file->target->name, hex->line, (unsigned long long)address, (unsigned long long)(address + size - 1),
				  image_memory_text(hex->file->target, memory, sizeof(memory)));
	if (out->size == 0 || address < out->address)
		out->address = address;
	if (out->size == 0 || address + size > out->end)
		out->end = address + size;
	out->size += size;
	return sink ? sink->write(sink->ctx, address, data, size, err) : 0;
}

static int take_record(struct hex *hex, const unsigned char *record, struct err *err)
{
	static const unsigned char lengths[HEX_TYPE_COUNT] = { 0, 0, 2, 4, 2, 4 };
	unsigned len = record[0], type = record[3];
	const unsigned char *data = record + 4;

	if (type >= HEX_TYPE_COUNT)
		return image_fail(hex->file, err, "line %u is a record of unknown type %u", hex->line, type);
	if (type != HEX_DATA && len != lengths[type])
		return image_fail(hex->file, err, "line %u is a record of type %u with %u bytes instead of %u", hex->line, type, len,
				  lengths[type]);
	switch (type) {
	case HEX_DATA:
		return take_data(hex, hex->file->shift + hex->base + ((unsigned)record[1] << 8 | record[2]), data, len, err);
	case HEX_END:
		hex->ended = true;
		break;
	case HEX_SEGMENT:
		hex->base = ((uint32_t)data[0] << 8 | data[1]) << 4;
		break;
	case HEX_LINEAR:
		hex->base = ((uint32_t)data[0] << 8 | data[1]) << 16;
		break;
	case HEX_START_LINEAR:
		hex->out->entry = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
		break;
	case HEX_START_SEGMENT: /* where an 8086 begins: of no use here */
		break;
	}
	return 0;
}

static int check_lines(struct hex *hex, struct err *err)
{
	unsigned char record[RECORD_MAX] = { 0 };
	char line[LINE_MAX_BYTES];
	size_t len;
	int more;

	while ((more = next_line(hex, line, &len, err)) > 0) {
		if (len == 0)
			continue;
		if (hex->ended)
			return image_fail(hex->file, err, "line %u comes after the end record; are these two files in one?", hex->line);
		if (decode(hex, line, len, record, err) < 0 || take_record(hex, record, err) < 0)
			return -1;
	}
	return more;
}

int image_check_hex(const struct image_file *file, struct image_info *out, struct err *err)
{
	struct hex hex = { .file = file, .out = out };

	if (file->size > HEX_FILE_MAX)
		return image_fail(file, err, "is larger than %u MiB, too large for an Intel hex file", HEX_FILE_MAX >> 20);
	if (check_lines(&hex, err) < 0)
		return -1;
	if (!hex.ended)
		return image_fail(file, err, "is truncated: the end record (:00000001FF) is missing after line %u; copy or build it again",
				  hex.line);
	if (out->size == 0)
		return image_fail(file, err, "has no data records: nothing to load");
	return 0;
}
