/* SPDX-License-Identifier: Apache-2.0 */
/* Prints nothing. */
int main(void)
{
	return 0;
}
