/* SPDX-License-Identifier: Apache-2.0 */
/* See privileges.h. */
#include "agent/privileges.h"

#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>

static const cap_value_t kept[] = {CAP_DAC_READ_SEARCH, CAP_PERFMON, CAP_BPF};

static void cleanup_capp(cap_t *caps)
{
    if (*caps)
        cap_free(*caps);
}

static bool is_kept(cap_value_t cap)
{
    for (size_t i = 0; i < ELEMENTSOF(kept); i++)
        if (kept[i] == cap)
            return true;
    return false;
}

static int keep(cap_t now, cap_t wanted)
{
    for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
        cap_flag_value_t has = CAP_CLEAR;

        if (cap_get_flag(now, kept[i], CAP_PERMITTED, &has) < 0 || has != CAP_SET)
            continue;
        if (cap_set_flag(wanted, CAP_PERMITTED, 1, &kept[i], CAP_SET) < 0 ||
            cap_set_flag(wanted, CAP_EFFECTIVE, 1, &kept[i], CAP_SET) < 0)
            return -errno;
    }
    return 0;
}

int privileges_drop(struct carnot_err *err)
{
    CLEANUP(cleanup_capp) cap_t now = cap_get_proc();
    CLEANUP(cleanup_capp) cap_t wanted = cap_init();
    cap_flag_value_t may_bound = CAP_CLEAR;

    if (!now || !wanted || keep(now, wanted) < 0)
        return carnot_err_errno(err, errno ? errno : ENOMEM, "cannot read our capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return carnot_err_errno(err, errno, "cannot forbid new privileges");
    if (cap_get_flag(now, CAP_SETPCAP, CAP_EFFECTIVE, &may_bound) == 0 && may_bound == CAP_SET)
        for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++)
            if (!is_kept(cap) && cap_drop_bound(cap) < 0 && errno != EINVAL)
                return carnot_err_errno(err, errno, "cannot drop a capability from the bounding set");
    if (cap_reset_ambient() < 0 && errno != EINVAL)
        return carnot_err_errno(err, errno, "cannot empty the ambient capabilities");
    if (cap_set_proc(wanted) < 0)
        return carnot_err_errno(err, errno, "cannot drop capabilities");
    return 0;
}
