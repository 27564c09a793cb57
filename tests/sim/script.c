/* SPDX-License-Identifier: Apache-2.0 */
/* Parses decimals exactly, as integers; a script is as sharp as the assertions made on it. */
#include "script.h"

#include <errno.h>

#define TEXT_ARG(t) (int)(t).n, (t).p

/* "1.25" with 10^decimals to a unit; more digits than that are refused. */
static int parse_exact(struct text text, unsigned decimals, uint64_t *ret)
{
    const char *point = text.n ? memchr(text.p, '.', text.n) : NULL;

    if (point && text.n - (size_t)(point + 1 - text.p) > decimals)
        return -ERANGE;
    return parse_fixed(text, decimals, ret);
}

int sim_parse_power(struct text text, uint64_t *ret_uw)
{
    static const struct {
        const char *suffix;
        unsigned decimals;
    } units[] = {{"mW", 3}, {"uW", 0}, {"W", 6}, {"", 6}};

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        if (!text_ends(text, units[i].suffix))
            continue;
        text.n -= strlen(units[i].suffix);
        return parse_exact(text, units[i].decimals, ret_uw);
    }
    return -EINVAL;
}

static int take_zone(const struct sim_machine *machine, struct text *rest, struct carnot_err *err)
{
    struct text word;

    if (!scan_word(rest, &word))
        return carnot_err_set(err, EINVAL, "a zone is missing");
    int zone = sim_zone_find(machine, word.p, word.n);
    if (zone < 0)
        return carnot_err_set(err, EINVAL, "there is no zone %.*s", TEXT_ARG(word));
    return zone;
}

static int take_power(struct text *rest, uint64_t *ret_uw, struct carnot_err *err)
{
    struct text word;

    if (!scan_word(rest, &word) || sim_parse_power(word, ret_uw) < 0)
        return carnot_err_set(err, EINVAL, "a power such as 12.5W is missing");
    return 0;
}

static int script_line(struct sim_machine *machine, struct text line, struct carnot_err *err)
{
    struct text word;
    uint64_t t_ns, uw;

    if (!scan_word(&line, &word) || text_starts(word, "#"))
        return 0;
    if (parse_exact(word, 9, &t_ns) < 0)
        return carnot_err_set(err, EINVAL, "%.*s is no time in seconds", TEXT_ARG(word));
    int zone = take_zone(machine, &line, err);
    if (zone < 0)
        return zone;
    int r = take_power(&line, &uw, err);
    return r < 0 ? r : sim_event_add(machine, t_ns, zone, uw);
}

int sim_parse_script(struct sim_machine *machine, const char *file, struct text text, struct carnot_err *err)
{
    struct text line;

    for (unsigned number = 1; scan_line(&text, &line); number++) {
        int r = script_line(machine, line, err);
        if (r < 0)
            return carnot_err_wrap(err, "%s:%u", file, number);
    }
    sim_events_sort(machine);
    return 0;
}

static int command_advance(struct sim_machine *machine, struct text *rest, bool manual_clock, struct carnot_err *err)
{
    struct text word;
    uint64_t ns;

    if (!manual_clock)
        return carnot_err_set(err, EINVAL, "time passes by itself: start with --clock manual to advance it");
    if (!scan_word(rest, &word) || parse_duration_ns(word, &ns) < 0 || ns > UINT64_MAX - machine->now_ns)
        return carnot_err_set(err, EINVAL, "a duration such as 1s is missing");
    sim_advance_to(machine, machine->now_ns + ns);
    return 0;
}

static int command_fail(struct sim_machine *machine, int zone, struct text *rest, struct carnot_err *err)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {{"ok", 0},          {"EIO", EIO},       {"EACCES", EACCES}, {"EPERM", EPERM}, {"ENODATA", ENODATA},
                 {"EINVAL", EINVAL}, {"ENODEV", ENODEV}, {"EAGAIN", EAGAIN}};
    struct text word;

    if (scan_word(rest, &word)) {
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
            if (text_is(word, codes[i].name)) {
                machine->zones[zone].fail_errno = codes[i].code;
                return 0;
            }
        }
    }
    return carnot_err_set(err, EINVAL, "an error such as EIO is missing, or ok");
}

static int command_power(struct sim_machine *machine, int zone, struct text *rest, struct carnot_err *err)
{
    uint64_t uw;
    int r = take_power(rest, &uw, err);

    if (r == 0)
        machine->zones[zone].power_uw = uw;
    return r;
}

int sim_command(struct sim_machine *machine, struct text line, bool manual_clock, struct carnot_err *err)
{
    struct text rest = text_trim(line), verb;

    if (!scan_word(&rest, &verb))
        return 0;
    if (text_is(verb, "advance"))
        return command_advance(machine, &rest, manual_clock, err);

    int zone = take_zone(machine, &rest, err);
    if (zone < 0)
        return zone;
    if (text_is(verb, "power"))
        return command_power(machine, zone, &rest, err);
    if (text_is(verb, "fail"))
        return command_fail(machine, zone, &rest, err);
    if (text_is(verb, "reset")) {
        sim_reset(machine, zone);
        return 0;
    }
    if (text_is(verb, "vanish") || text_is(verb, "restore")) {
        sim_set_vanished(machine, zone, text_is(verb, "vanish"));
        return 0;
    }
    return carnot_err_set(err, EINVAL, "unknown command %.*s", TEXT_ARG(verb));
}
