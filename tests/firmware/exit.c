/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the emulator with the code that is the last word of the command line (42 if that is no number). */
#include "board.h"
#include "semihosting.h"

static unsigned last_number(const char *text, unsigned otherwise)
{
	unsigned value = 0;
	int is_number = 0;

	for (; *text; text++) {
		if (*text == ' ') {
			value = 0;
			is_number = 1;
		} else if (*text >= '0' && *text <= '9') {
			value = value * 10 + (unsigned)(*text - '0');
		} else {
			is_number = 0;
		}
	}
	return is_number ? value : otherwise;
}

int main(void)
{
	static char line[512];

	uart_open(0);
	uart_print(0, "exit on " BOARD_NAME "\n");
	semi_print("leaving\n");
	semi_exit(last_number(semi_command_line(line, sizeof(line)), 42));
	return 0;
}
