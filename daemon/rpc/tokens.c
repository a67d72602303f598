/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/timer.h"
#include "wire/base64.h"
#include "wire/mem.h"
#include "config/sha256.h"

#define TOKENS_HEADER "pwemu-tokens 1"
#define TOKENS_FIELDS 7
#define TOKENS_BYTES  (4u << 20)
#define SECRET_BYTES  32

struct tokens {
	char *path;
	struct token *rows;
	size_t count;
};

struct tokens *tokens_new(const char *path)
{
	struct tokens *tokens = xcalloc(1, sizeof(*tokens));
	tokens->path = xstrdup(path);
	return tokens;
}

void tokens_free(struct tokens *tokens)
{
	if (tokens == NULL)
		return;
	free(tokens->path);
	free(tokens->rows);
	free(tokens);
}

/* ---------------------------------------------------------------- reading */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (hex_digit(text[i]) < 0)
			return false;
	return strlen(text) == len;
}

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number > max)
		return false;
	*out = number;
	return true;
}

static bool read_text(const char *text, char *out, size_t size)
{
	return snprintf(out, size, "%s", text) < (int)size;
}

/* Splits at tabs, in place. */
static bool line_split(char *line, char *fields[TOKENS_FIELDS])
{
	for (size_t i = 0; i < TOKENS_FIELDS; i++) {
		fields[i] = strsep(&line, "\t");
		if (fields[i] == NULL)
			return false;
	}
	return line == NULL;
}

static bool line_read(char *line, struct token *out)
{
	char *fields[TOKENS_FIELDS];
	uint64_t uid;
	struct err err;
	if (!line_split(line, fields) || !is_hex(fields[0], TOKEN_ID_LEN) || !is_hex(fields[1], 2 * sizeof(out->hash)))
		return false;
	memcpy(out->id, fields[0], sizeof(out->id));
	for (size_t i = 0; i < sizeof(out->hash); i++)
		out->hash[i] = (uint8_t)((unsigned)hex_digit(fields[1][2 * i]) << 4 | (unsigned)hex_digit(fields[1][2 * i + 1]));
	bool is_good = fields[2][0] != '\0' && read_text(fields[2], out->user, sizeof(out->user)) &&
		       read_number(fields[3], UINT32_MAX - 1, &uid) && read_number(fields[4], INT64_MAX, &out->created_s) &&
		       read_number(fields[5], INT64_MAX, &out->expires_s) && token_check_note(fields[6], &err) == 0 &&
		       read_text(fields[6], out->note, sizeof(out->note));
	if (is_good)
		out->uid = (uid_t)uid;
	return is_good;
}

static int set_append(struct tokens *set, const struct token *token, const char *name, struct err *err)
{
	if (set->count >= TOKENS_MAX)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "\"%s\" has more than %d tokens; remove some", name, TOKENS_MAX);
	set->rows = xrealloc(set->rows, set->count + 1, sizeof(*set->rows));
	set->rows[set->count++] = *token;
	return 0;
}

static int set_read(struct tokens *set, const char *name, char *text, struct err *err)
{
	char *line = strsep(&text, "\n");
	if (strcmp(line, TOKENS_HEADER) != 0)
		return err_set(err, ERR_DATA_LOSS, "\"%s\" is no file of tokens: its first line is not \"%s\"", name, TOKENS_HEADER);
	for (unsigned number = 2; (line = strsep(&text, "\n")) != NULL; number++) {
		struct token token = { .uid = 0 };
		if (line[0] == '\0' && text == NULL)
			break;
		if (!line_read(line, &token) || tokens_by_id(set, token.id) != NULL)
			return err_set(err, ERR_DATA_LOSS, "%s:%u: no token can be read; remove the line", name, number);
		if (set_append(set, &token, name, err) < 0)
			return -1;
	}
	return 0;
}

int tokens_parse(struct tokens *tokens, const char *name, const char *text, size_t len, struct err *err)
{
	struct tokens fresh = { .rows = NULL };
	if (memchr(text, '\0', len) != NULL)
		return err_set(err, ERR_DATA_LOSS, "\"%s\" is no file of tokens: it has NUL bytes", name);
	char *copy = xmalloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	int rc = set_read(&fresh, name, copy, err);
	free(copy);
	if (rc < 0) {
		free(fresh.rows);
		return rc;
	}
	free(tokens->rows);
	tokens->rows = fresh.rows;
	tokens->count = fresh.count;
	return 0;
}

int tokens_load(struct tokens *tokens, struct err *err)
{
	struct stat st;
	int fd = open(tokens->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		tokens->count = 0;
		return 0;
	}
	if (fd < 0)
		return err_sys(err, errno, "open \"%s\"", tokens->path);
	int rc = fstat(fd, &st) < 0 ? err_sys(err, errno, "look at \"%s\"", tokens->path) : 0;
	if (rc == 0 && (st.st_uid != geteuid() || (st.st_mode & 077) != 0))
		rc = err_set(err, ERR_PERMISSION_DENIED, "\"%s\" is not ours alone; run: chown %u %s; chmod 600 %s", tokens->path,
			     (unsigned)geteuid(), tokens->path, tokens->path);
	char *text = xmalloc(TOKENS_BYTES);
	ssize_t n = rc == 0 ? read(fd, text, TOKENS_BYTES) : 0;
	if (rc == 0 && (n < 0 || n == TOKENS_BYTES))
		rc = err_sys(err, n < 0 ? errno : EFBIG, "read \"%s\"", tokens->path);
	if (rc == 0)
		rc = tokens_parse(tokens, tokens->path, text, (size_t)n, err);
	free(text);
	close(fd);
	return rc;
}

/* ---------------------------------------------------------------- writing */

static void token_write(FILE *file, const struct token *token)
{
	fprintf(file, "%s\t", token->id);
	for (size_t i = 0; i < sizeof(token->hash); i++)
		fprintf(file, "%02x", token->hash[i]);
	fprintf(file, "\t%s\t%u\t%" PRIu64 "\t%" PRIu64 "\t%s\n", token->user, (unsigned)token->uid, token->created_s, token->expires_s,
		token->note);
}

static int tokens_store(const struct tokens *tokens, struct err *err)
{
	char *temp = xasprintf("%s.new", tokens->path);
	(void)unlink(temp);
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	int sys = file == NULL ? errno : 0;
	if (file != NULL) {
		fputs(TOKENS_HEADER "\n", file);
		for (size_t i = 0; i < tokens->count; i++)
			token_write(file, &tokens->rows[i]);
		/* a token that was removed must not be back after a power cut */
		if (fflush(file) != 0 || ferror(file) || fsync(fd) < 0)
			sys = errno != 0 ? errno : EIO;
		if (fclose(file) != 0 && sys == 0)
			sys = errno;
	}
	if (sys == 0 && rename(temp, tokens->path) < 0)
		sys = errno;
	if (sys != 0)
		(void)unlink(temp);
	free(temp);
	return sys == 0 ? 0 : err_sys(err, sys, "write \"%s\"", tokens->path);
}

/* ---------------------------------------------------------------- the set */

size_t tokens_count(const struct tokens *tokens)
{
	return tokens->count;
}

const struct token *tokens_at(const struct tokens *tokens, size_t i)
{
	return &tokens->rows[i];
}

const struct token *tokens_by_id(const struct tokens *tokens, const char *id)
{
	for (size_t i = 0; i < tokens->count; i++)
		if (strcmp(tokens->rows[i].id, id) == 0)
			return &tokens->rows[i];
	return NULL;
}

static void token_hash(const char *text, uint8_t out[SHA256_SIZE])
{
	struct sha256 sha;
	sha256_init(&sha);
	sha256_add(&sha, text, strlen(text));
	sha256_finish(&sha, out);
}

static int token_invent(const struct tokens *tokens, struct token *token, char text[TOKEN_LEN + 1], struct err *err)
{
	struct {
		uint32_t id;
		uint8_t secret[SECRET_BYTES];
	} random;
	do {
		if (getrandom(&random, sizeof(random), 0) != sizeof(random))
			return err_sys(err, errno, "get random bytes");
		snprintf(token->id, sizeof(token->id), "%08" PRIx32, random.id);
	} while (tokens_by_id(tokens, token->id) != NULL);
	memcpy(text, token->id, TOKEN_ID_LEN);
	text[TOKEN_ID_LEN] = '.';
	base64url_encode(random.secret, sizeof(random.secret), text + TOKEN_ID_LEN + 1);
	token_hash(text, token->hash);
	explicit_bzero(&random, sizeof(random));
	return 0;
}

int tokens_add(struct tokens *tokens, const struct token *wanted, char text[TOKEN_LEN + 1], struct err *err)
{
	struct token token = *wanted;
	token.created_s = clock_wall_ns() / 1000000000;
	if (token_invent(tokens, &token, text, err) < 0 || set_append(tokens, &token, tokens->path, err) < 0)
		return -1;
	if (tokens_store(tokens, err) == 0)
		return 0;
	tokens->count--;
	return -1;
}

int tokens_remove(struct tokens *tokens, const char *id, struct err *err)
{
	const struct token *found = tokens_by_id(tokens, id);
	if (found == NULL) {
		err_set(err, ERR_NOT_FOUND, "there is no token \"%s\"; see: pwemu token ls", id);
		return err_reason(err, "no-such-token");
	}
	size_t at = (size_t)(found - tokens->rows);
	struct token removed = *found;
	memmove(&tokens->rows[at], &tokens->rows[at + 1], (tokens->count - at - 1) * sizeof(*tokens->rows));
	tokens->count--;
	if (tokens_store(tokens, err) == 0)
		return 0;
	memmove(&tokens->rows[at + 1], &tokens->rows[at], (tokens->count - at) * sizeof(*tokens->rows));
	tokens->rows[at] = removed;
	tokens->count++;
	return -1;
}

/* ---------------------------------------------------------------- checking */

static bool hash_is(const uint8_t a[SHA256_SIZE], const uint8_t b[SHA256_SIZE])
{
	volatile uint8_t differ = 0;
	for (size_t i = 0; i < SHA256_SIZE; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

const struct token *tokens_check(const struct tokens *tokens, const char *text)
{
	static const struct token nobody;
	char id[TOKEN_ID_LEN + 1];
	uint8_t hash[SHA256_SIZE];
	if (strlen(text) != TOKEN_LEN || text[TOKEN_ID_LEN] != '.')
		return NULL;
	memcpy(id, text, TOKEN_ID_LEN);
	id[TOKEN_ID_LEN] = '\0';
	token_hash(text, hash);
	const struct token *found = tokens_by_id(tokens, id); /* the id is no secret */
	return hash_is(found != NULL ? found->hash : nobody.hash, hash) ? found : NULL;
}

bool token_has_expired(const struct token *token, uint64_t now_s)
{
	return token->expires_s != 0 && token->expires_s <= now_s;
}

int token_check_note(const char *note, struct err *err)
{
	size_t len = strlen(note);
	if (len >= TOKEN_NOTE_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "the note is longer than %d bytes", TOKEN_NOTE_MAX - 1);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)note[i] < ' ' || note[i] == 0x7f)
			return err_set(err, ERR_INVALID_ARGUMENT, "the note has control characters");
	return 0;
}
