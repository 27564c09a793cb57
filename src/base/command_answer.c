/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper answered, read as a stranger's bytes. Pure. */
#include "base/command_internal.h"

#include <errno.h>

/* No errno of Linux is larger (MAX_ERRNO of its include/linux/err.h). */
#define ERRNO_MAX 4095

static bool is_line(const char *s, size_t size)
{
    size_t len = strnlen(s, size);

    for (size_t i = 0; i < len; i++)
        if (s[i] < ' ' || s[i] > '~')
            return false;
    return len < size;
}

int command_answer_parse(struct text answer, size_t output_max, struct command_answer *ret_answer)
{
    struct command_answer_head head;

    if (answer.n < sizeof(head))
        return -ENODATA;
    memcpy(&head, answer.p, sizeof(head)); /* it need not lie aligned */
    if (head.magic != COMMAND_ANSWER_MAGIC || head.result > 0 || head.result < -ERRNO_MAX ||
        !is_line(head.error, sizeof(head.error)) || !memchr(head.message, '\0', sizeof(head.message)))
        return -EPROTO;
    if (head.output_len > output_max)
        return -E2BIG;
    if (answer.n - sizeof(head) < head.output_len)
        return -ENODATA;
    if (answer.n - sizeof(head) > head.output_len)
        return -EPROTO;

    *ret_answer = (struct command_answer){
        .result = head.result,
        .end.status = head.status,
        .output = {answer.p + sizeof(head), head.output_len},
    };
    memcpy(ret_answer->end.error, head.error, sizeof(head.error));
    memcpy(ret_answer->message, head.message, sizeof(head.message));
    return 0;
}
