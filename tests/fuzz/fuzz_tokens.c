/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the file of tokens. What was read keeps the promises of tokens.h; on failure the set stays. */
#include "rpc/tokens.h"
#include "tests/fuzz/fuzz.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_token(const struct tokens *tokens, const struct token *token)
{
	struct err err = ERR_INIT;
	must(strlen(token->id) == TOKEN_ID_LEN && tokens_by_id(tokens, token->id) == token);
	must(token->user[0] != '\0' && strnlen(token->user, TOKEN_USER_MAX) < TOKEN_USER_MAX);
	must(strnlen(token->note, TOKEN_NOTE_MAX) < TOKEN_NOTE_MAX && token_check_note(token->note, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tokens *tokens = tokens_new("/nowhere/tokens");
	struct err err = ERR_INIT;
	char text[TOKEN_LEN + 1] = "";
	int rc = tokens_parse(tokens, "tokens", (const char *)data, size, &err);
	fuzz_must_say(rc, &err);
	must(rc == 0 || tokens_count(tokens) == 0);
	for (size_t i = 0; i < tokens_count(tokens); i++)
		check_token(tokens, tokens_at(tokens, i));
	/* and the same bytes from somebody who calls */
	memcpy(text, data, size < TOKEN_LEN ? size : TOKEN_LEN);
	must(tokens_check(tokens, text) == NULL);
	tokens_free(tokens);
	return 0;
}
