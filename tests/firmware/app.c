/* SPDX-License-Identifier: Apache-2.0 */
/* What the boot loader starts. */
#include "board.h"

int main(void)
{
	uart_open(0);
	uart_print(0, "app\n");
	return 0;
}
