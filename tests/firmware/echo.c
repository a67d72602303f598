/* SPDX-License-Identifier: Apache-2.0 */
/* "ready> ", then every byte comes back; Enter (cr) answers with the line. */
#include "board.h"

int main(void)
{
	static char line[256];
	unsigned len = 0;

	uart_open(0);
	uart_print(0, "ready> ");
	for (;;) {
		int c = uart_read(0);

		if (c < 0) {
			board_wait();
			continue;
		}
		if (c != '\r') {
			uart_write(0, (char)c);
			if (len + 1 < sizeof(line))
				line[len++] = (char)c;
			continue;
		}
		line[len] = '\0';
		uart_print(0, "\r\ngot: ");
		uart_print(0, line);
		uart_print(0, "\r\nready> ");
		len = 0;
	}
}
