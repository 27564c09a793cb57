/* SPDX-License-Identifier: Apache-2.0 */
/* A library with one of the functions that we need and none of the others: what an unknown release may look like. */
int nvmlInit_v2(void);

int nvmlInit_v2(void)
{
    return 0;
}
