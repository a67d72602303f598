/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered lines, by turns through newlib's stdout (":tt") and SYS_WRITE0, so that their order can be checked; then the words of the
 * command line; exit 0.
 */
#include "board.h"
#include "semihosting.h"

#define ROUNDS 50

static char *put_number(char *to, unsigned value)
{
	*to++ = (char)('0' + value / 100 % 10);
	*to++ = (char)('0' + value / 10 % 10);
	*to++ = (char)('0' + value % 10);
	return to;
}

static void print_words(char *line, long tt)
{
	static char text[560];
	unsigned n = 0;

	while (*line) {
		char *to = text;

		for (const char *from = "arg "; *from; from++)
			*to++ = *from;
		to = put_number(to, n++);
		*to++ = ' ';
		while (*line && *line != ' ')
			*to++ = *line++;
		while (*line == ' ')
			line++;
		*to++ = '\n';
		*to = '\0';
		semi_write(tt, text);
	}
}

int main(void)
{
	static char line[512];
	char text[16];
	long tt = semi_open_tt(4);

	for (unsigned i = 0; i < ROUNDS; i++) {
		char *to = put_number(text, i);

		for (const char *from = i % 2 ? " write0\n" : " tt\n"; (*to++ = *from++);)
			;
		if (i % 2)
			semi_print(text);
		else
			semi_write(tt, text);
	}
	print_words(semi_command_line(line, sizeof(line)), tt);
	semi_exit(0);
	return 0;
}
