/* SPDX-License-Identifier: Apache-2.0 */
/* The input as an answer of the helper, and as what a command said on standard error. */
#include <errno.h>
#include <string.h>

#include "base/command_internal.h"
#include "check.h"

#define OUTPUT_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line)
{
    size_t len = strnlen(line, COMMAND_ERROR_MAX);

    CHECK(len < COMMAND_ERROR_MAX);
    for (size_t i = 0; i < len; i++)
        CHECK(line[i] >= ' ' && line[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct text input = {(const char *)data, size};
    struct command_answer answer;
    char line[COMMAND_ERROR_MAX];
    int r = command_answer_parse(input, OUTPUT_MAX, &answer);

    CHECK(r == 0 || r == -ENODATA || r == -EPROTO || r == -E2BIG);
    if (r == 0) {
        CHECK(answer.result <= 0);
        CHECK(answer.output.n <= OUTPUT_MAX);
        CHECK(answer.output.p + answer.output.n == input.p + size);
        CHECK(memchr(answer.message, '\0', sizeof(answer.message)));
        check_line(answer.end.error);
    }
    command_first_line(input, line);
    check_line(line);
    return 0;
}
