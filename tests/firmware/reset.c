/* SPDX-License-Identifier: Apache-2.0 */
/* "boot 1", a reset of the whole board, "boot 2". The count is kept in memory that a reset leaves alone. */
#include "board.h"

#define MAGIC 0xb007b000u

__attribute__((section(".kept"))) static volatile uint32_t boots;

int main(void)
{
	if ((boots & 0xfffff000u) != MAGIC)
		boots = MAGIC;
	boots = boots + 1;
	uart_open(0);
	uart_print(0, "boot ");
	uart_print_number(0, boots - MAGIC);
	uart_write(0, '\n');
	if (boots - MAGIC == 1)
		board_reset();
	return 0;
}
