/* SPDX-License-Identifier: Apache-2.0 */
/* "ready> ", then every byte comes back; a pause of about 100 ms after each 4096 of them. */
#include "board.h"

int main(void)
{
	unsigned count = 0;

	uart_open(0);
	uart_print(0, "ready> ");
	for (;;) {
		int c = uart_read(0);

		if (c < 0) {
			board_wait();
			continue;
		}
		uart_write(0, (char)c);
		if (++count % 4096 == 0)
			board_sleep_100ms();
	}
}
