/* SPDX-License-Identifier: Apache-2.0 */
/* Lines "%08x\n" from 0 on without pause: exactly checkable. With LINES that many, then exit 0 through semihosting. */
#include "board.h"
#include "semihosting.h"

int main(void)
{
	uart_open(0);
	for (uint32_t i = 0;; i++) {
#ifdef LINES
		if (i == LINES)
			break;
#endif
		uart_print_hex(0, i);
		uart_write(0, '\n');
	}
#ifdef LINES
	semi_exit(0);
#endif
	return 0;
}
